//! Signatures, and how Python binds arguments to them.

use std::ops::Index;

use python::{Call, Exception, Value};

/// A method as it is called. `self` is not among its parameters.
#[derive(Debug)]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// Its parameters, in order; those with a default come last.
    pub parameters: &'static [Parameter],
}

/// One parameter.
#[derive(Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// `None` where it must be given.
    pub default: Option<DefaultValue>,
}

/// What a parameter is when it is not given.
#[derive(Clone, Copy, Debug)]
pub enum DefaultValue {
    /// `None`
    None,
    /// A `bool`.
    Bool(bool),
    /// An `int`.
    Int(i64),
    /// A `float`.
    Float(f64),
    /// A `str`.
    Str(&'static str),
    /// `[]`, a new one for each call.
    EmptyList,
}

/// A row of a class's table of methods.
pub const fn method(name: &'static str, parameters: &'static [Parameter]) -> Method {
    Method { name, parameters }
}

/// A parameter that must be given.
pub const fn required(name: &'static str) -> Parameter {
    Parameter {
        name,
        default: None,
    }
}

/// A parameter with a default.
pub const fn optional(name: &'static str, default: DefaultValue) -> Parameter {
    Parameter {
        name,
        default: Some(default),
    }
}

/// The values of a method's parameters, by name: `&arguments["folder"]`.
#[derive(Clone, Debug)]
pub struct Arguments {
    parameters: &'static [Parameter],
    /// One for each parameter; whether it was given.
    values: Vec<(Value, bool)>,
}

impl Arguments {
    /// Whether the call gave the argument itself.
    pub fn is_given(&self, name: &str) -> bool {
        self.values[self.place(name)].1
    }

    fn place(&self, name: &str) -> usize {
        self.parameters
            .iter()
            .position(|parameter| parameter.name == name)
            .unwrap_or_else(|| panic!("a method asked for `{name}`, which is no parameter of it"))
    }
}

impl Index<&str> for Arguments {
    type Output = Value;

    fn index(&self, name: &str) -> &Value {
        &self.values[self.place(name)].0
    }
}

impl DefaultValue {
    fn value(self) -> Value {
        match self {
            Self::None => Value::None,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Float(value) => Value::Float(value),
            Self::Str(text) => Value::from(text),
            Self::EmptyList => Value::List(Vec::new()),
        }
    }
}

impl Method {
    /// Binds a call's arguments; `TypeError` with Python's words where they do not fit.
    /// `class` qualifies the name in those.
    pub fn bind(&self, class: &str, call: Call) -> Result<Arguments, Exception> {
        let function = format!("{class}.{}()", self.name);
        let given = call.positional.len();
        let mut values: Vec<Option<Value>> = call.positional.into_iter().map(Some).collect();
        values.resize(given.max(self.parameters.len()), None);
        for (name, value) in call.keywords {
            let place = self.parameters.iter().position(|p| p.name == name);
            match place {
                Some(place) if values[place].is_none() => values[place] = Some(value),
                Some(_) => {
                    return Err(Exception::type_error(format!(
                        "{function} got multiple values for argument '{name}'"
                    )));
                }
                None if name == "self" => {
                    return Err(Exception::type_error(format!(
                        "{function} got multiple values for argument 'self'"
                    )));
                }
                None => {
                    return Err(Exception::type_error(format!(
                        "{function} got an unexpected keyword argument '{name}'"
                    )));
                }
            }
        }
        if given > self.parameters.len() {
            return Err(self.too_many(&function, given));
        }
        self.check_complete(&function, &values)?;
        let values = values
            .into_iter()
            .zip(self.parameters)
            .map(|(value, parameter)| match (value, parameter.default) {
                (Some(value), _) => (value, true),
                (None, Some(default)) => (default.value(), false),
                (None, None) => unreachable!("what is missing has been refused"),
            })
            .collect();
        Ok(Arguments {
            parameters: self.parameters,
            values,
        })
    }

    /// Python counts `self` among what is taken and given.
    fn too_many(&self, function: &str, given: usize) -> Exception {
        let most = self.parameters.len() + 1;
        let least = self
            .parameters
            .iter()
            .filter(|p| p.default.is_none())
            .count()
            + 1;
        let takes = if least == most {
            format!("{most} positional argument{}", plural(most))
        } else {
            format!("from {least} to {most} positional arguments")
        };
        Exception::type_error(format!(
            "{function} takes {takes} but {} were given",
            given + 1
        ))
    }

    fn check_complete(&self, function: &str, values: &[Option<Value>]) -> Result<(), Exception> {
        let missing: Vec<String> = self
            .parameters
            .iter()
            .zip(values)
            .filter(|(parameter, value)| parameter.default.is_none() && value.is_none())
            .map(|(parameter, _)| format!("'{}'", parameter.name))
            .collect();
        let names = match missing.as_slice() {
            [] => return Ok(()),
            [only] => only.clone(),
            [first, second] => format!("{first} and {second}"),
            [first @ .., last] => format!("{}, and {last}", first.join(", ")),
        };
        Err(Exception::type_error(format!(
            "{function} missing {} required positional argument{}: {names}",
            missing.len(),
            plural(missing.len())
        )))
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
