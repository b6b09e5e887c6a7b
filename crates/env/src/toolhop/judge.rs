//! Whether an episode answered its question, by both rules that were published.
//! Texts in, truth out.

use crate::metrics::verify;

/// What an episode came to.
pub(super) struct Ending<'a> {
    /// All that the last turn says, reasoning included, without the special tokens that end it.
    pub(super) said: &'a str,
    /// What the last call before it returned; nothing where none stands right before it.
    pub(super) returned: Option<&'a str>,
}

/// FTRL's and MatchTIR's rule: the answer, by the rule of sub-answers, is in what was said or in
/// what the last call returned. Silence is no answer.
pub(super) fn is_correct(ending: &Ending<'_>, answer: &str) -> bool {
    let holds = |text: &str| verify(text, answer);
    !ending.said.is_empty() && (holds(ending.said) || ending.returned.is_some_and(holds))
}

/// ToolHop's own rule: without zeros and full stops at its end the answer, in lower case, is
/// part of what was said or of what the last call returned, without commas. Lenient: `2010`
/// becomes `201`, and `0` is in every text.
pub(super) fn is_correct_as_published(ending: &Ending<'_>, answer: &str) -> bool {
    let answer = shortened(answer).to_lowercase();
    let holds = |text: &str| {
        let text = shortened(text).replace(',', "").to_lowercase();
        text.contains(&answer)
    };
    holds(ending.said) || ending.returned.is_some_and(holds)
}

fn shortened(text: &str) -> &str {
    text.trim_end_matches(['.', '0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_rules_differ_in_what_they_forgive() {
        let check = |said: &str, returned: Option<&str>, answer: &str, expected: [bool; 2]| {
            let ending = Ending { said, returned };
            let found = [
                is_correct(&ending, answer),
                is_correct_as_published(&ending, answer),
            ];
            assert_eq!(
                found, expected,
                "{said:?} after {returned:?} for {answer:?}"
            );
        };
        check("<answer>86</answer>", None, "86", [true, true]);
        check("It is RICE.", None, "Rice", [true, true]);
        check("I do not know", Some("86"), "86", [true, true]);
        check("I do not know", None, "86", [false, false]);
        check("", Some("86"), "86", [false, true]);
        // A number's last zeros do not count for ToolHop.
        check("201", None, "2010", [false, true]);
        check("year 2010.", None, "2010", [true, true]);
        // An answer keeps its commas there, and what was said does not.
        check("3,903", None, "3,903", [true, false]);
        check("3903", None, "3,903", [true, false]);
        check("3,903", None, "3903", [true, true]);
        // Pieces are sought one by one only by the rule of sub-answers.
        check("Ulm, in 1879", None, "1879, Ulm", [true, false]);
    }
}
