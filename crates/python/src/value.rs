//! A value, and what Python says of it without printing it.

use num_bigint::BigInt;
use num_traits::ToPrimitive;

use crate::{Dict, Exception};

/// A Python value. It owns what it holds: two values never share a list. `==` is Python's
/// (`1 == 1.0 == True`, dicts ignore order), and it displays as `str(value)` does.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// `None`
    #[default]
    None,
    /// `True`, `False`: numbers to Python.
    Bool(bool),
    /// An `int` that fits.
    Int(i64),
    /// An `int` that does not fit into 64 bits, and only such: [`Value::from`] sees to it.
    BigInt(BigInt),
    /// A `float`
    Float(f64),
    /// A `str`. Unlike Python's it holds no lone surrogates.
    Str(String),
    /// A `list`
    List(Vec<Value>),
    /// A `tuple`
    Tuple(Vec<Value>),
    /// A `dict`
    Dict(Dict),
    /// A `set`, printed in this order. Whoever adds to it sees that nothing occurs twice.
    Set(Vec<Value>),
    /// Any other object, of which only the text is known.
    Opaque(Opaque),
}

/// An object of a class that is no literal's: `Decimal('1.5')`, `Ellipsis`, `b'x'`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opaque {
    /// The name of its class.
    pub class: &'static str,
    /// Its `repr`.
    pub repr: String,
}

impl Value {
    /// `Ellipsis`
    pub fn ellipsis() -> Self {
        Self::opaque("ellipsis", "Ellipsis")
    }

    /// An object of which only the text is known.
    pub fn opaque(class: &'static str, repr: impl Into<String>) -> Self {
        Self::Opaque(Opaque {
            class,
            repr: repr.into(),
        })
    }

    /// `type(value).__name__`
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::BigInt(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "str",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::Set(_) => "set",
            Self::Opaque(opaque) => opaque.class,
        }
    }

    /// `bool(value)`
    pub fn is_true(&self) -> bool {
        match self {
            Self::None => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::BigInt(_) | Self::Opaque(_) => true,
            Self::Float(value) => *value != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::List(items) | Self::Tuple(items) | Self::Set(items) => !items.is_empty(),
            Self::Dict(dict) => !dict.is_empty(),
        }
    }

    /// `value is None`
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// `isinstance(value, (int, float))`: `True` and `False` are ints.
    pub fn is_number(&self) -> bool {
        matches!(
            self,
            Self::Bool(_) | Self::Int(_) | Self::BigInt(_) | Self::Float(_)
        )
    }

    /// The text of a `str`.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// A small `int`, or a `bool` as one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Bool(value) => Some(i64::from(*value)),
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// An `int` or `bool` of any size.
    pub fn as_big_int(&self) -> Option<BigInt> {
        match self {
            Self::BigInt(value) => Some(value.clone()),
            _ => self.as_int().map(BigInt::from),
        }
    }

    /// A `dict`.
    pub fn as_dict(&self) -> Option<&Dict> {
        match self {
            Self::Dict(dict) => Some(dict),
            _ => None,
        }
    }

    /// A `dict` to change.
    pub fn as_dict_mut(&mut self) -> Option<&mut Dict> {
        match self {
            Self::Dict(dict) => Some(dict),
            _ => None,
        }
    }

    /// The items of a `list`.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// What `for item in value` goes through: items, characters, keys.
    pub fn iterate(&self) -> Result<Vec<Value>, Exception> {
        match self {
            Self::List(items) | Self::Tuple(items) | Self::Set(items) => Ok(items.clone()),
            Self::Str(text) => Ok(text.chars().map(|c| Self::from(c.to_string())).collect()),
            Self::Dict(dict) => Ok(dict.keys().cloned().collect()),
            _ => Err(Exception::type_error(format!(
                "'{}' object is not iterable",
                self.type_name()
            ))),
        }
    }

    /// `len(value)`
    pub fn length(&self) -> Result<usize, Exception> {
        match self {
            Self::Str(text) => Ok(text.chars().count()),
            Self::List(items) | Self::Tuple(items) | Self::Set(items) => Ok(items.len()),
            Self::Dict(dict) => Ok(dict.len()),
            _ => Err(Exception::type_error(format!(
                "object of type '{}' has no len()",
                self.type_name()
            ))),
        }
    }

    /// `item in value`
    pub fn contains(&self, item: &Value) -> Result<bool, Exception> {
        match self {
            Self::Str(text) => match item {
                Self::Str(part) => Ok(text.contains(part.as_str())),
                _ => Err(Exception::type_error(format!(
                    "'in <string>' requires string as left operand, not {}",
                    item.type_name()
                ))),
            },
            Self::Dict(dict) => Ok(dict.get_key(item)?.is_some()),
            Self::Set(items) => {
                item.check_hashable()?;
                Ok(items.contains(item))
            }
            Self::List(items) | Self::Tuple(items) => Ok(items.contains(item)),
            Self::Opaque(Opaque { class: "bytes", .. }) => Err(Exception::type_error(format!(
                "a bytes-like object is required, not '{}'",
                item.type_name()
            ))),
            _ => Err(Exception::type_error(format!(
                "argument of type '{}' is not iterable",
                self.type_name()
            ))),
        }
    }

    /// Whether the value may be a key: `TypeError` of the part that may not.
    pub fn check_hashable(&self) -> Result<(), Exception> {
        match self {
            Self::List(_) | Self::Dict(_) | Self::Set(_) => Err(Exception::type_error(format!(
                "unhashable type: '{}'",
                self.type_name()
            ))),
            Self::Tuple(items) => items.iter().try_for_each(Self::check_hashable),
            _ => Ok(()),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<BigInt> for Value {
    fn from(value: BigInt) -> Self {
        match value.to_i64() {
            Some(small) => Self::Int(small),
            None => Self::BigInt(value),
        }
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Str(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Str(value)
    }
}

impl From<Vec<Value>> for Value {
    fn from(value: Vec<Value>) -> Self {
        Self::List(value)
    }
}

impl From<Dict> for Value {
    fn from(value: Dict) -> Self {
        Self::Dict(value)
    }
}

/// As `json.loads` would read it: `1` is an int, `1.0` a float.
impl From<&serde_json::Value> for Value {
    fn from(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::None,
            serde_json::Value::Bool(value) => Self::Bool(*value),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(small), _) => Self::Int(small),
                (None, Some(large)) => Self::BigInt(BigInt::from(large)),
                (None, None) => Self::Float(number.as_f64().expect("a number is finite")),
            },
            serde_json::Value::String(text) => Self::Str(text.clone()),
            serde_json::Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            serde_json::Value::Object(fields) => Self::Dict(
                fields
                    .iter()
                    .map(|(key, value)| (key.clone(), Self::from(value)))
                    .collect(),
            ),
        }
    }
}

/// As JSON that other programs read. What JSON has no form for takes the nearest: tuples and
/// sets are lists, keys are texts, ints of more than 64 bits are floats, and whatever else
/// there is, `inf` among it, is the text that Python prints.
impl From<&Value> for serde_json::Value {
    fn from(value: &Value) -> Self {
        let of_float = |float: f64| serde_json::Number::from_f64(float).map(Self::Number);
        match value {
            Value::None => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::from(*value),
            Value::BigInt(int) => match (int.to_u64(), int.to_f64()) {
                (Some(large), _) => Self::from(large),
                (None, float) => float
                    .and_then(of_float)
                    .unwrap_or_else(|| Self::String(int.to_string())),
            },
            Value::Float(float) => {
                of_float(*float).unwrap_or_else(|| Self::String(value.to_string()))
            }
            Value::Str(text) => Self::String(text.clone()),
            Value::List(items) | Value::Tuple(items) | Value::Set(items) => {
                items.iter().map(Self::from).collect()
            }
            Value::Dict(dict) => dict
                .iter()
                .map(|(key, value)| (key.to_string(), Self::from(value)))
                .collect(),
            Value::Opaque(_) => Self::String(value.to_string()),
        }
    }
}
