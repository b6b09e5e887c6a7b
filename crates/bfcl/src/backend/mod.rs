//! What the calls of a BFCL conversation act on: one class of the benchmark a file. A back end
//! takes Python values, gives what Python would, and owns all that it changes; instances share
//! nothing. Knows no call string, no conversation and no verdict.
//!
//! Where the original lets one episode change another (a default list and the long-context
//! cards and bookings that all instances share), each instance here has its own.

mod configuration;
mod file_system;
mod math;
mod message;
mod method;
pub(crate) mod operations;
mod ticket;
mod trading;
mod travel;
mod twitter;
mod vehicle;

use std::sync::Arc;

use python::{Dict, Exception, Value};

use self::configuration::Configuration;
use self::file_system::FileSystem;
use self::math::Math;
use self::message::MessageApi;
pub use self::method::{Arguments, DefaultValue, Method, Parameter, method, optional, required};
use self::ticket::TicketApi;
use self::trading::TradingBot;
use self::travel::TravelApi;
use self::twitter::TwitterApi;
use self::vehicle::VehicleControlApi;
use crate::memory::Memory;
use crate::tables::Tables;

/// One instance of a back end's class.
pub trait Backend: Send {
    /// The benchmark's name of the class, such as `GorillaFileSystem`.
    fn class(&self) -> &'static str;

    /// What may be called.
    fn methods(&self) -> &'static [Method];

    /// Calls one of [`Backend::methods`]. What Python would raise is an `Err`: an observation,
    /// whose changes up to there stay.
    fn call(&mut self, method: &str, arguments: &Arguments) -> Result<Value, Exception>;

    /// The attributes that the state check compares with Python's `==`: all that do not begin
    /// with `_`, in the order in which they were set. A file is `{"__file__": name, "content":
    /// text}`, a directory `{"__dir__": name, "contents": {child: node}}`.
    fn state(&self) -> Dict;

    /// The back end as what outlives its conversation, where it does.
    fn memory(&self) -> Option<&dyn Memory> {
        None
    }
}

/// An instance that cannot be made. Task files are to blame, never an agent.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No back end has this name.
    #[error("unknown class `{class}`\nhint: the classes are {}", CLASSES.join(", "))]
    Class {
        /// What was asked for.
        class: String,
    },
    /// `initial_config` is not what the class can begin with.
    #[error("`initial_config` of `{class}`: {problem}")]
    Config {
        /// The class.
        class: &'static str,
        /// What Python would raise.
        problem: Exception,
    },
}

/// Every class that [`open`] knows.
pub const CLASSES: &[&str] = &[
    FileSystem::CLASS,
    Math::CLASS,
    MessageApi::CLASS,
    TwitterApi::CLASS,
    TicketApi::CLASS,
    TradingBot::CLASS,
    TravelApi::CLASS,
    VehicleControlApi::CLASS,
];

/// Makes an instance in the state that `config` (the class's part of `initial_config`; an empty
/// dict where it has none) describes.
pub fn open(
    class: &str,
    config: &Dict,
    long_context: bool,
    tables: &Arc<Tables>,
) -> Result<Box<dyn Backend>, OpenError> {
    fn boxed(
        class: &'static str,
        instance: Result<impl Backend + 'static, Exception>,
    ) -> Result<Box<dyn Backend>, OpenError> {
        match instance {
            Ok(instance) => Ok(Box::new(instance)),
            Err(problem) => Err(OpenError::Config { class, problem }),
        }
    }
    let begin = |module: &str| Configuration::new(module, config, long_context, tables);
    match class {
        FileSystem::CLASS => boxed(
            FileSystem::CLASS,
            FileSystem::open(config, long_context, tables),
        ),
        Math::CLASS => boxed(Math::CLASS, Ok(Math::open(tables))),
        MessageApi::CLASS => boxed(
            MessageApi::CLASS,
            begin("message_api").and_then(MessageApi::open),
        ),
        TwitterApi::CLASS => boxed(
            TwitterApi::CLASS,
            begin("posting_api").and_then(TwitterApi::open),
        ),
        TicketApi::CLASS => boxed(
            TicketApi::CLASS,
            begin("ticket_api").and_then(TicketApi::open),
        ),
        TradingBot::CLASS => boxed(
            TradingBot::CLASS,
            begin("trading_bot").and_then(TradingBot::open),
        ),
        TravelApi::CLASS => boxed(
            TravelApi::CLASS,
            begin("travel_booking").and_then(TravelApi::open),
        ),
        VehicleControlApi::CLASS => boxed(
            VehicleControlApi::CLASS,
            begin("vehicle_control").and_then(VehicleControlApi::open),
        ),
        _ => Err(OpenError::Class {
            class: class.to_owned(),
        }),
    }
}

/// `{"error": text}`, with which most methods answer what they refuse.
pub(crate) fn error(text: impl Into<String>) -> Result<Value, Exception> {
    Ok(dict([("error", Value::Str(text.into()))]))
}

/// A dict of these keys, in this order.
pub(crate) fn dict<const N: usize>(items: [(&str, Value); N]) -> Value {
    Value::Dict(Dict::from(items))
}
