//! Text to tokens and back: tokenizer, chat template, tool-call parsing, who wrote each token
//! (template, policy, tool), and which part of a turn it is (reasoning, call, answer).
//! Nothing here knows a reward, a tensor or an environment.

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
