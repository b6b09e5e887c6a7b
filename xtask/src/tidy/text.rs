//! The few things that tidy reads out of Markdown: table rows and words in backticks.

/// The cells of every table row of `markdown` between the heading `## {heading}` and the next,
/// less the row of titles and the rule below it.
pub(super) fn table_below(markdown: &str, heading: &str) -> Vec<Vec<String>> {
    let section = markdown
        .lines()
        .skip_while(|line| line.trim() != format!("## {heading}"))
        .skip(1)
        .take_while(|line| !line.starts_with("## "));
    section
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            let cells = line.trim().trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

/// The words that stand in backticks, outside of code blocks.
pub(super) fn in_backticks(markdown: &str) -> Vec<&str> {
    let mut in_block = false;
    markdown
        .lines()
        .filter(|line| {
            let fence = line.trim_start().starts_with("```");
            in_block ^= fence;
            !fence && !in_block
        })
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_without_its_titles_and_only_in_its_section() {
        let markdown = "| no |\n| - |\n| no |\n## Rooms\ntext\n| a | b |\n| --- | --- |\n| `x` | y z |\n## End\n| no |\n";
        assert_eq!(table_below(markdown, "Rooms"), [["`x`", "y z"]]);
    }

    #[test]
    fn words_in_backticks_are_found_outside_of_blocks() {
        let markdown = "a `b c` d `e`\n```\n`no`\n```\n`f`";
        assert_eq!(in_backticks(markdown), ["b c", "e", "f"]);
    }
}
