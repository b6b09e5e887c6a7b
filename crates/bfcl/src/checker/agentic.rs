//! Whether an answer has one of the accepted texts in it. The whole message is searched: its
//! form is not parsed, so what stands under `context` counts too.

use super::{Failure, Rule};

/// Checks the last message of a record that calls nothing. An empty one is none, as in the
/// original.
pub fn check(message: Option<&str>, accepted: &[String]) -> Result<(), Failure> {
    let Some(message) = message.filter(|message| !message.is_empty()) else {
        return Err(Failure::new(
            Rule::NoAnswer,
            "Cannot find the last chat message that is not a function call.",
        ));
    };
    let message = standardise(message);
    let found = |answer: &String| contains_words(&message, &standardise(answer));
    if accepted.iter().any(found) {
        return Ok(());
    }
    Err(Failure::new(
        Rule::AnswerNotFound,
        "None of the expected answers were found in the model response.",
    ))
}

/// Without the punctuation that answers differ in, in lower case, with one kind of quote.
/// Blanks are kept.
pub fn standardise(text: &str) -> String {
    text.replace([',', '.', '/', '-', '_', '*', '^', '(', ')'], "")
        .to_lowercase()
        .replace('\'', "\"")
}

/// Python's `\b…\b`: `words` somewhere in `text`, beginning and ending where a word begins or
/// ends. So `$49` is found only right after a letter or digit, which is the original's rule.
/// Letters are Unicode's alphabetic characters, which have vowel signs of Indic scripts among
/// them; Python's have not.
fn contains_words(text: &str, words: &str) -> bool {
    let starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    starts
        .filter(|&at| text[at..].starts_with(words))
        .any(|at| is_boundary(text, at) && is_boundary(text, at + words.len()))
}

fn is_boundary(text: &str, at: usize) -> bool {
    let is_word = |it: char| it.is_alphanumeric() || it == '_';
    let before = text[..at].chars().next_back().is_some_and(is_word);
    let after = text[at..].chars().next().is_some_and(is_word);
    before != after
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(message: &str, accepted: &[&str]) -> Option<Rule> {
        let accepted: Vec<String> = accepted.iter().map(|it| (*it).to_owned()).collect();
        check(Some(message), &accepted).err().map(|it| it.rule)
    }

    #[test]
    fn an_accepted_text_counts_anywhere_as_whole_words() {
        let check = |message: &str, accepted: &[&str], expected: bool| {
            assert_eq!(verdict(message, accepted).is_none(), expected, "{message}");
        };
        check("{'answer': 'April 1, 2024'}", &["april 1 2024"], true);
        check("They were 38s", &["38"], false);
        check("They were 38s, or 38", &["38"], true);
        check("xMichaely", &["Michael"], false);
        check("Hyōgo", &["Hyōg"], false);
        check("it cost $49.99", &["$49.99"], false);
        check("it cost US$49.99", &["$49.99"], true);
        check("nothing", &["", "something"], true);
        check("!", &[""], false);
        check("a", &[], false);
    }

    #[test]
    fn a_record_without_an_answer_says_so() {
        assert_eq!(verdict("", &["a"]), Some(Rule::NoAnswer));
        assert_eq!(check(None, &[]).unwrap_err().rule, Rule::NoAnswer);
        assert_eq!(verdict("b", &["a"]), Some(Rule::AnswerNotFound));
    }

    #[test]
    fn text_is_standardised_as_its_authors_do() {
        assert_eq!(
            standardise("{'A': (b-C_d.)*^/, ' Č'}"),
            "{\"a\": bcd \" č\"}"
        );
    }
}
