//! `square_root`: Python's `Decimal(number).sqrt()` in a context of so many digits.

use num_bigint::{BigInt, BigUint};
use num_traits::{One, Zero};
use python::{Comparison, Exception, ExceptionKind, Value, compare};

use super::super::{dict, error};

/// The most digits that are computed; Python's own bound is the memory and the time.
const MOST_DIGITS: i64 = 10_000;

/// A decimal: `digits * 10^exponent`.
struct Decimal {
    digits: BigUint,
    exponent: i64,
}

pub(super) fn square_root(number: &Value, precision: &Value) -> Result<Value, Exception> {
    const INVALID: &str = "Input must be a number or computation resulted in an invalid operation";
    if !number.is_number() {
        return error(INVALID);
    }
    if compare(number, Comparison::Less, &Value::Int(0))? {
        return error("Cannot calculate square root of a negative number");
    }
    let precision = match precision {
        Value::BigInt(_) => i64::MAX,
        _ => match precision.as_int() {
            Some(precision) => precision,
            None => return error(INVALID),
        },
    };
    if precision < 1 {
        return Err(Exception::value_error(
            "valid range for prec is [1, MAX_PREC]",
        ));
    }
    if precision > MOST_DIGITS {
        return Err(Exception::new(ExceptionKind::Memory, ""));
    }
    let text = match number {
        Value::Float(float) if float.is_nan() => "NaN".to_owned(),
        Value::Float(float) if float.is_infinite() => "Infinity".to_owned(),
        Value::Float(float) if *float == 0.0 && float.is_sign_negative() => "-0".to_owned(),
        Value::Float(float) => exact(*float).square_root(precision).to_text(),
        _ => {
            let int = number.as_big_int().unwrap_or_else(BigInt::zero);
            let decimal = Decimal {
                digits: int.magnitude().clone(),
                exponent: 0,
            };
            decimal.square_root(precision).to_text()
        }
    };
    let root = Value::opaque("Decimal", format!("Decimal('{text}')"));
    Ok(dict([("result", root)]))
}

/// Every finite float is a decimal: `m / 2^k` is `m * 5^k / 10^k`.
fn exact(float: f64) -> Decimal {
    let bits = float.abs().to_bits();
    let (exponent, fraction) = ((bits >> 52) as i64, bits & ((1 << 52) - 1));
    let (mantissa, exponent) = if exponent == 0 {
        (fraction, -1074)
    } else {
        (fraction | 1 << 52, exponent - 1075)
    };
    if mantissa == 0 {
        return Decimal {
            digits: BigUint::zero(),
            exponent: 0,
        };
    }
    let odd = mantissa >> mantissa.trailing_zeros();
    let exponent = exponent + i64::from(mantissa.trailing_zeros());
    if exponent >= 0 {
        return Decimal {
            digits: BigUint::from(odd) << exponent,
            exponent: 0,
        };
    }
    let five = BigUint::from(5_u8).pow(exponent.unsigned_abs() as u32);
    Decimal {
        digits: five * odd,
        exponent,
    }
}

impl Decimal {
    /// The root to `precision` digits, half to even. A root that needs fewer keeps the exponent
    /// nearest to half of the number's, as the General Decimal Arithmetic specification asks.
    fn square_root(&self, precision: i64) -> Self {
        let ideal = self.exponent.div_euclid(2);
        let radicand = &self.digits * ten_to(self.exponent.rem_euclid(2));
        if radicand.is_zero() {
            return Self {
                digits: BigUint::zero(),
                exponent: ideal,
            };
        }
        let root = radicand.sqrt();
        if &root * &root == radicand {
            return Self {
                digits: root,
                exponent: ideal,
            }
            .rounded(precision);
        }
        // One digit more than asked for; where something is left over, the digit says so, since
        // neither 0 nor 5 may then decide.
        let shift = precision + 1 - (length(&radicand) + 1) / 2;
        let (scaled, mut is_exact) = if shift >= 0 {
            (radicand * ten_to(2 * shift), true)
        } else {
            let unit = ten_to(-2 * shift);
            let scaled = &radicand / &unit;
            let is_exact = &scaled * &unit == radicand;
            (scaled, is_exact)
        };
        let mut digits = scaled.sqrt();
        is_exact &= &digits * &digits == scaled;
        if !is_exact && (&digits % 5_u8).is_zero() {
            digits += BigUint::one();
        }
        Self {
            digits,
            exponent: ideal - shift,
        }
        .rounded(precision)
    }

    fn rounded(self, precision: i64) -> Self {
        let surplus = length(&self.digits) - precision;
        if surplus <= 0 {
            return self;
        }
        let unit = ten_to(surplus);
        let mut digits = &self.digits / &unit;
        let twice_rest = (&self.digits - &digits * &unit) * 2_u8;
        let is_odd = digits.bit(0);
        if twice_rest > unit || twice_rest == unit && is_odd {
            digits += BigUint::one();
        }
        let rounded = Self {
            digits,
            exponent: self.exponent + surplus,
        };
        // 99.5 has become 100: a digit too many again.
        rounded.rounded(precision)
    }

    /// The specification's `to-scientific-string`.
    fn to_text(&self) -> String {
        let digits = self.digits.to_string();
        let point = digits.len() as i64 + self.exponent;
        if self.exponent <= 0 && point > -6 {
            return match usize::try_from(point) {
                Ok(0) | Err(_) => {
                    format!("0.{}{digits}", "0".repeat(point.unsigned_abs() as usize))
                }
                Ok(point) if point == digits.len() => digits,
                Ok(point) => format!("{}.{}", &digits[..point], &digits[point..]),
            };
        }
        let (first, rest) = digits.split_at(1);
        let point_and_rest = if rest.is_empty() {
            String::new()
        } else {
            format!(".{rest}")
        };
        format!("{first}{point_and_rest}E{:+}", point - 1)
    }
}

fn ten_to(exponent: i64) -> BigUint {
    BigUint::from(10_u8).pow(exponent as u32)
}

/// Decimal digits.
fn length(number: &BigUint) -> i64 {
    number.to_string().len() as i64
}
