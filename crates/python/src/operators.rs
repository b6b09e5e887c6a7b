//! What Python's arithmetic operators and `float()`, `int()` give for values of any type,
//! with the texts that they raise.

use num_bigint::BigInt;
use num_traits::{FromPrimitive, Signed, ToPrimitive, Zero};

use crate::{Exception, ExceptionKind, Value, int, round};

/// The longest text or list that repetition makes, in items; Python's own bound is the memory.
const LONGEST: usize = 1 << 20;

/// Two numbers as Python brings them together: both ints, or both floats.
enum Pair {
    Ints(BigInt, BigInt),
    Floats(f64, f64),
}

/// `left + right`
pub fn add(left: &Value, right: &Value) -> Result<Value, Exception> {
    match (left, right) {
        (Value::Str(left), Value::Str(right)) => Ok(Value::Str(format!("{left}{right}"))),
        (Value::List(left), Value::List(right)) => {
            Ok(Value::List([left.as_slice(), right].concat()))
        }
        (Value::Tuple(left), Value::Tuple(right)) => {
            Ok(Value::Tuple([left.as_slice(), right].concat()))
        }
        (Value::Str(_) | Value::List(_) | Value::Tuple(_), _) => {
            let name = left.type_name();
            Err(Exception::type_error(format!(
                "can only concatenate {name} (not \"{}\") to {name}",
                right.type_name()
            )))
        }
        _ => match pair(left, "+", right)? {
            Pair::Ints(left, right) => int::checked(left + right),
            Pair::Floats(left, right) => Ok(Value::Float(left + right)),
        },
    }
}

/// `left - right`
pub fn subtract(left: &Value, right: &Value) -> Result<Value, Exception> {
    match pair(left, "-", right)? {
        Pair::Ints(left, right) => int::checked(left - right),
        Pair::Floats(left, right) => Ok(Value::Float(left - right)),
    }
}

/// `left * right`
pub fn multiply(left: &Value, right: &Value) -> Result<Value, Exception> {
    let is_sequence =
        |value: &Value| matches!(value, Value::Str(_) | Value::List(_) | Value::Tuple(_));
    let (sequence, count) = match (is_sequence(left), is_sequence(right)) {
        (true, _) => (left, right),
        (false, true) => (right, left),
        (false, false) => {
            return match pair(left, "*", right)? {
                Pair::Ints(left, right) => int::checked(left * right),
                Pair::Floats(left, right) => Ok(Value::Float(left * right)),
            };
        }
    };
    let Some(count) = count.as_big_int() else {
        return Err(Exception::type_error(format!(
            "can't multiply sequence by non-int of type '{}'",
            count.type_name()
        )));
    };
    repeat(sequence, &count)
}

fn repeat(sequence: &Value, count: &BigInt) -> Result<Value, Exception> {
    let Ok(count) = i64::try_from(count) else {
        return Err(Exception::new(
            ExceptionKind::Overflow,
            "cannot fit 'int' into an index-sized integer",
        ));
    };
    let count = usize::try_from(count).unwrap_or(0);
    let weight = match sequence {
        // Nothing, however often.
        Value::Str(text) if text.is_empty() => return Ok(sequence.clone()),
        Value::List(items) | Value::Tuple(items) if items.is_empty() => {
            return Ok(sequence.clone());
        }
        other => weight(other),
    };
    if count.saturating_mul(weight) > LONGEST {
        return Err(Exception::new(ExceptionKind::Memory, ""));
    }
    Ok(match sequence {
        Value::Str(text) => Value::Str(text.repeat(count)),
        Value::List(items) => Value::List(vec![items.as_slice(); count].concat()),
        Value::Tuple(items) => Value::Tuple(vec![items.as_slice(); count].concat()),
        other => other.clone(),
    })
}

/// How much of it there is to copy: characters of a text, and items with all that is in them.
fn weight(value: &Value) -> usize {
    let all = |items: &[Value]| items.iter().map(|item| 1 + weight(item)).sum();
    match value {
        Value::Str(text) => text.len(),
        Value::List(items) | Value::Tuple(items) | Value::Set(items) => all(items),
        Value::Dict(dict) => dict.iter().map(|(k, v)| 2 + weight(k) + weight(v)).sum(),
        _ => 0,
    }
}

/// `left / right`
pub fn divide(left: &Value, right: &Value) -> Result<Value, Exception> {
    match pair(left, "/", right)? {
        Pair::Ints(_, right) if right.is_zero() => Err(zero_division("division by zero")),
        Pair::Ints(left, right) => int::divide(&left, &right).map(Value::Float),
        Pair::Floats(_, 0.0) => Err(zero_division("float division by zero")),
        Pair::Floats(left, right) => Ok(Value::Float(left / right)),
    }
}

/// `left // right`
pub fn floor_divide(left: &Value, right: &Value) -> Result<Value, Exception> {
    match pair(left, "//", right)? {
        Pair::Ints(_, right) if right.is_zero() => {
            Err(zero_division("integer division or modulo by zero"))
        }
        Pair::Ints(left, right) => {
            let rest = floor_modulo(&left, &right);
            int::checked((left - rest) / right)
        }
        Pair::Floats(_, 0.0) => Err(zero_division("float floor division by zero")),
        Pair::Floats(left, right) => {
            let quotient = (left - float_modulo(left, right)) / right;
            Ok(Value::Float(match quotient.floor() {
                _ if quotient == 0.0 => 0.0_f64.copysign(left / right),
                floor if quotient - floor > 0.5 => floor + 1.0,
                floor => floor,
            }))
        }
    }
}

/// `left % right` of numbers. Text that would be formatted is refused.
pub fn modulo(left: &Value, right: &Value) -> Result<Value, Exception> {
    if let Value::Str(_) = left {
        return Err(Exception::type_error(
            "not all arguments converted during string formatting",
        ));
    }
    match pair(left, "%", right)? {
        Pair::Ints(_, right) if right.is_zero() => Err(zero_division("integer modulo by zero")),
        Pair::Ints(left, right) => int::checked(floor_modulo(&left, &right)),
        Pair::Floats(_, 0.0) => Err(zero_division("float modulo")),
        Pair::Floats(left, right) => Ok(Value::Float(float_modulo(left, right))),
    }
}

/// The rest has the divisor's sign.
fn floor_modulo(left: &BigInt, right: &BigInt) -> BigInt {
    let rest = left % right;
    if rest.is_zero() || rest.is_negative() == right.is_negative() {
        rest
    } else {
        rest + right
    }
}

fn float_modulo(left: f64, right: f64) -> f64 {
    let rest = left % right;
    if rest == 0.0 {
        0.0_f64.copysign(right)
    } else if (rest < 0.0) == (right < 0.0) {
        rest
    } else {
        rest + right
    }
}

/// `left ** right`
pub fn power(left: &Value, right: &Value) -> Result<Value, Exception> {
    match pair(left, "** or pow()", right)? {
        Pair::Ints(left, right) if right.is_negative() => {
            float_power(int::to_float(&left)?, int::to_float(&right)?)
        }
        Pair::Ints(left, right) => int::power(&left, &right),
        Pair::Floats(left, right) => float_power(left, right),
    }
}

fn float_power(base: f64, exponent: f64) -> Result<Value, Exception> {
    if base == 0.0 && exponent < 0.0 {
        return Err(zero_division("0.0 cannot be raised to a negative power"));
    }
    if base < 0.0 && base.is_finite() && exponent.is_finite() && exponent.fract() != 0.0 {
        return complex_power(base, exponent);
    }
    let power = base.powf(exponent);
    if power.is_infinite() && base.is_finite() && exponent.is_finite() {
        return Err(out_of_range());
    }
    Ok(Value::Float(power))
}

/// A negative base with a fractional exponent, which Python answers with a `complex`.
fn complex_power(base: f64, exponent: f64) -> Result<Value, Exception> {
    let magnitude = base.abs().powf(exponent);
    let phase = 0.0_f64.atan2(base) * exponent;
    let (real, imaginary) = (magnitude * phase.cos(), magnitude * phase.sin());
    if !real.is_finite() || !imaginary.is_finite() {
        return Err(out_of_range());
    }
    Ok(Value::opaque("complex", repr_complex(real, imaginary)))
}

/// `repr` of a complex number, whose parts have no `.0`.
pub(crate) fn repr_complex(real: f64, imaginary: f64) -> String {
    let part = |float: f64| {
        let text = crate::repr_float(float);
        text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
    };
    let sign = if imaginary.is_sign_negative() {
        ""
    } else {
        "+"
    };
    if real == 0.0 && real.is_sign_positive() {
        format!("{}j", part(imaginary))
    } else {
        format!("({}{sign}{}j)", part(real), part(imaginary))
    }
}

/// `-value`
pub fn negate(value: &Value) -> Result<Value, Exception> {
    match value {
        Value::Float(float) => Ok(Value::Float(-float)),
        _ => match value.as_big_int() {
            Some(int) => Ok(Value::from(-int)),
            None => Err(bad_operand("-", value)),
        },
    }
}

/// `+value`
pub(crate) fn plus(value: &Value) -> Result<Value, Exception> {
    match value {
        Value::Float(float) => Ok(Value::Float(*float)),
        _ => value
            .as_big_int()
            .map(Value::from)
            .ok_or_else(|| bad_operand("+", value)),
    }
}

/// `~value`
pub(crate) fn invert(value: &Value) -> Result<Value, Exception> {
    value
        .as_big_int()
        .map(|int| Value::from(-int - 1))
        .ok_or_else(|| bad_operand("~", value))
}

/// An operator on the bits of two ints; of two bools it gives a bool, unless it is a shift.
pub(crate) fn bitwise(
    left: &Value,
    symbol: &str,
    right: &Value,
    apply: impl Fn(BigInt, BigInt) -> Result<BigInt, Exception>,
) -> Result<Value, Exception> {
    let are_bools = matches!((left, right), (Value::Bool(_), Value::Bool(_)));
    match (left.as_big_int(), right.as_big_int()) {
        (Some(left), Some(right)) if are_bools && symbol.len() == 1 => {
            Ok(Value::Bool(!apply(left, right)?.is_zero()))
        }
        (Some(left), Some(right)) => int::checked(apply(left, right)?),
        _ => Err(Exception::type_error(format!(
            "unsupported operand type(s) for {symbol}: '{}' and '{}'",
            left.type_name(),
            right.type_name()
        ))),
    }
}

/// `left << right`, as long as anyone could print it.
pub(crate) fn shift_left(left: BigInt, right: BigInt) -> Result<BigInt, Exception> {
    match right.to_u32() {
        Some(bits) if (bits as usize) < LONGEST => Ok(left << bits),
        Some(_) => Err(int::too_many_digits()),
        None => Err(negative_shift(&right)),
    }
}

/// `left >> right`
pub(crate) fn shift_right(left: BigInt, right: BigInt) -> Result<BigInt, Exception> {
    match right.to_u32() {
        Some(bits) => Ok(left >> bits),
        None => Err(negative_shift(&right)),
    }
}

fn negative_shift(count: &BigInt) -> Exception {
    if count.is_negative() {
        Exception::value_error("negative shift count")
    } else {
        int::too_many_digits()
    }
}

/// `float(value)`
pub fn float_of(value: &Value) -> Result<f64, Exception> {
    match value {
        Value::Float(float) => Ok(*float),
        Value::Str(text) => parse_float(text),
        _ => match value.as_big_int() {
            Some(int) => int::to_float(&int),
            None => Err(Exception::type_error(format!(
                "float() argument must be a string or a real number, not '{}'",
                value.type_name()
            ))),
        },
    }
}

/// `int(value)`
pub fn int_of(value: &Value) -> Result<Value, Exception> {
    match value {
        Value::Float(float) => BigInt::from_f64(float.trunc())
            .map(Value::from)
            .ok_or_else(|| round::int_of_no_int(*float)),
        Value::Str(text) => parse_int(text),
        _ => match value.as_big_int() {
            Some(int) => Ok(Value::from(int)),
            None => Err(Exception::type_error(format!(
                "int() argument must be a string, a bytes-like object or a real number, not '{}'",
                value.type_name()
            ))),
        },
    }
}

/// Rust reads floats as Python does, but for blanks around and `_` between digits.
fn parse_float(text: &str) -> Result<f64, Exception> {
    let problem = || {
        let repr = Value::from(text).repr();
        Exception::value_error(format!("could not convert string to float: {repr}"))
    };
    let digits = without_underscores(text.trim()).ok_or_else(problem)?;
    digits.parse().map_err(|_| problem())
}

fn parse_int(text: &str) -> Result<Value, Exception> {
    let problem = || {
        let repr = Value::from(text).repr();
        Exception::value_error(format!("invalid literal for int() with base 10: {repr}"))
    };
    let digits = without_underscores(text.trim()).ok_or_else(problem)?;
    if digits.len() > int::MAX_DIGITS {
        return Err(int::too_many_digits());
    }
    let int: BigInt = digits.parse().map_err(|_| problem())?;
    Ok(Value::from(int))
}

/// The text without each `_` that stands between two digits; `None` where one stands elsewhere.
fn without_underscores(text: &str) -> Option<String> {
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    let bytes = text.as_bytes();
    let mut digits = String::new();
    for (i, c) in text.char_indices() {
        if c != '_' {
            digits.push(c);
        } else if i == 0 || !is_digit(bytes.get(i - 1)) || !is_digit(bytes.get(i + 1)) {
            return None;
        }
    }
    Some(digits)
}

fn pair(left: &Value, symbol: &str, right: &Value) -> Result<Pair, Exception> {
    if !left.is_number() || !right.is_number() {
        return Err(Exception::type_error(format!(
            "unsupported operand type(s) for {symbol}: '{}' and '{}'",
            left.type_name(),
            right.type_name()
        )));
    }
    match (left.as_big_int(), right.as_big_int()) {
        (Some(left), Some(right)) => Ok(Pair::Ints(left, right)),
        _ => Ok(Pair::Floats(float_of(left)?, float_of(right)?)),
    }
}

fn bad_operand(symbol: &str, value: &Value) -> Exception {
    Exception::type_error(format!(
        "bad operand type for unary {symbol}: '{}'",
        value.type_name()
    ))
}

fn zero_division(text: &str) -> Exception {
    Exception::new(ExceptionKind::ZeroDivision, text)
}

fn out_of_range() -> Exception {
    Exception::new(
        ExceptionKind::Overflow,
        "(34, 'Numerical result out of range')",
    )
}
