//! What holds for every value and for every text.

use proptest::prelude::*;
use python::{
    Dict, JsonStyle, Value, json_dumps, json_loads, parse_call, parse_expression, parse_literal,
};

/// Values that a literal can write; no NaN, which equals nothing.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<[i64; 3]>().prop_map(|[a, b, c]| {
            let product = python::multiply(&Value::Int(a), &Value::Int(b)).unwrap();
            python::multiply(&product, &Value::Int(c)).unwrap()
        }),
        any::<f64>()
            .prop_filter("finite", |float| float.is_finite())
            .prop_map(Value::Float),
        any::<String>().prop_map(Value::Str),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let items = || prop::collection::vec(inner.clone(), 0..5);
        prop_oneof![
            items().prop_map(Value::List),
            items().prop_map(Value::Tuple),
            prop::collection::vec((any::<String>(), inner.clone()), 0..5)
                .prop_map(|items| Value::Dict(items.into_iter().collect::<Dict>())),
        ]
    })
}

/// Texts of the characters that matter, so that many are nearly right.
fn nearly_python() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop::sample::select(vec![
            "f", "(", ")", "[", "]", "{", "}", ",", "=", ":", ".", "'", "\"", "\\", "\n", "\r",
            " ", "1", "0x", "_", "e", "-", "+", "*", "**", "//", "%", "not ", "None", "True", "r'",
            "b'", "'''", "\\x", "\\u", "\\N{", "é", "#", "...", "a=", "j",
        ]),
        0..25,
    )
    .prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn what_repr_prints_reads_back_as_the_same(value in value()) {
        let repr = value.repr();
        let read = parse_literal(&repr).unwrap();
        prop_assert_eq!(&read, &value);
        prop_assert_eq!(read.repr(), repr);
    }

    #[test]
    fn what_json_prints_reads_back_as_python_would_read_it(value in value(), ascii: bool) {
        let style = if ascii { JsonStyle::ascii() } else { JsonStyle::default() };
        let json = json_dumps(&value, &style).unwrap();
        let read = json_loads(&json).unwrap();
        prop_assert_eq!(json_dumps(&read, &style).unwrap(), json);
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in prop_oneof![nearly_python(), any::<String>()]) {
        let _ = parse_expression(&text).map(|expression| expression.to_value());
        let _ = parse_call(&text);
        let _ = json_loads(&text);
    }

    #[test]
    fn equal_keys_are_one_key(int in -1_000_i64..1_000, value in value()) {
        let mut dict = Dict::new();
        dict.insert_key(Value::Int(int), Value::None).unwrap();
        dict.insert_key(Value::Float(int as f64), value.clone()).unwrap();
        prop_assert_eq!(dict.len(), 1);
        prop_assert_eq!(dict.item(&Value::Int(int)).unwrap(), &value);
    }
}

#[test]
fn deep_nesting_is_refused_and_what_is_allowed_needs_little_stack() {
    let check = |text: String| {
        let small = std::thread::Builder::new().stack_size(1 << 20);
        let read = move || parse_expression(&text).map(|expression| expression.to_value());
        small.spawn(read).unwrap().join().unwrap()
    };
    for (open, close) in [
        ("[", "]"),
        ("(", ",)"),
        ("{1:", "}"),
        ("-", ""),
        ("not ", ""),
        ("f(", ")"),
        ("2**", ""),
    ] {
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        assert!(check(nested(190)).is_ok(), "{open}");
        let refused = check(nested(100_000)).unwrap_err();
        assert_eq!(
            refused.text, "too many nested parentheses (<string>, line 1)",
            "{open}"
        );
    }
    assert!(check(format!("1{}", "+1".repeat(100_000))).is_err());
    assert!(check(format!("a{}", ".a".repeat(100_000))).is_err());
    assert!(json_loads(&"[".repeat(100_000)).is_err());
}

#[test]
fn escaped_halves_of_a_pair_are_one_character_and_one_half_is_refused() {
    assert_eq!(parse_literal(r"'\ud83d\ude42'").unwrap(), Value::from("🙂"));
    assert_eq!(json_loads(r#""\ud83d\ude42""#).unwrap(), Value::from("🙂"));
    assert!(parse_literal(r"'\ud83d'").is_err());
    assert!(json_loads(r#""\ud83d""#).is_err());
}

#[test]
fn a_call_has_a_dotted_name_and_arguments_in_order() {
    let call = parse_call("a.f(1, 'x', k=[2.0], j={'b': None})").unwrap();
    assert_eq!(call.function, "a.f");
    assert_eq!(call.to_text(","), "a.f(1,'x',k=[2.0],j={'b': None})");
    assert_eq!(
        parse_call("f(g())").unwrap_err().text,
        "name 'g' is not defined"
    );
}

#[test]
fn what_is_repeated_takes_no_more_than_its_text_can_ask_for() {
    let check = |text: &str, expected: &str| {
        let found = parse_literal(text).map(|value| value.repr());
        let found = found.unwrap_or_else(|exception| format!("{:?}", exception.kind));
        assert_eq!(found, expected, "{text}");
    };
    check("[] * 9223372036854775807", "[]");
    check("'' * 9223372036854775807", "''");
    check("[0] * 9223372036854775807", "Memory");
    check("['a' * 1000000] * 1000000", "Memory");
    check("[[1]] * 2", "[[1], [1]]");
    check("[1] * -1", "[]");
}
