//! Numbers of the form `m * 2^e` with any number of bits, rounded where told.

use num_bigint::{BigInt, BigUint};
use num_traits::{One, Signed, Zero};

/// `mantissa * 2^exponent`
#[derive(Clone, Debug)]
pub(super) struct Binary {
    mantissa: BigInt,
    exponent: i64,
}

/// Which way bits go that are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    /// To the nearest, half to even.
    Nearest,
    /// Toward zero.
    Down,
}

impl Binary {
    pub(super) fn exact(mantissa: BigInt, exponent: i64) -> Self {
        Self { mantissa, exponent }
    }

    /// A finite float, exactly.
    pub(super) fn from_float(float: f64) -> Self {
        let bits = float.to_bits();
        let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i64, bits & ((1 << 52) - 1));
        let (mantissa, exponent) = if exponent == 0 {
            (fraction, -1074)
        } else {
            (fraction | 1 << 52, exponent - 1075)
        };
        let mantissa = BigInt::from(mantissa);
        let mantissa = if float.is_sign_negative() {
            -mantissa
        } else {
            mantissa
        };
        Self { mantissa, exponent }
    }

    /// A decimal such as `-1.5e3`, rounded to nearest. `None` where it is none, or one whose
    /// exponent is beyond all that could matter.
    pub(super) fn from_decimal(text: &str, bits: i64) -> Option<Self> {
        let lower = text.trim().to_ascii_lowercase();
        let (digits, power) = lower.split_once('e').unwrap_or((&lower, "0"));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let power: i64 = power.parse().ok()?;
        if power.abs() > 10_000 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mantissa: BigInt = format!("{whole}{fraction}").parse().ok()?;
        let power = power - fraction.len() as i64;
        let ten = BigInt::from(10).pow(u32::try_from(power.unsigned_abs()).ok()?);
        let (above, below) = if power >= 0 {
            (mantissa * ten, BigInt::one())
        } else {
            (mantissa, ten)
        };
        Some(Self::exact(above, 0).divide(&Self::exact(below, 0), bits))
    }

    pub(super) fn is_zero(&self) -> bool {
        self.mantissa.is_zero()
    }

    pub(super) fn is_negative(&self) -> bool {
        self.mantissa.is_negative()
    }

    pub(super) fn abs(&self) -> Self {
        Self::exact(self.mantissa.abs(), self.exponent)
    }

    pub(super) fn negated(&self) -> Self {
        Self::exact(-&self.mantissa, self.exponent)
    }

    /// `self * 2^power`
    pub(super) fn scaled(&self, power: i64) -> Self {
        Self::exact(self.mantissa.clone(), self.exponent + power)
    }

    /// The least n with `|self| < 2^n`.
    pub(super) fn magnitude_bits(&self) -> i64 {
        self.mantissa.bits() as i64 + self.exponent
    }

    pub(super) fn is_at_least(&self, other: &Self) -> bool {
        !self.add(&other.negated()).is_negative()
    }

    pub(super) fn add(&self, other: &Self) -> Self {
        let exponent = self.exponent.min(other.exponent);
        let aligned = |number: &Self| &number.mantissa << (number.exponent - exponent);
        Self::exact(aligned(self) + aligned(other), exponent)
    }

    pub(super) fn multiply(&self, other: &Self) -> Self {
        Self::exact(
            &self.mantissa * &other.mantissa,
            self.exponent + other.exponent,
        )
    }

    /// The quotient to so many bits, to nearest. The divisor is not zero.
    pub(super) fn divide(&self, other: &Self, bits: i64) -> Self {
        // Two bits more than asked for, and a last one that says whether anything is left over.
        let length = |number: &BigInt| number.bits() as i64;
        let shift = (bits + 2 + length(&other.mantissa) - length(&self.mantissa)).max(0);
        let above = &self.mantissa << shift;
        let quotient = &above / &other.mantissa;
        let is_exact = &quotient * &other.mantissa == above;
        let sign = if self.is_negative() == other.is_negative() {
            1
        } else {
            -1
        };
        let sticky = (quotient << 1_u8) + if is_exact { 0 } else { sign };
        let exponent = self.exponent - other.exponent - shift - 1;
        Self::exact(sticky, exponent).rounded(bits, Rounding::Nearest)
    }

    pub(super) fn rounded(&self, bits: i64, rounding: Rounding) -> Self {
        let surplus = self.mantissa.bits() as i64 - bits;
        if surplus <= 0 {
            return self.clone();
        }
        let magnitude = self.mantissa.magnitude();
        let mut kept: BigUint = magnitude >> surplus;
        let rest = magnitude - (&kept << surplus);
        let half = BigUint::one() << (surplus - 1);
        let goes_up = rest > half || rest == half && kept.bit(0);
        if rounding == Rounding::Nearest && goes_up {
            kept += BigUint::one();
        }
        let mantissa = BigInt::from_biguint(self.mantissa.sign(), kept);
        Self::exact(mantissa, self.exponent + surplus)
    }

    /// `self * 2^places`, without what is less than 1.
    pub(super) fn fixed(&self, places: i64) -> BigInt {
        let shift = self.exponent + places;
        if shift >= 0 {
            &self.mantissa << shift
        } else {
            &self.mantissa >> -shift
        }
    }

    /// As mpmath's `repr` prints it: `digits` digits, half away from zero, without zeros at the
    /// end; with an exponent where it is large or small.
    pub(super) fn to_text(&self, digits: usize) -> String {
        if self.is_zero() {
            return "0.0".to_owned();
        }
        let sign = if self.is_negative() { "-" } else { "" };
        let (mut text, exponent) = self.decimal_digits(digits);
        let is_fixed = exponent > (-(digits as i64 / 3)).min(-5) && exponent < digits as i64;
        let mut point = 1;
        if is_fixed && exponent < 0 {
            text.insert_str(0, &"0".repeat(exponent.unsigned_abs() as usize));
        } else if is_fixed {
            point += exponent as usize;
        }
        text.insert(point, '.');
        let stripped = text.trim_end_matches('0');
        let zero = if stripped.ends_with('.') { "0" } else { "" };
        let power = if is_fixed || exponent == 0 {
            String::new()
        } else {
            format!("e{exponent:+}")
        };
        format!("{sign}{stripped}{zero}{power}")
    }

    /// So many digits of the magnitude, and the power of ten of the first.
    fn decimal_digits(&self, digits: usize) -> (String, i64) {
        let mut exponent = ((self.magnitude_bits() - 1) as f64 * std::f64::consts::LOG10_2) as i64;
        loop {
            let text = self.scaled_by_ten(digits as i64 - 1 - exponent).to_string();
            match text.len().cmp(&digits) {
                std::cmp::Ordering::Less => exponent -= 1,
                std::cmp::Ordering::Equal => return (text, exponent),
                std::cmp::Ordering::Greater => exponent += 1,
            }
        }
    }

    /// `|self| * 10^power` to the nearest int, half up.
    fn scaled_by_ten(&self, power: i64) -> BigUint {
        let ten = BigUint::from(10_u8).pow(power.unsigned_abs() as u32);
        let mut above = self.mantissa.magnitude().clone();
        let mut below = BigUint::one();
        if power >= 0 {
            above *= ten;
        } else {
            below *= ten;
        }
        if self.exponent >= 0 {
            above <<= self.exponent;
        } else {
            below <<= -self.exponent;
        }
        (above * 2_u8 + &below) / (below * 2_u8)
    }
}
