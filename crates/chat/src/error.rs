//! What can go wrong between text and tokens, named by where it does.

use std::path::PathBuf;

/// Text could not be turned into tokens. What an agent writes is never an error here: it is
/// data, down to calls that do not parse.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// A file would not open.
    #[error("`{path}` could not be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not the JSON that was expected.
    #[error("`{file}`: {message}")]
    Json {
        /// The file's name.
        file: String,
        /// What is wrong with it.
        message: String,
    },
    /// `tokenizer.json` was refused by the tokenizer library.
    #[error("`tokenizer.json` is not a tokenizer: {0}\nhint: was the file downloaded completely?")]
    Tokenizer(String),
    /// Text that the tokenizer could not encode.
    #[error("text could not be tokenised: {0}")]
    Encode(String),
    /// An end-of-sequence token that is not in the vocabulary.
    #[error("`{file}`: end-of-sequence token {token} is not in the vocabulary of `tokenizer.json`")]
    StopToken {
        /// The file that names it.
        file: String,
        /// The token, as text or as id.
        token: String,
    },
    /// No token ends a turn.
    #[error(
        "no end-of-sequence token: neither `eos_token` in `tokenizer_config.json` nor a special token that the chat template puts after a turn\nhint: set `eos_token` in `tokenizer_config.json`"
    )]
    NoStopToken,
    /// No chat template.
    #[error(
        "no chat template: `tokenizer_config.json` has no `chat_template` and there is no `chat_template.jinja` beside it\nhint: use the tokenizer files of an instruction-tuned model"
    )]
    NoTemplate,
    /// The chat template does not parse, or refused a conversation.
    #[error("chat template: {0}")]
    Template(String),
    /// The template of a trace's text does not parse, or asks for what a trace has not.
    #[error(
        "`trace.template`: {0}\nhint: it sees `turns` (each with `reasoning`, `calls` and `results`), `answer_reasoning` and `answer`"
    )]
    TraceTemplate(String),
    /// The template does not print turns in a way that allows to append to them.
    #[error("chat template: {0}, so turns cannot be appended to a conversation")]
    Layout(String),
    /// Tokenising what follows a turn on its own gives other tokens than tokenising it in place.
    #[error(
        "the tokenizer merges text across the end of a turn: {text:?}, tokenised in place and on its own, differ, so turns cannot be kept as sampled\nhint: the template must end turns with a special token"
    )]
    Boundary {
        /// What follows the turn.
        text: String,
    },
    /// A date that is not a date.
    #[error("chat.date: `{0}` is not a date, expected YYYY-MM-DD")]
    Date(String),
    /// A transcript was extended out of order.
    #[error("{found} cannot follow here, expected {expected}")]
    OutOfTurn {
        /// What was pushed.
        found: &'static str,
        /// What may be pushed.
        expected: &'static str,
    },
    /// An expert trace whose turn has not one result for each call.
    #[error("trace of task `{task}`, turn {turn}: {calls} calls but {results} results")]
    Trace {
        /// The trace's task.
        task: String,
        /// Counted from 0.
        turn: usize,
        /// Calls in the turn.
        calls: usize,
        /// Results in the turn.
        results: usize,
    },
}
