//! What an instance begins with.

use std::sync::Arc;

use python::{Dict, Exception, Value};

use crate::tables::Tables;
use crate::twister::Twister;

/// An instance's part of `initial_config`, and its class's default state where that says nothing.
pub(super) struct Configuration<'c> {
    given: &'c Dict,
    defaults: &'c Dict,
    pub(super) long_context: bool,
    pub(super) tables: &'c Arc<Tables>,
}

impl<'c> Configuration<'c> {
    /// `module` is where the tables keep the class's default state.
    pub(super) fn new(
        module: &str,
        given: &'c Dict,
        long_context: bool,
        tables: &'c Arc<Tables>,
    ) -> Result<Self, Exception> {
        Ok(Self {
            given,
            defaults: tables.dict(module, "DEFAULT_STATE")?,
            long_context,
            tables,
        })
    }

    /// What is given, or the default; `None` where there is neither.
    pub(super) fn value(&self, name: &str) -> Value {
        self.value_as(name, name)
    }

    /// As [`Self::value`], where the configuration's name is not the default's.
    pub(super) fn value_as(&self, name: &str, default: &str) -> Value {
        let value = self.given.get(name).or_else(|| self.defaults.get(default));
        value.cloned().unwrap_or_default()
    }

    pub(super) fn dict(&self, name: &str) -> Result<Dict, Exception> {
        match self.value(name) {
            Value::Dict(dict) => Ok(dict),
            _ => Err(unexpected(name, "a dict")),
        }
    }

    /// A dict whose keys are numbers where they can be: JSON has only text for keys.
    pub(super) fn numbered(&self, name: &str) -> Result<Dict, Exception> {
        let mut numbered = Dict::new();
        for (key, value) in self.dict(name)?.iter() {
            let digits = key
                .as_str()
                .filter(|key| key.bytes().all(|b| b.is_ascii_digit()));
            let number = digits
                .and_then(|digits| digits.parse().ok())
                .map(Value::Int);
            numbered.insert_key(number.unwrap_or_else(|| key.clone()), value.clone())?;
        }
        Ok(numbered)
    }

    pub(super) fn list(&self, name: &str) -> Result<Vec<Value>, Exception> {
        match self.value(name) {
            Value::List(items) => Ok(items),
            _ => Err(unexpected(name, "a list")),
        }
    }

    pub(super) fn int(&self, name: &str) -> Result<i64, Exception> {
        self.value(name)
            .as_int()
            .ok_or_else(|| unexpected(name, "an int"))
    }

    /// The generator of the instance's ids: seeded with its own `random_seed` or its class's.
    pub(super) fn random(&self, seed: u64) -> Result<Twister, Exception> {
        let given = self.given.contains("random_seed");
        let seed = if given {
            self.int("random_seed")?.unsigned_abs()
        } else {
            seed
        };
        Ok(Twister::new(seed))
    }
}

fn unexpected(name: &str, expected: &str) -> Exception {
    Exception::value_error(format!("`{name}` is not {expected}"))
}
