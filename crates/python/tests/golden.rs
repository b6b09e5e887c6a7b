//! What CPython said, case by case (`fixtures/python/make.py`).

use std::collections::BTreeMap;

use python::{
    Comparison, Exception, ExceptionKind, JsonStyle, Value, compare, fixed, float_of, int_of,
    json_dumps, json_loads, parse_expression, parse_literal, round,
};
use serde_json::{Map, Value as Json};

const GOLDEN: &str = include_str!("../../../fixtures/python/golden.jsonl");

/// What this crate says of a case.
fn answer(case: &Map<String, Json>) -> Result<Value, Exception> {
    let field = |name: &str| case[name].as_str().unwrap();
    let value = |name: &str| parse_literal(field(name)).unwrap();
    match field("case") {
        "expression" => parse_expression(field("text"))?.to_value(),
        "order" => {
            let (left, right) = (value("left"), value("right"));
            let comparison = match field("operator") {
                "==" => return Ok(Value::Bool(left == right)),
                "<" => Comparison::Less,
                "<=" => Comparison::LessOrEqual,
                ">" => Comparison::Greater,
                ">=" => Comparison::GreaterOrEqual,
                other => panic!("unknown operator `{other}`"),
            };
            compare(&left, comparison, &right).map(Value::Bool)
        }
        "float" => float_of(&value("text")).map(Value::Float),
        "int" => int_of(&value("text")),
        "bool" => Ok(Value::Bool(value("text").is_true())),
        "len" => value("text")
            .length()
            .map(|length| Value::Int(length as i64)),
        "iter" => value("text").iterate().map(Value::List),
        "round" => round(&value("text"), &value("digits")),
        "fixed" => {
            let digits = field("digits").parse().unwrap();
            Ok(Value::Str(fixed(float_of(&value("text"))?, digits)))
        }
        "json.loads" => json_loads(field("text")),
        "json.dumps" => json_dumps(&value("text"), &style(field("style"))).map(Value::Str),
        other => panic!("unknown case `{other}`"),
    }
}

/// `json.dumps` arguments, of which Python's default is `ensure_ascii`.
fn style(arguments: &str) -> JsonStyle {
    let arguments: Map<String, Json> = serde_json::from_str(arguments).unwrap();
    let mut style = JsonStyle::ascii();
    for (name, value) in arguments {
        match name.as_str() {
            "ensure_ascii" => style.ensure_ascii = value.as_bool().unwrap(),
            "sort_keys" => style.sort_keys = value.as_bool().unwrap(),
            "indent" => style.indent = Some(" ".repeat(value.as_u64().unwrap() as usize)),
            "separators" => {
                let part = |i: usize| value[i].as_str().unwrap().to_owned();
                style.separators = Some((part(0), part(1)));
            }
            other => panic!("unknown argument `{other}`"),
        }
    }
    style
}

/// The class that Python would name.
fn class(kind: ExceptionKind) -> &'static str {
    match kind {
        ExceptionKind::Attribute => "AttributeError",
        ExceptionKind::Index => "IndexError",
        ExceptionKind::Key => "KeyError",
        ExceptionKind::Memory => "MemoryError",
        ExceptionKind::Name => "NameError",
        ExceptionKind::Overflow => "OverflowError",
        ExceptionKind::Syntax => "SyntaxError",
        ExceptionKind::Type => "TypeError",
        ExceptionKind::Value => "ValueError",
        ExceptionKind::ZeroDivision => "ZeroDivisionError",
        ExceptionKind::Other => "Exception",
    }
}

#[test]
fn every_case_is_answered_as_cpython_answered_it() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for line in GOLDEN.lines() {
        let case: Map<String, Json> = serde_json::from_str(line).unwrap();
        *counts.entry(case["case"].to_string()).or_default() += 1;
        let found = match answer(&case) {
            Ok(value) => value.repr(),
            Err(exception) => format!("{}: {exception}", class(exception.kind)),
        };
        let expected = match case.get("repr") {
            Some(repr) => repr.as_str().unwrap().to_owned(),
            None => format!(
                "{}: {}",
                case["error"]
                    .as_str()
                    .unwrap()
                    .replace("JSONDecodeError", "ValueError"),
                case["message"].as_str().unwrap()
            ),
        };
        if found != expected {
            wrong.push(format!(
                "{line:.150}\n  expected {expected:.200}\n  found    {found:.200}"
            ));
        }
    }
    println!("{counts:?}");
    assert!(counts.values().sum::<usize>() > 1_000);
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
