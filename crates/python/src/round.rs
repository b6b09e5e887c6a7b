//! Floats with a chosen number of decimals. The exact binary value is rounded, half to even,
//! so 2.675, which lies below that, becomes 2.67.

use num_bigint::{BigInt, BigUint};
use num_traits::{FromPrimitive, Zero};

use crate::{Exception, ExceptionKind, Value, int};

/// `f'{float:.{digits}f}'`
pub fn fixed(float: f64, digits: u32) -> String {
    if float.is_nan() {
        return "nan".to_owned();
    }
    if float.is_infinite() {
        return if float > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let width = digits as usize + 1;
    let text = format!("{:0>width$}", rounded(float, digits as i32).to_string());
    let (whole, decimals) = text.split_at(text.len() - digits as usize);
    let sign = if float.is_sign_negative() { "-" } else { "" };
    let point = if digits > 0 { "." } else { "" };
    format!("{sign}{whole}{point}{decimals}")
}

/// `round(value, digits)`: an int stays one. `TypeError` of what is no number.
pub fn round(value: &Value, digits: &Value) -> Result<Value, Exception> {
    let not_a_number = |value: &Value| {
        Exception::type_error(format!(
            "type {} doesn't define __round__ method",
            value.type_name()
        ))
    };
    if !value.is_number() {
        return Err(not_a_number(value));
    }
    if digits.is_none() {
        return round_to_int(value);
    }
    let digits = digits.as_big_int().ok_or_else(|| {
        Exception::type_error(format!(
            "'{}' object cannot be interpreted as an integer",
            digits.type_name()
        ))
    })?;
    // Beyond these every float is either rounded already or nothing.
    const LIMIT: i64 = 5_000;
    let limit = BigInt::from(LIMIT);
    let digits = i32::try_from(digits.clamp(-&limit, limit)).expect("within the limit");
    match value {
        Value::Float(float) => round_float(*float, digits),
        _ => {
            let int = value.as_big_int().expect("a number that is no float");
            round_int(&int, digits)
        }
    }
}

/// `round(value)`
fn round_to_int(value: &Value) -> Result<Value, Exception> {
    let Value::Float(float) = value else {
        return Ok(value
            .as_big_int()
            .expect("a number that is no float")
            .into());
    };
    let rounded = BigInt::from_f64(float.round_ties_even());
    rounded
        .map(Value::from)
        .ok_or_else(|| int_of_no_int(*float))
}

/// What `int(nan)` and `int(inf)` raise.
pub(crate) fn int_of_no_int(float: f64) -> Exception {
    if float.is_nan() {
        Exception::value_error("cannot convert float NaN to integer")
    } else {
        Exception::new(
            ExceptionKind::Overflow,
            "cannot convert float infinity to integer",
        )
    }
}

fn round_float(float: f64, digits: i32) -> Result<Value, Exception> {
    // No float has a digit after the 1074th decimal, none has one before the 309th.
    if !float.is_finite() || digits > 1074 {
        return Ok(Value::Float(float));
    }
    if digits < -309 {
        return Ok(Value::Float(0.0_f64.copysign(float)));
    }
    let magnitude: f64 = format!("{}e{}", rounded(float, digits), -digits)
        .parse()
        .expect("an int with an exponent is a float");
    if magnitude.is_infinite() {
        return Err(Exception::new(
            ExceptionKind::Overflow,
            "rounded value too large to represent",
        ));
    }
    Ok(Value::Float(magnitude.copysign(float)))
}

fn round_int(value: &BigInt, digits: i32) -> Result<Value, Exception> {
    if digits >= 0 {
        return Ok(Value::from(value.clone()));
    }
    let unit = BigUint::from(10_u8).pow(digits.unsigned_abs());
    let magnitude = divide_to_even(value.magnitude(), &unit) * unit;
    int::checked(BigInt::from_biguint(value.sign(), magnitude))
}

/// `|float| * 10^digits`, rounded half to even.
fn rounded(float: f64, digits: i32) -> BigUint {
    let bits = float.abs().to_bits();
    let (exponent, fraction) = (bits >> 52, bits & ((1 << 52) - 1));
    let (mantissa, exponent) = if exponent == 0 {
        (fraction, -1074)
    } else {
        (fraction | 1 << 52, exponent as i64 - 1075)
    };
    let mut numerator = BigUint::from(mantissa);
    let mut denominator = BigUint::from(1_u8);
    let ten = BigUint::from(10_u8).pow(digits.unsigned_abs());
    if digits >= 0 {
        numerator *= ten;
    } else {
        denominator *= ten;
    }
    if exponent >= 0 {
        numerator <<= exponent;
    } else {
        denominator <<= -exponent;
    }
    divide_to_even(&numerator, &denominator)
}

fn divide_to_even(numerator: &BigUint, denominator: &BigUint) -> BigUint {
    let quotient = numerator / denominator;
    let twice_rest = (numerator - &quotient * denominator) * 2_u8;
    let is_odd = !(&quotient % 2_u8).is_zero();
    if twice_rest > *denominator || (twice_rest == *denominator && is_odd) {
        quotient + 1_u8
    } else {
        quotient
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_to_the_even_neighbour_and_what_only_looks_like_one_does_not() {
        for (float, digits, expected) in [
            (2.5, 0, 2.0),
            (3.5, 0, 4.0),
            (2.675, 2, 2.67),
            (0.125, 2, 0.12),
            (-1.005, 2, -1.0),
            (1234.5678, -2, 1200.0),
            (1.5, 400, 1.5),
            (5e-324, 323, 0.0),
            (1e300, -400, 0.0),
        ] {
            let rounded = round(&Value::Float(float), &Value::Int(digits)).unwrap();
            assert_eq!(
                rounded.repr(),
                Value::Float(expected).repr(),
                "{float} {digits}"
            );
        }
    }

    #[test]
    fn ints_stay_ints() {
        for (int, digits, expected) in [(25, 1, 25), (25, -1, 20), (35, -1, 40), (-15, -1, -20)] {
            let rounded = round(&Value::Int(int), &Value::Int(digits)).unwrap();
            assert_eq!(rounded.repr(), expected.to_string());
        }
    }

    #[test]
    fn a_fixed_number_of_decimals_is_printed_with_its_zeros() {
        for (float, digits, expected) in [
            (0.0, 2, "0.00"),
            (-0.001, 2, "-0.00"),
            (1023.999, 2, "1024.00"),
            (12.5, 0, "12"),
            (1e22, 1, "10000000000000000000000.0"),
        ] {
            assert_eq!(fixed(float, digits), expected);
        }
    }
}
