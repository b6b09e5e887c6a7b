//! Text to tokens and back: tokenizer, chat template, tool-call parsing, who wrote each token
//! (template, policy, tool), and which part of a turn it is (reasoning, call, answer).
//! Nothing here knows a reward, a tensor or an environment.
//!
//! A conversation as tokens, to which turns are only ever appended:
//!
//! ```
//! use std::path::Path;
//!
//! use chat::{Chat, Config};
//! use episode::{Author, Message, Role, Task};
//!
//! let base = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../base"));
//! let chat = Chat::load(base, Config::default()).expect("the base's tokenizer");
//! let task = Task {
//!     messages: vec![Message::new(Role::User, "Name the cook of Donfin.")],
//!     id: "cook".into(),
//!     scenario: String::new(),
//!     tools: vec![],
//!     answer: None,
//!     calls: Default::default(),
//! };
//! let mut transcript = chat.transcript(&task).expect("a prompt");
//! let prompt = transcript.context().to_vec();
//! assert!(chat.decode(&prompt).ends_with("<|im_start|>assistant\n"));
//!
//! let turn = chat.encode("Mirfit<|im_end|>").expect("a turn");
//! let logprobs = vec![-0.1; turn.len()];
//! let parsed = transcript.push_turn(&turn, &logprobs, false).expect("a turn in its place");
//! assert_eq!(parsed.content, "Mirfit");
//! let segment = &transcript.segments()[0];
//! assert_eq!(segment.runs_of(Author::Policy), [prompt.len()..prompt.len() + turn.len()]);
//! ```

mod chat;
mod config;
mod date;
mod error;
#[doc(hidden)]
pub mod fixture;
mod layout;
mod reasoning;
mod retell;
mod template;
mod tokenizer;
mod trace_text;
mod transcript;
mod turn;

pub use chat::Chat;
pub use config::{Config, Thinking};
pub use error::ChatError;
pub use trace_text::{TRACE_TEMPLATE, trace_text};
pub use transcript::{ParsedTurn, Transcript};
