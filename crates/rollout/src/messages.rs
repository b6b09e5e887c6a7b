//! What the agent is told when its turn could not be read. Every such text is here.

use episode::{Observation, ParseFailure};

/// The observation that answers a call which could not be read. These follow those of the
/// calls that could, so that a turn's first observations are its calls', one for one.
pub(crate) fn unread(failure: &ParseFailure) -> Observation {
    let text = match failure {
        ParseFailure::NotJson(reason) => {
            format!("error: the tool call is not valid JSON: {reason}")
        }
        ParseFailure::NotACall(reason) => {
            format!("error: a tool call is a JSON object with \"name\" and \"arguments\": {reason}")
        }
        ParseFailure::Unclosed => "error: the tool call was not closed".to_owned(),
    };
    Observation { text, failed: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_was_wrong_with_the_call() {
        let check = |failure, expected: &str| {
            let observation = unread(&failure);
            assert!(observation.failed);
            assert_eq!(observation.text, expected);
        };
        check(
            ParseFailure::NotJson("expected value at line 1 column 2".to_owned()),
            "error: the tool call is not valid JSON: expected value at line 1 column 2",
        );
        check(
            ParseFailure::NotACall("`name` is missing".to_owned()),
            "error: a tool call is a JSON object with \"name\" and \"arguments\": `name` is missing",
        );
        check(
            ParseFailure::Unclosed,
            "error: the tool call was not closed",
        );
    }
}
