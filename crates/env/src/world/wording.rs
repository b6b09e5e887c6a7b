//! How the world speaks: questions, descriptions, the expert's reasoning. Knows no table.

use super::lexicon::{ID, REGISTRY};

/// The user's turn behind a worked example.
pub const AGAIN: &str = "That was a worked example. Now solve the task again from the start.";

/// How many wordings a question has, and how many a tool's description.
pub(super) const QUESTIONS: usize = 3;
pub(super) const DESCRIPTIONS: usize = 3;

/// `the rival of the mentor of Kelvor`; relations are in the order in which they are solved.
pub(super) fn phrase(relations: &[&str], person: &str) -> String {
    relations
        .iter()
        .rev()
        .map(|relation| format!("the {relation} of "))
        .collect::<String>()
        + person
}

/// A question for one phrase, or for two at once.
pub(super) fn question(wording: usize, phrases: &[String]) -> String {
    let asked = phrases.join(" and ");
    match (wording, phrases.len()) {
        (0, 1) => format!("Who is {asked}?"),
        (0, _) => format!("Who are {asked}?"),
        (1, _) => format!("Find {asked}."),
        _ => format!("Name {asked}."),
    }
}

/// What a tool's description says of it. `what` is its relation, or [`ID`].
pub(super) fn description(wording: usize, what: &str) -> String {
    match wording {
        0 => format!("{what} of a person"),
        1 => format!("gives the {what}"),
        _ if what == ID => "a person as an id".to_owned(),
        _ => format!("who is the {what}"),
    }
}

/// What a call of the tool `name` finds out about `key`: `the mentor of Kelvor`.
pub(super) fn need(name: &str, key: &str) -> String {
    let stem = name.split_once('_').map_or(name, |(stem, _)| stem);
    let what = if stem == REGISTRY { ID } else { stem };
    format!("the {what} of {key}")
}

/// The error by which a tool asks for another key.
pub(super) fn listed_as(key: &str, alias: &str) -> String {
    format!("{key} is listed as {alias}")
}

/// One turn's reasoning: why (`Need …` or `… is listed as …`), then by which tools.
pub(super) fn reasoning(needs: &[String], aliases: &[String], tools: &[&str]) -> String {
    let mut why = aliases.join(" and ");
    if !needs.is_empty() {
        why = format!("Need {}", needs.join(" and "));
    }
    let mut tools = tools.to_vec();
    tools.dedup();
    format!("{why}. Use {}.", tools.join(" and "))
}
