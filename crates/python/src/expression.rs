//! Expressions as they were written, and what those without strangers' code evaluate to.

use crate::operators::{bitwise, floor_divide, invert, plus, shift_left, shift_right};
use crate::{Dict, Exception, Value, add, divide, modulo, multiply, negate, power, subtract};

/// Stands where a keyword's name does for what is unpacked: `f(**{"a": 1})`.
pub(crate) const UNPACKING: &str = "**";

/// A Python expression of the kinds that calls are made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// A literal that holds no other: a number, text, `True`, `None`, `...`.
    Constant(Value),
    /// A name.
    Name(String),
    /// `[a, b]`
    List(Vec<Expression>),
    /// `(a, b)`
    Tuple(Vec<Expression>),
    /// `{a, b}`
    Set(Vec<Expression>),
    /// `{a: b}`
    Dict(Vec<(Expression, Expression)>),
    /// `value.name`
    Attribute(Box<Expression>, String),
    /// `value[index]`
    Subscript(Box<Expression>, Box<Expression>),
    /// `-value`
    Unary(UnaryOperator, Box<Expression>),
    /// `left + right`
    Binary(Box<Expression>, BinaryOperator, Box<Expression>),
    /// `function(a, b=c)`
    Call {
        /// What is called.
        function: Box<Expression>,
        /// The arguments without a name.
        positional: Vec<Expression>,
        /// The arguments with one, which is `**` for what is unpacked.
        keywords: Vec<(String, Expression)>,
    },
    /// `start:stop:step`, within a subscript.
    Slice([Option<Box<Expression>>; 3]),
    /// An expression that is read and not kept, of this kind: `a comparison`, `a condition`.
    Other(&'static str),
}

/// An operator before a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOperator {
    /// `-`
    Minus,
    /// `+`
    Plus,
    /// `~`
    Invert,
    /// `not`
    Not,
}

/// An operator between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOperator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `//`
    FloorDivide,
    /// `%`
    Modulo,
    /// `**`
    Power,
    /// `|`
    Or,
    /// `^`
    ExclusiveOr,
    /// `&`
    And,
    /// `<<`
    ShiftLeft,
    /// `>>`
    ShiftRight,
}

/// A call whose arguments are values.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The function's name, with dots where it has some.
    pub function: String,
    /// The arguments without a name.
    pub positional: Vec<Value>,
    /// The arguments with one, in order.
    pub keywords: Vec<(String, Value)>,
}

/// The functions that an expression may call.
pub trait Functions {
    /// Whether the function exists; `NameError` if not. Asked before arguments are evaluated.
    fn find(&self, function: &str) -> Result<(), Exception>;

    /// Calls it.
    fn call(&mut self, call: Call) -> Result<Value, Exception>;
}

/// No function has a name.
struct NoFunctions;

impl Functions for NoFunctions {
    fn find(&self, function: &str) -> Result<(), Exception> {
        Err(Exception::name_error(first_name(function)))
    }

    fn call(&mut self, call: Call) -> Result<Value, Exception> {
        Err(Exception::name_error(first_name(&call.function)))
    }
}

fn first_name(dotted: &str) -> &str {
    dotted.split('.').next().unwrap_or(dotted)
}

impl Call {
    /// The call as Python writes it, `separator` between arguments.
    pub fn to_text(&self, separator: &str) -> String {
        let positional = self.positional.iter().map(Value::repr);
        let keywords = self
            .keywords
            .iter()
            .map(|(name, value)| format!("{name}={}", value.repr()));
        let arguments: Vec<_> = positional.chain(keywords).collect();
        format!("{}({})", self.function, arguments.join(separator))
    }
}

impl Expression {
    /// The value of an expression that calls nothing; `NameError` where it does.
    pub fn to_value(&self) -> Result<Value, Exception> {
        self.evaluate(&mut NoFunctions)
    }

    /// The dotted name that the expression is, such as `a.b`.
    pub fn dotted_name(&self) -> Option<String> {
        match self {
            Self::Name(name) => Some(name.clone()),
            Self::Attribute(value, name) => Some(format!("{}.{name}", value.dotted_name()?)),
            _ => None,
        }
    }

    /// The value of the expression, in Python's order of evaluation. Names are those of
    /// functions only.
    pub fn evaluate(&self, functions: &mut dyn Functions) -> Result<Value, Exception> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Name(name) => Err(Exception::name_error(name)),
            Self::List(items) => Ok(Value::List(all(items, functions)?)),
            Self::Tuple(items) => Ok(Value::Tuple(all(items, functions)?)),
            Self::Set(items) => set(all(items, functions)?),
            Self::Dict(items) => dict(items, functions),
            Self::Attribute(value, name) => {
                let value = value.evaluate(functions)?;
                Err(Exception::attribute_error(&value, name))
            }
            Self::Subscript(value, index) => {
                let value = value.evaluate(functions)?;
                subscript(&value, &index.evaluate(functions)?)
            }
            Self::Unary(operator, value) => {
                let value = value.evaluate(functions)?;
                match operator {
                    UnaryOperator::Minus => negate(&value),
                    UnaryOperator::Plus => plus(&value),
                    UnaryOperator::Invert => invert(&value),
                    UnaryOperator::Not => Ok(Value::Bool(!value.is_true())),
                }
            }
            Self::Binary(left, operator, right) => {
                let left = left.evaluate(functions)?;
                operator.apply(&left, &right.evaluate(functions)?)
            }
            Self::Slice(_) | Self::Other(_) => Err(Exception::syntax_error("invalid syntax", 1)),
            Self::Call {
                function,
                positional,
                keywords,
            } => {
                let Some(name) = function.dotted_name() else {
                    let value = function.evaluate(functions)?;
                    return Err(Exception::type_error(format!(
                        "'{}' object is not callable",
                        value.type_name()
                    )));
                };
                functions.find(&name)?;
                let positional = all(positional, functions)?;
                let mut named = Vec::new();
                for (keyword, value) in keywords {
                    let value = value.evaluate(functions)?;
                    add_keyword(&name, keyword, value, &mut named)?;
                }
                functions.call(Call {
                    function: name,
                    positional,
                    keywords: named,
                })
            }
        }
    }
}

/// Adds an argument to a call's keywords, or the items of what is unpacked.
pub(crate) fn add_keyword(
    function: &str,
    keyword: &str,
    value: Value,
    keywords: &mut Vec<(String, Value)>,
) -> Result<(), Exception> {
    if keyword != UNPACKING {
        keywords.push((keyword.to_owned(), value));
        return Ok(());
    }
    let Value::Dict(dict) = &value else {
        return Err(Exception::type_error(format!(
            "{function}() argument after ** must be a mapping, not {}",
            value.type_name()
        )));
    };
    for (key, value) in dict.iter() {
        let Some(name) = key.as_str() else {
            return Err(Exception::type_error("keywords must be strings"));
        };
        if keywords.iter().any(|(other, _)| other == name) {
            return Err(Exception::type_error(format!(
                "{function}() got multiple values for keyword argument '{name}'"
            )));
        }
        keywords.push((name.to_owned(), value.clone()));
    }
    Ok(())
}

impl BinaryOperator {
    /// The operator's result.
    pub fn apply(self, left: &Value, right: &Value) -> Result<Value, Exception> {
        match self {
            Self::Add => add(left, right),
            Self::Subtract => subtract(left, right),
            Self::Multiply => multiply(left, right),
            Self::Divide => divide(left, right),
            Self::FloorDivide => floor_divide(left, right),
            Self::Modulo => modulo(left, right),
            Self::Power => power(left, right),
            Self::Or => bitwise(left, "|", right, |a, b| Ok(a | b)),
            Self::ExclusiveOr => bitwise(left, "^", right, |a, b| Ok(a ^ b)),
            Self::And => bitwise(left, "&", right, |a, b| Ok(a & b)),
            Self::ShiftLeft => bitwise(left, "<<", right, shift_left),
            Self::ShiftRight => bitwise(left, ">>", right, shift_right),
        }
    }
}

fn all(items: &[Expression], functions: &mut dyn Functions) -> Result<Vec<Value>, Exception> {
    let mut values = Vec::new();
    for item in items {
        values.push(item.evaluate(functions)?);
    }
    Ok(values)
}

fn set(items: Vec<Value>) -> Result<Value, Exception> {
    let mut distinct = Vec::new();
    for item in items {
        item.check_hashable()?;
        if !distinct.contains(&item) {
            distinct.push(item);
        }
    }
    Ok(Value::Set(distinct))
}

fn dict(
    items: &[(Expression, Expression)],
    functions: &mut dyn Functions,
) -> Result<Value, Exception> {
    let mut values = Vec::new();
    for (key, value) in items {
        values.push((key.evaluate(functions)?, value.evaluate(functions)?));
    }
    let mut dict = Dict::new();
    for (key, value) in values {
        dict.insert_key(key, value)?;
    }
    Ok(Value::Dict(dict))
}

/// `value[index]`
fn subscript(value: &Value, index: &Value) -> Result<Value, Exception> {
    match value {
        Value::Dict(dict) => dict.item(index).cloned(),
        Value::Str(_) | Value::List(_) | Value::Tuple(_) => {
            let items = value.iterate()?;
            let name = match value {
                Value::Str(_) => "string",
                _ => value.type_name(),
            };
            let Some(place) = index.as_int() else {
                return Err(Exception::type_error(match value {
                    Value::Str(_) => format!(
                        "string indices must be integers, not '{}'",
                        index.type_name()
                    ),
                    _ => format!(
                        "{name} indices must be integers or slices, not {}",
                        index.type_name()
                    ),
                }));
            };
            let place = if place < 0 {
                place + items.len() as i64
            } else {
                place
            };
            usize::try_from(place)
                .ok()
                .and_then(|place| items.get(place).cloned())
                .ok_or_else(|| {
                    Exception::new(
                        crate::ExceptionKind::Index,
                        format!("{name} index out of range"),
                    )
                })
        }
        _ => Err(Exception::type_error(format!(
            "'{}' object is not subscriptable",
            value.type_name()
        ))),
    }
}
