//! Ints: how long they may become, and how they meet floats.

use num_bigint::{BigInt, Sign};
use num_traits::ToPrimitive;

use crate::{Exception, ExceptionKind, Value};

/// What Python prints and reads at most (`sys.int_info.default_max_str_digits`). An operator
/// whose result is longer raises what printing it would raise, so no value here is longer.
pub(crate) const MAX_DIGITS: usize = 4300;

/// `log2(10) * MAX_DIGITS`, rounded up.
const MAX_BITS: u64 = 14_285;

/// What printing a longer int raises.
pub(crate) fn too_many_digits() -> Exception {
    Exception::value_error(format!(
        "Exceeds the limit ({MAX_DIGITS} digits) for integer string conversion; \
         use sys.set_int_max_str_digits() to increase the limit"
    ))
}

/// The int as a value, if it may be printed.
pub(crate) fn checked(int: BigInt) -> Result<Value, Exception> {
    if int.bits() < MAX_BITS - 4 {
        return Ok(Value::from(int));
    }
    let is_short = int.bits() <= MAX_BITS && int.magnitude().to_string().len() <= MAX_DIGITS;
    if is_short {
        Ok(Value::from(int))
    } else {
        Err(too_many_digits())
    }
}

/// `base ** exponent`, if it may be printed; it is not computed if not.
pub(crate) fn power(base: &BigInt, exponent: &BigInt) -> Result<Value, Exception> {
    let is_unit = base.bits() <= 1;
    let Some(exponent) = exponent.to_u32() else {
        let is_odd = exponent.bit(0);
        return match (is_unit, base.to_i64()) {
            (true, Some(-1)) if !is_odd => Ok(Value::Int(1)),
            (true, Some(unit)) => Ok(Value::Int(unit)),
            _ => Err(too_many_digits()),
        };
    };
    if !is_unit && (base.bits() - 1) * u64::from(exponent) > MAX_BITS {
        return Err(too_many_digits());
    }
    checked(base.pow(exponent))
}

/// The nearest float.
pub(crate) fn to_float(int: &BigInt) -> Result<f64, Exception> {
    int.to_f64()
        .filter(|float| float.is_finite())
        .ok_or_else(|| Exception::new(ExceptionKind::Overflow, "int too large to convert to float"))
}

/// The float nearest to `left / right`, which is not rounded before.
pub(crate) fn divide(left: &BigInt, right: &BigInt) -> Result<f64, Exception> {
    const EXACT: u64 = 53;
    if left.sign() == Sign::NoSign {
        return Ok(if right.sign() == Sign::Minus {
            -0.0
        } else {
            0.0
        });
    }
    if left.bits() <= EXACT && right.bits() <= EXACT {
        return Ok(to_float(left)? / to_float(right)?);
    }
    // 66 bits of quotient, of which the last is set where anything is left over, round as the
    // whole quotient would.
    let shift = 66 - (left.bits() as i64 - right.bits() as i64);
    let (numerator, denominator) = if shift >= 0 {
        (left.magnitude() << shift, right.magnitude().clone())
    } else {
        (left.magnitude().clone(), right.magnitude() << -shift)
    };
    let mut quotient = &numerator / &denominator;
    let is_exact = &quotient * &denominator == numerator;
    quotient.set_bit(0, quotient.bit(0) || !is_exact);
    let magnitude = scale(quotient.to_f64().unwrap_or(f64::INFINITY), -shift);
    if magnitude.is_infinite() {
        return Err(Exception::new(
            ExceptionKind::Overflow,
            "integer division result too large for a float",
        ));
    }
    Ok(if left.sign() == right.sign() {
        magnitude
    } else {
        -magnitude
    })
}

/// `float * 2^exponent`, in steps that stay within a float's range as long as the result does.
fn scale(mut float: f64, mut exponent: i64) -> f64 {
    while exponent != 0 && float != 0.0 && float.is_finite() {
        let step = exponent.clamp(-1000, 1000);
        float *= 2_f64.powi(step as i32);
        exponent -= step;
    }
    float
}
