//! Python's values as text: literals and call strings read, `repr` and JSON as Python prints them.
//! Runs nothing: a call string is parsed, never evaluated.
//!
//! ```
//! use python::{parse_call_list, parse_literal};
//!
//! let value = parse_literal("{'a': [1, 2.0, None], 'b': 'it\\'s'}").expect("a literal");
//! assert_eq!(value.repr(), r#"{'a': [1, 2.0, None], 'b': "it's"}"#);
//!
//! let calls = parse_call_list("[cd(folder='logs'), ls(a=True)]").expect("calls");
//! assert_eq!(calls.len(), 2);
//! assert!(parse_literal("open('/etc/passwd')").is_err(), "a call is no literal");
//! ```

mod call_list;
mod compare;
mod dict;
mod exception;
mod expression;
mod float;
mod int;
mod json;
mod lexer;
mod operators;
mod parser;
mod print;
mod round;
mod unparse;
mod value;

pub use call_list::{KeywordCall, parse_call_list};
pub use compare::{Comparison, compare, order};
pub use dict::Dict;
pub use exception::{Exception, ExceptionKind};
pub use expression::{BinaryOperator, Call, Expression, Functions, UnaryOperator};
pub use float::repr_float;
pub use json::{JsonStyle, json_dumps, json_loads};
pub use operators::{
    add, divide, float_of, floor_divide, int_of, modulo, multiply, negate, power, subtract,
};
pub use parser::{parse_call, parse_expression, parse_literal};
pub use print::is_printable;
pub use round::{fixed, round};
pub use value::{Opaque, Value};

/// How deeply literals, expressions and JSON may nest: Python's own bound for brackets.
pub(crate) const MAX_DEPTH: usize = 200;
