//! A list of calls as a model writes it when it is asked for nothing else, `[f(a=1), g()]`, by
//! the rules of BFCL's prompting mode, which are its own: names without quotes are text,
//! arguments without a name are dropped, every sign is a minus.

use crate::expression::UNPACKING;
use crate::parser::parse_uncompiled;
use crate::{Dict, Exception, ExceptionKind, Expression, Value, negate};

/// A call by keywords alone.
#[derive(Clone, Debug, PartialEq)]
pub struct KeywordCall {
    /// The function's name, with dots where it has some; it need not exist.
    pub function: String,
    /// The arguments, in order. A nested call that has keywords is `{name: {keyword: value}}`,
    /// one without is the text of it.
    pub keywords: Vec<(String, Value)>,
}

/// Reads what a model answered. Backticks and blanks around it, and quotes around the list, are
/// nothing; brackets that are missing are added. Text that is no list of calls is an error, in
/// Python's words where they are simple.
pub fn parse_call_list(text: &str) -> Result<Vec<KeywordCall>, Exception> {
    let text = text.trim_matches(['`', '\n', ' ']);
    let open = if text.starts_with('[') { "" } else { "[" };
    let bracketed = format!("{open}{text}");
    let close = if bracketed.ends_with(']') { "" } else { "]" };
    let list = format!("{bracketed}{close}");
    let items = match parse_uncompiled(list.trim_matches('\''))? {
        (Expression::List(items), _) => items,
        // What begins with `[`, ends with `]` and is more than a list has no call as its whole.
        _ => return Err(not_a_call()),
    };
    let mut calls = Vec::new();
    for item in &items {
        let call = keyword_call(item)?;
        call.keywords
            .iter()
            .try_for_each(|(_, value)| check_printable(value))?;
        calls.push(call);
    }
    Ok(calls)
}

fn keyword_call(expression: &Expression) -> Result<KeywordCall, Exception> {
    let Expression::Call {
        function, keywords, ..
    } = expression
    else {
        return Err(not_a_call());
    };
    let mut arguments = Dict::new();
    for (name, argument) in keywords {
        let argument = value(argument)?;
        // What is unpacked has no name, which prints as `None`.
        let name = if name == UNPACKING { "None" } else { name };
        arguments.insert(name, argument);
    }
    let keywords = arguments.iter();
    Ok(KeywordCall {
        function: name_of(function),
        keywords: keywords
            .map(|(name, value)| (name.to_string(), value.clone()))
            .collect(),
    })
}

/// The dotted name; what is called and has none, such as the result of a call, counts for
/// nothing.
fn name_of(function: &Expression) -> String {
    match function {
        Expression::Name(name) => name.clone(),
        Expression::Attribute(value, name) => match name_of(value).as_str() {
            "" => name.clone(),
            before => format!("{before}.{name}"),
        },
        _ => String::new(),
    }
}

fn value(expression: &Expression) -> Result<Value, Exception> {
    let values = |items: &[Expression]| items.iter().map(value).collect::<Result<Vec<_>, _>>();
    match expression {
        Expression::Constant(value) if *value == Value::ellipsis() => Ok(Value::from("...")),
        Expression::Constant(value) => Ok(value.clone()),
        Expression::Name(name) => Ok(Value::from(name.as_str())),
        Expression::List(items) => values(items).map(Value::List),
        Expression::Tuple(items) => values(items).map(Value::Tuple),
        Expression::Dict(items) => {
            let mut dict = Dict::new();
            for (key, item) in items {
                dict.insert_key(value(key)?, value(item)?)?;
            }
            Ok(Value::Dict(dict))
        }
        // Whichever sign it is, and of a number only.
        Expression::Unary(_, operand) => match &**operand {
            Expression::Constant(number) => negate(number),
            _ => Err(unsupported("an operator before what is no number")),
        },
        Expression::Binary(..) => expression.to_value(),
        Expression::Call { keywords, .. } if keywords.is_empty() => {
            text(expression).map(Value::Str)
        }
        Expression::Call { .. } => {
            let call = keyword_call(expression)?;
            let mut keywords = Dict::new();
            for (name, value) in call.keywords {
                keywords.insert(name, value);
            }
            let mut dict = Dict::new();
            dict.insert(call.function, keywords);
            Ok(Value::Dict(dict))
        }
        Expression::Subscript(of, index) => {
            Ok(Value::Str(format!("{}[{}]", text(of)?, text(index)?)))
        }
        Expression::Other(kind) => Err(unsupported(kind)),
        Expression::Slice(_) => Err(unsupported("a slice")),
        Expression::Set(_) => Err(unsupported("a set")),
        Expression::Attribute(..) => Err(unsupported("an attribute")),
    }
}

fn text(expression: &Expression) -> Result<String, Exception> {
    let text = expression.unparse();
    text.ok_or_else(|| unsupported("a part of a call's text"))
}

/// A dict stands for a call where it holds nothing but dicts, and an empty one holds nothing
/// else: but it is a call of no function. Those in lists are only dicts.
fn check_printable(value: &Value) -> Result<(), Exception> {
    match value {
        Value::Dict(dict) if dict.is_empty() => Err(Exception::new(
            ExceptionKind::Index,
            "list index out of range",
        )),
        Value::Dict(dict) => {
            let is_call = dict.values().all(|value| value.as_dict().is_some());
            match dict.values().next().and_then(Value::as_dict) {
                Some(keywords) if is_call => keywords.values().try_for_each(check_printable),
                _ => dict.values().try_for_each(check_printable),
            }
        }
        _ => Ok(()),
    }
}

fn not_a_call() -> Exception {
    Exception::new(ExceptionKind::Other, "an item of the list is not a call")
}

fn unsupported(what: &str) -> Exception {
    Exception::new(ExceptionKind::Other, format!("{what} is not supported"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The calls as `name {keyword: value, …}`.
    fn read(text: &str) -> Result<String, ExceptionKind> {
        let calls = parse_call_list(text).map_err(|error| error.kind)?;
        let print = |call: &KeywordCall| {
            let mut keywords = Dict::new();
            for (name, value) in &call.keywords {
                keywords.insert(name.as_str(), value.clone());
            }
            format!("{} {}", call.function, Value::from(keywords).repr())
        };
        Ok(calls.iter().map(print).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn what_a_model_writes_is_read_by_bfcls_rules() {
        let check = |text: &str, expected: &str| {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        };
        check("[f(a=1), g()]", "f {'a': 1}; g {}");
        check("```\n[f()]\n```", "f {}");
        check("f(), g()", "f {}; g {}");
        check("[f()", "f {}");
        check("[]", "");
        check("", "");
        check("[f(1, 2, a=3)]", "f {'a': 3}");
        check("[a.b.f(x=y)]", "a.b.f {'x': 'y'}");
        check("[f()(a=1)]", " {'a': 1}");
        check("[f().g(a=1)]", "g {'a': 1}");
        check(
            "[f(a=+1, b=not True, c=-0.5)]",
            "f {'a': -1, 'b': -1, 'c': -0.5}",
        );
        check("[f(a=1+2*3, b='x' + 'y')]", "f {'a': 7, 'b': 'xy'}");
        check("[f(a=1, a=2)]", "f {'a': 2}");
        check("[f(**{'a': 1})]", "f {'None': {'a': 1}}");
        check(
            "[f(a=g(b=1, c=h()))]",
            "f {'a': {'g': {'b': 1, 'c': 'h()'}}}",
        );
        check(
            "[f(a=x[1], b=(1, ...))]",
            "f {'a': 'x[1]', 'b': (1, '...')}",
        );
        check("[f(a=[{}])]", "f {'a': [{}]}");
        check("[f(a=[g(b={})])]", "f {'a': [{'g': {'b': {}}}]}");
    }

    #[test]
    fn what_is_no_list_of_calls_is_an_error() {
        let check = |text: &str, expected: ExceptionKind| {
            assert_eq!(read(text), Err(expected), "{text}");
        };
        check("hello", ExceptionKind::Other);
        check("[1, f()]", ExceptionKind::Other);
        check("[f()][0]", ExceptionKind::Other);
        check("I cannot do this.", ExceptionKind::Syntax);
        check("```python\n[f()]\n```", ExceptionKind::Syntax);
        check("[f(a=1 + b)]", ExceptionKind::Name);
        check("[f(a=--1)]", ExceptionKind::Other);
        check("[f(a=-'x')]", ExceptionKind::Type);
        check("[f(a={})]", ExceptionKind::Index);
        check("[f(a={'b': {'c': {}}})]", ExceptionKind::Index);
        check("[f(a={1})]", ExceptionKind::Other);
        check("[f(a=b.c)]", ExceptionKind::Other);
        check("[f(a=1 < 2)]", ExceptionKind::Other);
        check("[f(a=1 if b else 2)]", ExceptionKind::Other);
        check("[f(a=lambda x, *y, z=1: x)]", ExceptionKind::Other);
        check("[f(a=[x for x in y if x])]", ExceptionKind::Other);
        check("[f(a={**b})]", ExceptionKind::Other);
        check("[f(a={[]: 1})]", ExceptionKind::Type);
    }
}
