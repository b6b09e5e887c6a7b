//! A dict: keys of any hashable value, in the order in which they came.

use std::hash::{Hash, Hasher};

use indexmap::{Equivalent, IndexMap};
use num_bigint::BigInt;
use num_traits::FromPrimitive;

use crate::{Exception, Value};

/// A `dict`. Most keys are text, so text is what the short names take.
/// Equality ignores order, as Python's does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dict(IndexMap<Key, Value>);

impl Dict {
    /// `{}`
    pub fn new() -> Self {
        Self::default()
    }

    /// `len(dict)`
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// `not dict`
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `dict.get(key)`
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// `dict.get(key)`, to change the value.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.0.get_mut(key)
    }

    /// `dict.get(key)` for any key; `TypeError` where it cannot be hashed.
    pub fn get_key(&self, key: &Value) -> Result<Option<&Value>, Exception> {
        key.check_hashable()?;
        Ok(self.0.get(&Lookup(key)))
    }

    /// `dict.get(key)` for any key, to change the value.
    pub fn get_key_mut(&mut self, key: &Value) -> Result<Option<&mut Value>, Exception> {
        key.check_hashable()?;
        Ok(self.0.get_mut(&Lookup(key)))
    }

    /// `dict[key]`: `KeyError` where it is missing.
    pub fn item(&self, key: &Value) -> Result<&Value, Exception> {
        self.get_key(key)?.ok_or_else(|| Exception::key_error(key))
    }

    /// `key in dict`
    pub fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// `dict[key] = value`
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        self.0.insert(Key(Value::Str(key.into())), value.into());
    }

    /// `dict[key] = value` for any key; `TypeError` where it cannot be hashed. Of two equal
    /// keys the first stays.
    pub fn insert_key(&mut self, key: Value, value: Value) -> Result<(), Exception> {
        key.check_hashable()?;
        self.0.insert(Key(key), value);
        Ok(())
    }

    /// `dict.pop(key, None)`
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.0.shift_remove(key)
    }

    /// `dict.pop(key, None)` for any key; `TypeError` where it cannot be hashed.
    pub fn remove_key(&mut self, key: &Value) -> Result<Option<Value>, Exception> {
        key.check_hashable()?;
        Ok(self.0.shift_remove(&Lookup(key)))
    }

    /// `dict.clear()`
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// `dict.items()`
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Value, &Value)> {
        self.0.iter().map(|(key, value)| (&key.0, value))
    }

    /// `dict.keys()`
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.0.keys().map(|key| &key.0)
    }

    /// `dict.values()`
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.0.values()
    }

    /// `dict.values()`, to change them.
    pub fn values_mut(&mut self) -> impl ExactSizeIterator<Item = &mut Value> {
        self.0.values_mut()
    }
}

impl<const N: usize> From<[(&str, Value); N]> for Dict {
    fn from(items: [(&str, Value); N]) -> Self {
        items.into_iter().collect()
    }
}

impl<K: Into<String>> FromIterator<(K, Value)> for Dict {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(items: I) -> Self {
        let mut dict = Self::new();
        for (key, value) in items {
            dict.insert(key, value);
        }
        dict
    }
}

/// A value that can be hashed: equal numbers of different types are one key.
#[derive(Clone, Debug, PartialEq)]
struct Key(Value);

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(&self.0, state);
    }
}

impl Equivalent<Key> for str {
    fn equivalent(&self, key: &Key) -> bool {
        key.0.as_str() == Some(self)
    }
}

/// A key that is only looked for.
struct Lookup<'a>(&'a Value);

impl Hash for Lookup<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(self.0, state);
    }
}

impl Equivalent<Key> for Lookup<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.0 == key.0
    }
}

/// Text hashes as a `str` does, so that it can be looked for as it is.
fn hash<H: Hasher>(value: &Value, state: &mut H) {
    match value {
        Value::Str(text) => text.as_str().hash(state),
        Value::Bool(value) => i64::from(*value).hash(state),
        Value::Int(value) => value.hash(state),
        Value::BigInt(value) => value.hash(state),
        Value::Float(value) => hash_float(*value, state),
        Value::Tuple(items) => items.iter().for_each(|item| hash(item, state)),
        Value::Opaque(opaque) => opaque.repr.hash(state),
        Value::None | Value::List(_) | Value::Dict(_) | Value::Set(_) => 0_u8.hash(state),
    }
}

/// An integral float hashes as the int that it equals.
fn hash_float<H: Hasher>(value: f64, state: &mut H) {
    let integral = (value.fract() == 0.0)
        .then(|| BigInt::from_f64(value))
        .flatten();
    match integral {
        Some(integral) => hash(&Value::from(integral), state),
        None => value.to_bits().hash(state),
    }
}
