//! Expressions as text again, spaced and bracketed as Python's `ast.unparse` does.

use crate::{BinaryOperator, Expression, UnaryOperator, Value};

/// How tightly an expression holds together, from a test's place to an atom's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Precedence {
    Any,
    Not,
    Sum,
    Product,
    Sign,
    Power,
    /// Above a power, of which only one may stand on its left.
    Base,
    Atom,
}

impl Expression {
    /// `ast.unparse(expression)`
    pub fn unparse(&self) -> String {
        self.at(Precedence::Any)
    }

    fn at(&self, place: Precedence) -> String {
        let (text, own) = match self {
            Self::Constant(value) => (constant(value), Precedence::Atom),
            Self::Name(name) => (name.clone(), Precedence::Atom),
            Self::List(items) => (format!("[{}]", listed(items)), Precedence::Atom),
            Self::Tuple(items) if items.len() == 1 => {
                (format!("({},)", listed(items)), Precedence::Atom)
            }
            Self::Tuple(items) => (format!("({})", listed(items)), Precedence::Atom),
            Self::Set(items) => (format!("{{{}}}", listed(items)), Precedence::Atom),
            Self::Dict(items) => {
                let items: Vec<_> = items
                    .iter()
                    .map(|(key, value)| format!("{}: {}", key.unparse(), value.unparse()))
                    .collect();
                (format!("{{{}}}", items.join(", ")), Precedence::Atom)
            }
            Self::Attribute(value, name) => {
                // `1.real` would be a number's beginning.
                let is_int = matches!(&**value, Self::Constant(it) if it.as_big_int().is_some());
                let blank = if is_int { " " } else { "" };
                let value = value.at(Precedence::Atom);
                (format!("{value}{blank}.{name}"), Precedence::Atom)
            }
            Self::Subscript(value, index) => {
                let value = value.at(Precedence::Atom);
                let index = match &**index {
                    Self::Tuple(items) if items.len() > 1 => listed(items),
                    index => index.unparse(),
                };
                (format!("{value}[{index}]"), Precedence::Atom)
            }
            Self::Unary(operator, value) => {
                let (sign, own) = match operator {
                    UnaryOperator::Minus => ("-", Precedence::Sign),
                    UnaryOperator::Plus => ("+", Precedence::Sign),
                    UnaryOperator::Invert => ("~", Precedence::Sign),
                    UnaryOperator::Not => ("not ", Precedence::Not),
                };
                (format!("{sign}{}", value.at(own)), own)
            }
            Self::Binary(left, operator, right) => {
                let (own, left_place, right_place) = places(*operator);
                let (left, right) = (left.at(left_place), right.at(right_place));
                (format!("{left} {} {right}", symbol(*operator)), own)
            }
            Self::Call {
                function,
                positional,
                keywords,
            } => {
                let positional = positional.iter().map(Self::unparse);
                let keywords = keywords
                    .iter()
                    .map(|(name, value)| format!("{name}={}", value.unparse()));
                let arguments: Vec<_> = positional.chain(keywords).collect();
                let function = function.at(Precedence::Atom);
                (
                    format!("{function}({})", arguments.join(", ")),
                    Precedence::Atom,
                )
            }
        };
        if own < place {
            format!("({text})")
        } else {
            text
        }
    }
}

fn constant(value: &Value) -> String {
    if *value == Value::ellipsis() {
        "...".to_owned()
    } else {
        value.repr()
    }
}

fn listed(items: &[Expression]) -> String {
    let items: Vec<_> = items.iter().map(Expression::unparse).collect();
    items.join(", ")
}

/// An operator's own precedence, and those of the places on its left and right.
fn places(operator: BinaryOperator) -> (Precedence, Precedence, Precedence) {
    use Precedence::{Base, Power, Product, Sign, Sum};
    match operator {
        BinaryOperator::Add | BinaryOperator::Subtract => (Sum, Sum, Product),
        BinaryOperator::Power => (Power, Base, Power),
        BinaryOperator::Multiply
        | BinaryOperator::Divide
        | BinaryOperator::FloorDivide
        | BinaryOperator::Modulo => (Product, Product, Sign),
    }
}

fn symbol(operator: BinaryOperator) -> &'static str {
    match operator {
        BinaryOperator::Add => "+",
        BinaryOperator::Subtract => "-",
        BinaryOperator::Multiply => "*",
        BinaryOperator::Divide => "/",
        BinaryOperator::FloorDivide => "//",
        BinaryOperator::Modulo => "%",
        BinaryOperator::Power => "**",
    }
}
