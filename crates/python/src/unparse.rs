//! Expressions as text again, spaced and bracketed as Python's `ast.unparse` does.

use crate::expression::UNPACKING;
use crate::{BinaryOperator, Expression, UnaryOperator, Value};

/// How tightly an expression holds together, from a test's place to an atom's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Precedence {
    Any,
    Not,
    Or,
    ExclusiveOr,
    And,
    Shift,
    Sum,
    Product,
    Sign,
    Power,
    /// Above a power, of which only one may stand on its left.
    Base,
    Atom,
}

impl Expression {
    /// `ast.unparse(expression)`; nothing where a part of the expression was not kept.
    pub fn unparse(&self) -> Option<String> {
        self.at(Precedence::Any)
    }

    fn at(&self, place: Precedence) -> Option<String> {
        let (text, own) = match self {
            Self::Constant(value) => (constant(value), Precedence::Atom),
            Self::Name(name) => (name.clone(), Precedence::Atom),
            Self::List(items) => (format!("[{}]", listed(items)?), Precedence::Atom),
            Self::Tuple(items) if items.len() == 1 => {
                (format!("({},)", listed(items)?), Precedence::Atom)
            }
            Self::Tuple(items) => (format!("({})", listed(items)?), Precedence::Atom),
            Self::Set(items) => (format!("{{{}}}", listed(items)?), Precedence::Atom),
            Self::Dict(items) => {
                let item = |(key, value): &(Self, Self)| {
                    Some(format!("{}: {}", key.unparse()?, value.unparse()?))
                };
                let items: Option<Vec<_>> = items.iter().map(item).collect();
                (format!("{{{}}}", items?.join(", ")), Precedence::Atom)
            }
            Self::Attribute(value, name) => {
                // `1.real` would be a number's beginning.
                let is_int = matches!(&**value, Self::Constant(it) if it.as_big_int().is_some());
                let blank = if is_int { " " } else { "" };
                let value = value.at(Precedence::Atom)?;
                (format!("{value}{blank}.{name}"), Precedence::Atom)
            }
            Self::Subscript(value, index) => {
                let value = value.at(Precedence::Atom)?;
                let index = match &**index {
                    Self::Tuple(items) if items.len() == 1 => format!("{},", listed(items)?),
                    Self::Tuple(items) if items.len() > 1 => listed(items)?,
                    index => index.unparse()?,
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
                (format!("{sign}{}", value.at(own)?), own)
            }
            Self::Binary(left, operator, right) => {
                let (own, left_place, right_place) = places(*operator);
                let (left, right) = (left.at(left_place)?, right.at(right_place)?);
                (format!("{left} {} {right}", symbol(*operator)), own)
            }
            Self::Slice([start, stop, step]) => {
                let bound = |bound: &Option<Box<Self>>| match bound {
                    Some(bound) => bound.unparse(),
                    None => Some(String::new()),
                };
                let step = match step {
                    Some(step) => format!(":{}", step.unparse()?),
                    None => String::new(),
                };
                let text = format!("{}:{}{step}", bound(start)?, bound(stop)?);
                (text, Precedence::Atom)
            }
            Self::Other(_) => return None,
            Self::Call {
                function,
                positional,
                keywords,
            } => {
                let keyword = |(name, value): &(String, Self)| {
                    let value = value.unparse()?;
                    Some(match name.as_str() {
                        UNPACKING => format!("{UNPACKING}{value}"),
                        name => format!("{name}={value}"),
                    })
                };
                let positional = positional.iter().map(Self::unparse);
                let arguments = positional.chain(keywords.iter().map(keyword));
                let arguments: Option<Vec<_>> = arguments.collect();
                let function = function.at(Precedence::Atom)?;
                let text = format!("{function}({})", arguments?.join(", "));
                (text, Precedence::Atom)
            }
        };
        Some(if own < place {
            format!("({text})")
        } else {
            text
        })
    }
}

fn constant(value: &Value) -> String {
    if *value == Value::ellipsis() {
        "...".to_owned()
    } else {
        value.repr()
    }
}

fn listed(items: &[Expression]) -> Option<String> {
    let items: Option<Vec<_>> = items.iter().map(Expression::unparse).collect();
    Some(items?.join(", "))
}

/// An operator's own precedence, and those of the places on its left and right.
fn places(operator: BinaryOperator) -> (Precedence, Precedence, Precedence) {
    use Precedence::{And, Base, ExclusiveOr, Or, Power, Product, Shift, Sign, Sum};
    match operator {
        BinaryOperator::Add | BinaryOperator::Subtract => (Sum, Sum, Product),
        BinaryOperator::Power => (Power, Base, Power),
        BinaryOperator::Or => (Or, Or, ExclusiveOr),
        BinaryOperator::ExclusiveOr => (ExclusiveOr, ExclusiveOr, And),
        BinaryOperator::And => (And, And, Shift),
        BinaryOperator::ShiftLeft | BinaryOperator::ShiftRight => (Shift, Shift, Sum),
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
        BinaryOperator::Or => "|",
        BinaryOperator::ExclusiveOr => "^",
        BinaryOperator::And => "&",
        BinaryOperator::ShiftLeft => "<<",
        BinaryOperator::ShiftRight => ">>",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parse_expression;
    use crate::parser::parse_uncompiled;

    /// Expected texts are those of CPython 3.11.
    #[test]
    fn expressions_print_as_pythons_own_do() {
        let check = |text: &str, expected: &str| {
            let (expression, _) = parse_uncompiled(text).expect(text);
            assert_eq!(expression.unparse().as_deref(), Some(expected), "{text}");
        };
        check("f( 1,b = 'x' )", "f(1, b='x')");
        check("(1 + 2) * 3 - 4", "(1 + 2) * 3 - 4");
        check("1 - (2 - 3)", "1 - (2 - 3)");
        check("-1 ** 2", "-1 ** 2");
        check("(-1) ** 2", "(-1) ** 2");
        check("2 ** -1", "2 ** (-1)");
        check("(2 ** 3) ** 4", "(2 ** 3) ** 4");
        check("not (1)", "not 1");
        check("-(not 1)", "-(not 1)");
        check("a . b [1,2] (c)", "a.b[1, 2](c)");
        check("1 .real", "1 .real");
        check("a[(1,)]", "a[1,]");
        check("a[1:2, ::x]", "a[1:2, ::x]");
        check("1 | 2 ^ (3 | 4) << 1", "1 | 2 ^ (3 | 4) << 1");
        check("(1,)", "(1,)");
        check("{'a' :[ ], 2:()}", "{'a': [], 2: ()}");
        check("{1,2}", "{1, 2}");
        check("f(**{'a': ...})", "f(**{'a': ...})");
        check("(a)(b)", "a(b)");
    }

    fn expression() -> impl Strategy<Value = Expression> {
        let leaf = prop_oneof![
            "[a-z]{2}_".prop_map(Expression::Name),
            any::<u32>().prop_map(|int| Expression::Constant(Value::from(i64::from(int)))),
            "\\PC{0,5}".prop_map(|text| Expression::Constant(Value::from(text))),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            let boxed = inner.clone().prop_map(Box::new);
            let several = prop::collection::vec(inner.clone(), 0..3);
            let unary = prop_oneof![
                Just(UnaryOperator::Minus),
                Just(UnaryOperator::Invert),
                Just(UnaryOperator::Not)
            ];
            let binary = prop_oneof![
                Just(BinaryOperator::Subtract),
                Just(BinaryOperator::Divide),
                Just(BinaryOperator::Power)
            ];
            prop_oneof![
                several.clone().prop_map(Expression::List),
                several.clone().prop_map(Expression::Tuple),
                prop::collection::vec((inner.clone(), inner.clone()), 0..3)
                    .prop_map(Expression::Dict),
                (boxed.clone(), "[a-z]{2}_").prop_map(|(of, name)| Expression::Attribute(of, name)),
                (boxed.clone(), boxed.clone()).prop_map(|(of, at)| Expression::Subscript(of, at)),
                (unary, boxed.clone()).prop_map(|(operator, of)| Expression::Unary(operator, of)),
                (boxed.clone(), binary, boxed.clone())
                    .prop_map(|(left, operator, right)| Expression::Binary(left, operator, right)),
                (
                    boxed,
                    several,
                    prop::collection::btree_map("[a-z]{2}_", inner, 0..2)
                )
                    .prop_map(|(function, positional, keywords)| {
                        Expression::Call {
                            function,
                            positional,
                            keywords: keywords.into_iter().collect(),
                        }
                    }),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_printed_reads_back(expression in expression()) {
            let text = expression.unparse().expect("all of it was kept");
            prop_assert_eq!(parse_expression(&text), Ok(expression), "{}", text);
        }
    }
}
