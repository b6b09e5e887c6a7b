//! Numbers: decimal, hexadecimal, octal, binary, floats, imaginary.

use num_bigint::BigInt;

use super::{Lexer, Token};
use crate::int::{MAX_DIGITS, checked};
use crate::operators::repr_complex;
use crate::{Exception, Value};

impl Lexer<'_> {
    pub(super) fn number(&mut self) -> Result<(), Exception> {
        let (base, name) = match self.rest().get(..2).unwrap_or_default() {
            "0x" | "0X" => (16, "hexadecimal"),
            "0o" | "0O" => (8, "octal"),
            "0b" | "0B" => (2, "binary"),
            _ => return self.decimal(),
        };
        self.at += 2;
        if self.peek() == Some('_') {
            self.at += 1;
        }
        let digits = self.digits(16, name)?;
        if let Some(wrong) = digits.chars().find(|c| !c.is_digit(base)) {
            return Err(self.error(if wrong.is_ascii_digit() {
                format!("invalid digit '{wrong}' in {name} literal")
            } else {
                format!("invalid {name} literal")
            }));
        }
        self.end_of_number(name)?;
        let int = BigInt::parse_bytes(digits.as_bytes(), base)
            .ok_or_else(|| self.error(format!("invalid {name} literal")))?;
        self.push(Token::Number(checked(int)?));
        Ok(())
    }

    fn decimal(&mut self) -> Result<(), Exception> {
        const NAME: &str = "decimal";
        let mut text = self.digits(10, NAME)?;
        let whole = text.len();
        if self.peek() == Some('.') {
            self.at += 1;
            text.push('.');
            text.push_str(&self.digits(10, NAME)?);
        }
        let after_sign = |c: char| c.is_ascii_digit();
        let has_exponent = matches!(self.peek(), Some('e' | 'E'))
            && (self.follows(after_sign)
                || self.follows(|c| c == '+' || c == '-')
                    && self.rest().chars().nth(2).is_some_and(after_sign));
        if has_exponent {
            text.push('e');
            self.at += 1;
            if let Some(sign @ ('+' | '-')) = self.peek() {
                self.at += 1;
                text.push(sign);
            }
            text.push_str(&self.digits(10, NAME)?);
        }
        let is_imaginary = matches!(self.peek(), Some('j' | 'J'));
        self.at += usize::from(is_imaginary);
        self.end_of_number(if is_imaginary { "imaginary" } else { NAME })?;
        let value = if is_imaginary {
            Value::opaque("complex", repr_complex(0.0, self.float(&text)?))
        } else if text.len() > whole {
            Value::Float(self.float(&text)?)
        } else {
            self.decimal_int(&text)?
        };
        self.push(Token::Number(value));
        Ok(())
    }

    fn float(&self, text: &str) -> Result<f64, Exception> {
        text.parse()
            .map_err(|_| self.error("invalid decimal literal"))
    }

    fn decimal_int(&self, text: &str) -> Result<Value, Exception> {
        if text.starts_with('0') && text.contains(|c| c != '0') {
            return Err(self.error(
                "leading zeros in decimal integer literals are not permitted; \
                 use an 0o prefix for octal integers",
            ));
        }
        if text.len() > MAX_DIGITS {
            return Err(self.error(format!(
                "Exceeds the limit ({MAX_DIGITS} digits) for integer string conversion: value \
                 has {} digits; use sys.set_int_max_str_digits() to increase the limit - \
                 Consider hexadecimal for huge integer literals to avoid decimal conversion \
                 limits.",
                text.len()
            )));
        }
        text.parse::<BigInt>()
            .map(Value::from)
            .map_err(|_| self.error("invalid decimal literal"))
    }

    /// Digits with single `_` between them, which are left out. May be none.
    fn digits(&mut self, base: u32, name: &str) -> Result<String, Exception> {
        let mut digits = String::new();
        while let Some(c) = self.peek() {
            match c {
                '_' if digits.is_empty() || !self.follows(|c| c.is_digit(base)) => {
                    return Err(self.error(format!("invalid {name} literal")));
                }
                '_' => {}
                c if c.is_digit(base) => digits.push(c),
                _ => break,
            }
            self.at += 1;
        }
        Ok(digits)
    }

    /// No name may follow a number at once, save for a keyword, which nothing here is.
    fn end_of_number(&self, name: &str) -> Result<(), Exception> {
        if self.peek().is_some_and(super::is_name_start) {
            return Err(self.error(format!("invalid {name} literal")));
        }
        Ok(())
    }
}
