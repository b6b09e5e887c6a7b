//! Equality and order, as Python's operators give them.

use std::cmp::Ordering;

use num_bigint::BigInt;
use num_traits::FromPrimitive;

use crate::{Exception, Value};

/// One of the operators that order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    fn symbol(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

/// `left < right` and its like. `TypeError` where Python does not order the two; a NaN is on
/// neither side.
pub fn compare(left: &Value, comparison: Comparison, right: &Value) -> Result<bool, Exception> {
    Ok(order(left, comparison, right)?.is_some_and(|ordering| comparison.holds(ordering)))
}

/// How two values stand to each other; `None` beside a NaN. `comparison` is what the
/// `TypeError` names.
pub fn order(
    left: &Value,
    comparison: Comparison,
    right: &Value,
) -> Result<Option<Ordering>, Exception> {
    match (left, right) {
        (Value::Str(left), Value::Str(right)) => Ok(Some(left.cmp(right))),
        (Value::List(left), Value::List(right)) | (Value::Tuple(left), Value::Tuple(right)) => {
            match left.iter().zip(right).find(|(left, right)| left != right) {
                Some((left, right)) => order(left, comparison, right),
                None => Ok(Some(left.len().cmp(&right.len()))),
            }
        }
        _ if left.is_number() && right.is_number() => Ok(order_numbers(left, right)),
        _ => Err(Exception::type_error(format!(
            "'{}' not supported between instances of '{}' and '{}'",
            comparison.symbol(),
            left.type_name(),
            right.type_name()
        ))),
    }
}

/// Ints and floats are compared exactly, without rounding either.
fn order_numbers(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Float(left), Value::Float(right)) => left.partial_cmp(right),
        (Value::Float(left), _) => {
            order_int_float(&right.as_big_int()?, *left).map(Ordering::reverse)
        }
        (_, Value::Float(right)) => order_int_float(&left.as_big_int()?, *right),
        _ => match (left.as_int(), right.as_int()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => Some(left.as_big_int()?.cmp(&right.as_big_int()?)),
        },
    }
}

fn order_int_float(int: &BigInt, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    let Some(floor) = BigInt::from_f64(float.floor()) else {
        return Some(if float > 0.0 {
            Ordering::Less
        } else {
            Ordering::Greater
        });
    };
    let beyond_floor = float > float.floor();
    Some(int.cmp(&floor).then(if beyond_floor {
        Ordering::Less
    } else {
        Ordering::Equal
    }))
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Str(left), Self::Str(right)) => left == right,
            (Self::List(left), Self::List(right)) | (Self::Tuple(left), Self::Tuple(right)) => {
                left == right
            }
            (Self::Dict(left), Self::Dict(right)) => left == right,
            (Self::Set(left), Self::Set(right)) => {
                left.len() == right.len() && left.iter().all(|item| right.contains(item))
            }
            (Self::Opaque(left), Self::Opaque(right)) => left == right,
            _ if self.is_number() && other.is_number() => {
                order_numbers(self, other) == Some(Ordering::Equal)
            }
            _ => false,
        }
    }
}
