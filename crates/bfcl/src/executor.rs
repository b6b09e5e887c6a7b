//! Executes what a model or the ground truth calls, on the instances of one conversation.
//! A call is parsed, never evaluated: literals, arithmetic of them, nested calls of the
//! conversation's own methods, `len` and `print`. All else is answered with the `NameError` or
//! `SyntaxError` that an agent can read.
//!
//! Texts are the original's, byte for byte, with two exceptions that are its faults: it drops
//! the blanks of every "word (" inside text arguments and puts a variable's name before every
//! method's name that is followed by "(" there; here text arguments are left alone.

use std::sync::Arc;

use episode::ToolCall;
use python::{Call, Dict, Exception, Functions, JsonStyle, Value, json_dumps, parse_expression};

use crate::backend::{Backend, OpenError, open};
use crate::tables::Tables;

/// Names that may not be called, whatever defines them.
const BANNED: [&str; 8] = [
    "kill", "exit", "quit", "remove", "unlink", "popen", "Popen", "run",
];

/// The back ends of one conversation. They live as long as it does.
pub struct Instances(Vec<Box<dyn Backend>>);

impl Instances {
    /// One instance of each class. `initial_config` has the classes' configs by name; a class
    /// without one begins in its default state.
    pub fn open(
        classes: &[String],
        initial_config: &Dict,
        long_context: bool,
        tables: &Arc<Tables>,
    ) -> Result<Self, OpenError> {
        let nothing = Dict::new();
        let mut instances = Vec::new();
        for class in classes {
            let config = initial_config.get(class).and_then(Value::as_dict);
            instances.push(open(
                class,
                config.unwrap_or(&nothing),
                long_context,
                tables,
            )?);
        }
        Ok(Self(instances))
    }

    /// Instances that were made elsewhere.
    pub fn new(instances: Vec<Box<dyn Backend>>) -> Self {
        Self(instances)
    }

    /// The back ends, in the order of the conversation's classes.
    pub fn backends(&self) -> &[Box<dyn Backend>] {
        &self.0
    }

    /// Executes one call string and gives the text that the agent reads.
    pub fn execute(&mut self, text: &str) -> String {
        let result = check_allowed(text)
            .and_then(|()| parse_expression(text))
            .and_then(|expression| expression.evaluate(self));
        match result {
            Ok(value) => stringify(&value),
            Err(exception) => format!("Error during execution: {exception}"),
        }
    }

    /// Executes a call with JSON arguments: as the call string that the original makes of it.
    pub fn call(&mut self, call: &ToolCall) -> String {
        self.execute(&call_string(call))
    }
}

/// The call string that the original makes of a call with JSON arguments:
/// `name(k=repr(v),k2=repr(v2))`.
pub fn call_string(call: &ToolCall) -> String {
    let keywords = call
        .arguments
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(value)));
    let call = Call {
        function: call.name.clone(),
        positional: Vec::new(),
        keywords: keywords.collect(),
    };
    call.to_text(",")
}

/// What the agent reads of a result: text as it is, a dict as JSON where JSON can write it, all
/// else as Python's `str` prints it.
pub fn stringify(value: &Value) -> String {
    match value {
        Value::Dict(_) => {
            json_dumps(value, &JsonStyle::ascii()).unwrap_or_else(|_| value.to_string())
        }
        _ => value.to_string(),
    }
}

/// The name is what stands before the first bracket; of `a.b`, it is `b`.
fn check_allowed(text: &str) -> Result<(), Exception> {
    let before_bracket = text.split('(').next().unwrap_or(text).trim_end();
    let name = before_bracket.split('.').nth(1).unwrap_or(before_bracket);
    if BANNED.contains(&name) {
        return Err(Exception::value_error(format!(
            "Function call {name} is not allowed."
        )));
    }
    Ok(())
}

impl Functions for Instances {
    fn find(&self, function: &str) -> Result<(), Exception> {
        let is_method =
            |backend: &dyn Backend| backend.methods().iter().any(|m| m.name == function);
        if BUILTINS.contains(&function) || self.0.iter().any(|backend| is_method(&**backend)) {
            return Ok(());
        }
        let name = function.split('.').next().unwrap_or(function);
        Err(Exception::name_error(name))
    }

    fn call(&mut self, call: Call) -> Result<Value, Exception> {
        for backend in &mut self.0 {
            let method = backend.methods().iter().find(|m| m.name == call.function);
            if let Some(method) = method {
                let arguments = method.bind(backend.class(), call)?;
                return backend.call(method.name, &arguments);
            }
        }
        call_builtin(&call)
    }
}

/// The functions of Python's own that are known.
const BUILTINS: [&str; 2] = ["len", "print"];

fn call_builtin(call: &Call) -> Result<Value, Exception> {
    match call.function.as_str() {
        "len" => length(call),
        "print" => print(call),
        name => Err(Exception::name_error(name)),
    }
}

fn length(call: &Call) -> Result<Value, Exception> {
    if !call.keywords.is_empty() {
        return Err(Exception::type_error("len() takes no keyword arguments"));
    }
    let [value] = call.positional.as_slice() else {
        return Err(Exception::type_error(format!(
            "len() takes exactly one argument ({} given)",
            call.positional.len()
        )));
    };
    value.length().map(|length| Value::Int(length as i64))
}

/// Prints nowhere: nobody of the conversation would see it.
fn print(call: &Call) -> Result<Value, Exception> {
    let known = ["sep", "end", "file", "flush"];
    match call
        .keywords
        .iter()
        .find(|(name, _)| !known.contains(&name.as_str()))
    {
        Some((name, _)) => Err(Exception::type_error(format!(
            "'{name}' is an invalid keyword argument for print()"
        ))),
        None => Ok(Value::None),
    }
}
