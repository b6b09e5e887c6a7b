//! `logarithm`: mpmath's `log(value) / log(base)` at so many decimal digits, to the last digit
//! that mpmath prints. Both logarithms and the quotient are rounded to the same number of bits.

mod binary;

use num_bigint::{BigInt, BigUint};
use num_traits::{One, Zero};
use python::{Exception, ExceptionKind, Value, int_of};

use self::binary::{Binary, Rounding};
use super::super::{dict, error};

/// The most digits that are computed; mpmath's own bound is the memory and the time. The time
/// grows with the third power: ten thousand digits take seconds, and a turn may ask for them often.
const MOST_DIGITS: i64 = 1_000;

/// Bits beyond the asked for, so that rounding them decides as the whole number would.
const GUARD: i64 = 64;

/// A logarithm of a real number.
enum Logarithm {
    Real(Binary),
    /// Of a negative number: the imaginary part is pi.
    Complex(Binary, Binary),
    /// Of zero.
    MinusInfinity,
    /// Of infinity.
    Infinity,
    NaN,
}

pub(super) fn logarithm(
    value: &Value,
    base: &Value,
    precision: &Value,
) -> Result<Value, Exception> {
    match quotient_text(value, base, precision) {
        Ok(text) => Ok(dict([("result", Value::opaque("mpf", text))])),
        Err(exception) => error(exception.text),
    }
}

/// What `repr` prints of the quotient.
fn quotient_text(value: &Value, base: &Value, precision: &Value) -> Result<String, Exception> {
    let bits = bits_of(precision)?;
    let (above, below) = (log_of(value, bits)?, log_of(base, bits)?);
    let zero_division = || Exception::new(ExceptionKind::ZeroDivision, "");
    let text = |binary: &Binary| binary.to_text(printed_digits(bits));
    let nan = || Ok("mpf('nan')".to_owned());
    match (&above, &below) {
        (Logarithm::NaN, _) | (_, Logarithm::NaN) => nan(),
        (_, Logarithm::Real(below)) if below.is_zero() => Err(zero_division()),
        (Logarithm::Real(above), Logarithm::Real(below)) => {
            Ok(format!("mpf('{}')", text(&above.divide(below, bits))))
        }
        (Logarithm::Real(_), Logarithm::Infinity | Logarithm::MinusInfinity) => {
            Ok("mpf('0.0')".to_owned())
        }
        (Logarithm::Infinity | Logarithm::MinusInfinity, Logarithm::Real(below)) => {
            let is_positive = matches!(above, Logarithm::Infinity) != below.is_negative();
            let sign = if is_positive { '+' } else { '-' };
            Ok(format!("mpf('{sign}inf')"))
        }
        (
            Logarithm::Infinity | Logarithm::MinusInfinity,
            Logarithm::Infinity | Logarithm::MinusInfinity,
        ) => nan(),
        (Logarithm::Complex(..), Logarithm::Infinity | Logarithm::MinusInfinity) => {
            Ok("mpc(real='0.0', imag='0.0')".to_owned())
        }
        (
            Logarithm::Real(_) | Logarithm::Complex(..),
            Logarithm::Real(_) | Logarithm::Complex(..),
        ) => {
            let (real, imaginary) = divide_complex(&parts(&above), &parts(&below), bits);
            Ok(format!(
                "mpc(real='{}', imag='{}')",
                text(&real),
                text(&imaginary)
            ))
        }
        _ => Err(Exception::value_error(
            "the logarithm of zero or infinity beside that of a negative number",
        )),
    }
}

/// mpmath's working precision, in bits, for decimal digits.
fn bits_of(precision: &Value) -> Result<i64, Exception> {
    let digits = match int_of(precision)? {
        Value::Int(digits) if digits <= MOST_DIGITS => digits.max(-MOST_DIGITS),
        _ => return Err(Exception::new(ExceptionKind::Memory, "")),
    };
    let bits = ((digits + 1) as f64 * BITS_PER_DIGIT).round_ties_even();
    Ok((bits as i64).max(1))
}

/// mpmath's own constant.
const BITS_PER_DIGIT: f64 = 3.321_928_094_887_362_6;

/// How many digits `repr` prints at a precision.
fn printed_digits(bits: i64) -> usize {
    let digits = ((bits as f64 / BITS_PER_DIGIT).round_ties_even() as i64 - 1).max(1);
    if digits == 15 {
        17
    } else {
        digits as usize + 3
    }
}

fn log_of(value: &Value, bits: i64) -> Result<Logarithm, Exception> {
    let binary = match value {
        Value::Float(float) if float.is_nan() => return Ok(Logarithm::NaN),
        Value::Float(float) if *float == f64::INFINITY => return Ok(Logarithm::Infinity),
        Value::Float(float) if float.is_finite() => Binary::from_float(*float),
        Value::Str(text) => Binary::from_decimal(text, bits).ok_or_else(|| cannot_create(value))?,
        _ => Binary::exact(value.as_big_int().ok_or_else(|| cannot_create(value))?, 0),
    };
    if binary.is_zero() {
        return Ok(Logarithm::MinusInfinity);
    }
    let real = natural(&binary.abs(), bits);
    Ok(if binary.is_negative() {
        Logarithm::Complex(real, pi(bits))
    } else {
        Logarithm::Real(real)
    })
}

fn cannot_create(value: &Value) -> Exception {
    Exception::type_error(format!("cannot create mpf from {}", value.repr()))
}

/// Real and imaginary part.
fn parts(logarithm: &Logarithm) -> (Binary, Binary) {
    match logarithm {
        Logarithm::Real(real) => (real.clone(), Binary::exact(BigInt::zero(), 0)),
        Logarithm::Complex(real, imaginary) => (real.clone(), imaginary.clone()),
        _ => unreachable!("only finite logarithms have parts"),
    }
}

/// `(a + bi) / (c + di)`, the sums between rounded to ten bits more, as mpmath does.
fn divide_complex(
    (a, b): &(Binary, Binary),
    (c, d): &(Binary, Binary),
    bits: i64,
) -> (Binary, Binary) {
    let sum = |left: Binary, right: Binary| left.add(&right).rounded(bits + 10, Rounding::Down);
    if d.is_zero() {
        return (a.divide(c, bits), b.divide(c, bits));
    }
    let magnitude = sum(c.multiply(c), d.multiply(d));
    let real = sum(a.multiply(c), b.multiply(d));
    let imaginary = sum(b.multiply(c), a.multiply(d).negated());
    (
        real.divide(&magnitude, bits),
        imaginary.divide(&magnitude, bits),
    )
}

/// `ln x` for positive x, rounded to nearest. `x = m * 2^k` with m in `[3/4, 3/2)`, so
/// `ln x = 2 artanh((m - 1) / (m + 1)) + k ln 2`, where nothing cancels.
fn natural(x: &Binary, bits: i64) -> Binary {
    let mut power = x.magnitude_bits() - 1;
    let three_halves = Binary::exact(BigInt::from(3), -1);
    let mut m = x.scaled(-power);
    if m.is_at_least(&three_halves) {
        power += 1;
        m = x.scaled(-power);
    }
    let one = Binary::exact(BigInt::one(), 0);
    let above = m.add(&one.negated());
    if above.is_zero() && power == 0 {
        return above;
    }
    // Bits after the point: those asked for, and as many as the difference from 1 has zeros.
    let lost = if power == 0 {
        -above.magnitude_bits()
    } else {
        0
    };
    let places = bits + GUARD + lost.max(0);
    let ratio = above.divide(&m.add(&one), places + 8).fixed(places);
    let mut sum = artanh(&ratio, places) * 2_u8;
    if power != 0 {
        let third = (BigInt::one() << places) / 3_u8;
        sum += artanh(&third, places) * 2_u8 * power;
    }
    Binary::exact(sum, -places).rounded(bits, Rounding::Nearest)
}

/// `artanh z = z + z^3/3 + z^5/5 + …` in fixed point.
fn artanh(z: &BigInt, places: i64) -> BigInt {
    let square = (z * z) >> places;
    series(z.clone(), |term| (term * &square) >> places)
}

/// `pi = 16 arctan(1/5) - 4 arctan(1/239)` (Machin), rounded to nearest.
fn pi(bits: i64) -> Binary {
    let places = bits + GUARD;
    let arctan_of_inverse = |n: i64| {
        let first = (BigInt::one() << places) / n;
        series(first, |term| -term / (n * n))
    };
    let sum = arctan_of_inverse(5) * 16 - arctan_of_inverse(239) * 4;
    Binary::exact(sum, -places).rounded(bits, Rounding::Nearest)
}

/// `t/1 + t'/3 + t''/5 + …` until the terms are nothing.
fn series(first: BigInt, next: impl Fn(BigInt) -> BigInt) -> BigInt {
    let mut sum = BigInt::zero();
    let mut term = first;
    let mut divisor = 1_u32;
    while term.magnitude() > &BigUint::one() {
        sum += &term / divisor;
        term = next(term);
        divisor += 2;
    }
    sum
}
