//! Texts, verdicts and scores, held to what the official program makes of the same.

mod dialogues;
mod oracle;
mod scores;
mod texts;
