//! Text of models, tools and files made safe to draw. Everything that is drawn and that pact has
//! not written itself goes through here.

/// `text` as it can be drawn, of its first `limit` characters; what is left out is counted.
///
/// Control characters, and those that no terminal shows and that some act upon (the order of text,
/// joiners, tags), become escapes such as `\u{1b}`. A tab becomes four blanks; line breaks stay.
pub(crate) fn printable(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    for (count, (at, c)) in text.char_indices().enumerate() {
        if count == limit {
            shown += &format!("… and {} bytes more", text.len() - at);
            break;
        }
        match c {
            '\n' => shown.push(c),
            '\t' => shown.push_str("    "),
            c if c.is_control() || is_invisible(c) => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

/// The same on one line: line breaks become blanks.
pub(crate) fn printable_line(text: &str, limit: usize) -> String {
    printable(text, limit).replace('\n', " ")
}

/// Characters without a picture of their own: Unicode's category Cf as far as terminals and fonts
/// act upon it, the two separators that break lines, and what only fills a place.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_upon_is_written_out() {
        for (text, shown) in [
            ("plain, é, 漢字, 🦀", "plain, é, 漢字, 🦀"),
            ("\x1b[2J\x1b]0;title\x07", "\\u{1b}[2J\\u{1b}]0;title\\u{7}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\r\nb\tc\0", "a\\r\nb    c\\u{0}"),
            ("abc\u{202e}cba", "abc\\u{202e}cba"),
            ("a\u{200d}b\u{feff}", "a\\u{200d}b\\u{feff}"),
        ] {
            assert_eq!(printable(text, 100), shown, "{text:?}");
        }
        assert_eq!(printable_line("a\nb", 100), "a b");
    }

    #[test]
    fn of_megabytes_only_the_beginning_is_looked_at() {
        let text = "é".repeat(5_000_000);
        assert_eq!(printable(&text, 3), "ééé… and 9999994 bytes more");
        assert_eq!(printable("ééé", 3), "ééé");
    }
}
