//! Where reasoning falls into semantic segments, the steps that a curriculum may keep or drop
//! one by one: they end at blank lines, and where there are none at the ends of sentences.

use crate::turn::{THINK, THINK_END};

/// The bytes at which segments of one stretch of reasoning end and others begin, ascending and
/// strictly inside. The tags belong to the first and the last segment.
pub(crate) fn cuts(bytes: &[u8]) -> Vec<usize> {
    let inside = without_tags(bytes);
    let blank_lines = after_blank_lines(bytes, inside.clone());
    if blank_lines.is_empty() {
        after_sentences(bytes, inside)
    } else {
        blank_lines
    }
}

/// What lies between the tags, if any, without the white space around it.
pub(crate) fn without_tags(bytes: &[u8]) -> std::ops::Range<usize> {
    let opening = if bytes.starts_with(THINK.as_bytes()) {
        THINK.len()
    } else {
        0
    };
    let end = bytes
        .strip_suffix(THINK_END.as_bytes())
        .map_or(bytes.len(), <[u8]>::len);
    let inside = &bytes[opening..end.max(opening)];
    let start = opening + (inside.len() - inside.trim_ascii_start().len());
    start..start + inside.trim_ascii().len()
}

fn after_blank_lines(bytes: &[u8], inside: std::ops::Range<usize>) -> Vec<usize> {
    ends_of_blanks(bytes, inside)
        .filter(|blank| bytes[blank.clone()].iter().filter(|&&b| b == b'\n').count() > 1)
        .map(|blank| blank.end)
        .collect()
}

fn after_sentences(bytes: &[u8], inside: std::ops::Range<usize>) -> Vec<usize> {
    let after_blank = ends_of_blanks(bytes, inside.clone())
        .filter(|blank| matches!(bytes[blank.start - 1], b'.' | b'!' | b'?'))
        .map(|blank| blank.end);
    // Chinese and Japanese put no space after a full stop.
    let full_stops = ["。", "！", "？"].map(str::as_bytes);
    let after_full_stop = inside.clone().filter(|&end| {
        let before = &bytes[inside.start..end];
        let after = &bytes[end..inside.end];
        full_stops.iter().any(|stop| before.ends_with(stop))
            && !full_stops.iter().any(|stop| after.starts_with(stop))
            && !after[0].is_ascii_whitespace()
    });
    let after_full_stop_and_blank = ends_of_blanks(bytes, inside.clone())
        .filter(|blank| {
            full_stops
                .iter()
                .any(|stop| bytes[..blank.start].ends_with(stop))
        })
        .map(|blank| blank.end);
    let mut cuts: Vec<usize> = after_blank
        .chain(after_full_stop)
        .chain(after_full_stop_and_blank)
        .collect();
    cuts.sort_unstable();
    cuts
}

/// The runs of white space strictly inside, whole.
fn ends_of_blanks(
    bytes: &[u8],
    inside: std::ops::Range<usize>,
) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut at = inside.start;
    std::iter::from_fn(move || {
        while at < inside.end && !bytes[at].is_ascii_whitespace() {
            at += 1;
        }
        let start = at;
        while at < inside.end && bytes[at].is_ascii_whitespace() {
            at += 1;
        }
        (start < at).then_some(start..at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_end_at_blank_lines_else_at_sentence_ends() {
        let check = |text: &str, expected: &[&str]| {
            let mut ends = cuts(text.as_bytes());
            ends.push(text.len());
            let mut start = 0;
            let segments: Vec<&str> = ends
                .into_iter()
                .map(|end| {
                    let segment = &text[start..end];
                    start = end;
                    segment
                })
                .collect();
            assert_eq!(segments, expected);
        };
        check(
            "<think>\nOne. Two.\n\nThree.\n \nFour\n</think>",
            &["<think>\nOne. Two.\n\n", "Three.\n \n", "Four\n</think>"],
        );
        check(
            "<think>\nIs 3.5 more? Yes!\nSo it is.\n</think>",
            &["<think>\nIs 3.5 more? ", "Yes!\n", "So it is.\n</think>"],
        );
        check("先查。再算！？ 完。", &["先查。", "再算！？ ", "完。"]);
        check("<think>\n\n</think>", &["<think>\n\n</think>"]);
        check("<think>\n\nOnly one", &["<think>\n\nOnly one"]);
        check("", &[""]);
    }
}
