//! MathAPI: arithmetic on whatever it is given, units, logarithms and roots to a chosen number
//! of digits. Keeps nothing between calls.

mod logarithm;
mod root;

use std::sync::Arc;

use python::{
    Comparison, Dict, Exception, ExceptionKind, Value, add, compare, divide, float_of, multiply,
    negate, power, round, subtract,
};

use self::logarithm::logarithm;
use self::root::square_root;
use super::DefaultValue::Int;
use super::{Arguments, Backend, Method, dict, error, method, optional, required};
use crate::tables::Tables;

const METHODS: &[Method] = &[
    method("absolute_value", &[required("number")]),
    method("add", &[required("a"), required("b")]),
    method("divide", &[required("a"), required("b")]),
    method(
        "imperial_si_conversion",
        &[required("value"), required("unit_in"), required("unit_out")],
    ),
    method(
        "logarithm",
        &[required("value"), required("base"), required("precision")],
    ),
    method("max_value", &[required("numbers")]),
    method("mean", &[required("numbers")]),
    method("min_value", &[required("numbers")]),
    method("multiply", &[required("a"), required("b")]),
    method("percentage", &[required("part"), required("whole")]),
    method("power", &[required("base"), required("exponent")]),
    method(
        "round_number",
        &[required("number"), optional("decimal_places", Int(0))],
    ),
    method(
        "si_unit_conversion",
        &[required("value"), required("unit_in"), required("unit_out")],
    ),
    method("square_root", &[required("number"), required("precision")]),
    method("standard_deviation", &[required("numbers")]),
    method("subtract", &[required("a"), required("b")]),
    method("sum_values", &[required("numbers")]),
];

const BOTH: &str = "Both inputs must be numbers";
const ALL: &str = "All elements in the list must be numbers";

/// MathAPI.
pub(super) struct Math {
    tables: Arc<Tables>,
}

impl Math {
    pub(super) const CLASS: &str = "MathAPI";

    pub(super) fn open(tables: &Arc<Tables>) -> Self {
        Self {
            tables: Arc::clone(tables),
        }
    }

    fn table(&self, name: &str) -> Result<&Dict, Exception> {
        let table = self.tables.backend("math_api", name)?;
        table
            .as_dict()
            .ok_or_else(|| Exception::value_error(format!("table `math_api.{name}` is no dict")))
    }

    fn convert_si(&self, arguments: &Arguments) -> Result<Value, Exception> {
        let (value, from, to) = units(arguments);
        if !value.is_number() {
            return error("Value must be a number");
        }
        let to_meters = self.table("to_meters")?;
        let Some(from_factor) = to_meters.get_key(from)? else {
            return unsupported(from, to);
        };
        let Some(to_factor) = to_meters.get_key(to)? else {
            return unsupported(from, to);
        };
        let converted = multiply(value, from_factor).and_then(|meters| {
            let inverse = divide(&Value::Int(1), to_factor)?;
            multiply(&meters, &inverse)
        });
        result_in_range(converted)
    }

    fn convert_imperial(&self, arguments: &Arguments) -> Result<Value, Exception> {
        let (value, from, to) = units(arguments);
        if !value.is_number() {
            return error("Value must be a number");
        }
        if from == to {
            return result(value.clone());
        }
        let key = format!("{from}_to_{to}");
        let Some(factor) = self.table("conversion")?.get(&key) else {
            return unsupported(from, to);
        };
        result_in_range(match key.as_str() {
            "celsius_to_fahrenheit" => {
                multiply(value, factor).and_then(|scaled| add(&scaled, &Value::Int(32)))
            }
            "fahrenheit_to_celsius" => {
                subtract(value, &Value::Int(32)).and_then(|shifted| multiply(&shifted, factor))
            }
            _ => multiply(value, factor),
        })
    }
}

impl Backend for Math {
    fn class(&self) -> &'static str {
        Self::CLASS
    }

    fn methods(&self) -> &'static [Method] {
        METHODS
    }

    fn call(&mut self, method: &str, arguments: &Arguments) -> Result<Value, Exception> {
        let argument = |name| &arguments[name];
        match method {
            "absolute_value" => absolute(argument("number")),
            "add" => answer(add(argument("a"), argument("b")), BOTH),
            "subtract" => answer(subtract(argument("a"), argument("b")), BOTH),
            "multiply" => {
                let (a, b) = (argument("a"), argument("b"));
                if !a.is_number() || !b.is_number() {
                    return error(BOTH);
                }
                result(multiply(a, b)?)
            }
            "divide" => {
                if *argument("b") == Value::Int(0) {
                    return error("Cannot divide by zero");
                }
                answer(divide(argument("a"), argument("b")), BOTH)
            }
            "power" => answer(power(argument("base"), argument("exponent")), BOTH),
            "percentage" => {
                if *argument("whole") == Value::Int(0) {
                    return error("Whole value cannot be zero");
                }
                let share = divide(argument("part"), argument("whole"));
                answer(
                    share.and_then(|share| multiply(&share, &Value::Int(100))),
                    BOTH,
                )
            }
            "mean" => of_list(argument("numbers"), "calculate mean of", mean),
            "standard_deviation" => of_list(
                argument("numbers"),
                "calculate standard deviation of",
                deviation,
            ),
            "sum_values" => of_list(argument("numbers"), "calculate sum of", sum),
            "min_value" => of_list(argument("numbers"), "find minimum of", |items| {
                extreme(items, Comparison::Less)
            }),
            "max_value" => of_list(argument("numbers"), "find maximum of", |items| {
                extreme(items, Comparison::Greater)
            }),
            "round_number" => answer(
                round(argument("number"), argument("decimal_places")),
                "First input must be a number, second input must be an integer",
            ),
            "si_unit_conversion" => self.convert_si(arguments),
            "imperial_si_conversion" => self.convert_imperial(arguments),
            "logarithm" => logarithm(argument("value"), argument("base"), argument("precision")),
            "square_root" => square_root(argument("number"), argument("precision")),
            _ => unreachable!("`{method}` is no method of `{}`", Self::CLASS),
        }
    }

    fn state(&self) -> Dict {
        Dict::new()
    }
}

fn units(arguments: &Arguments) -> (&Value, &Value, &Value) {
    (
        &arguments["value"],
        &arguments["unit_in"],
        &arguments["unit_out"],
    )
}

fn unsupported(from: &Value, to: &Value) -> Result<Value, Exception> {
    error(format!(
        "Conversion from '{from}' to '{to}' is not supported"
    ))
}

fn result(value: Value) -> Result<Value, Exception> {
    Ok(dict([("result", value)]))
}

/// The result, or `text` where Python would raise `TypeError`. Other exceptions pass.
fn answer(outcome: Result<Value, Exception>, text: &str) -> Result<Value, Exception> {
    match outcome {
        Ok(value) => result(value),
        Err(exception) if exception.kind == ExceptionKind::Type => error(text),
        Err(exception) => Err(exception),
    }
}

fn result_in_range(outcome: Result<Value, Exception>) -> Result<Value, Exception> {
    match outcome {
        Err(exception) if exception.kind == ExceptionKind::Overflow => {
            error("Conversion resulted in a value too large to represent")
        }
        outcome => result(outcome?),
    }
}

fn absolute(number: &Value) -> Result<Value, Exception> {
    match number {
        Value::Float(float) => result(Value::Float(float.abs())),
        Value::Bool(_) | Value::Int(_) | Value::BigInt(_) => {
            let zero = Value::Int(0);
            let is_negative = compare(number, Comparison::Less, &zero)?;
            result(if is_negative {
                negate(number)?
            } else {
                add(number, &zero)?
            })
        }
        _ => error("Input must be a number"),
    }
}

/// What `compute` makes of the items of something that is not empty.
fn of_list(
    numbers: &Value,
    task: &str,
    compute: impl FnOnce(Vec<Value>) -> Result<Value, Exception>,
) -> Result<Value, Exception> {
    if !numbers.is_true() {
        return error(format!("Cannot {task} an empty list"));
    }
    answer(numbers.iterate().and_then(compute), ALL)
}

/// From the left and without compensation, as Python up to 3.11 adds.
fn sum(items: Vec<Value>) -> Result<Value, Exception> {
    items
        .iter()
        .try_fold(Value::Int(0), |sum, item| add(&sum, item))
}

fn mean(items: Vec<Value>) -> Result<Value, Exception> {
    let count = Value::Int(items.len() as i64);
    divide(&sum(items)?, &count)
}

/// Of the whole population.
fn deviation(items: Vec<Value>) -> Result<Value, Exception> {
    let mean_value = mean(items.clone())?;
    let square = |item: &Value| power(&subtract(item, &mean_value)?, &Value::Int(2));
    let squares: Vec<Value> = items.iter().map(square).collect::<Result<_, _>>()?;
    let variance = float_of(&mean(squares)?)?;
    Ok(Value::Float(variance.sqrt()))
}

/// The first of the items that no other beats.
fn extreme(items: Vec<Value>, beats: Comparison) -> Result<Value, Exception> {
    let mut items = items.into_iter();
    let mut best = items.next().unwrap_or_default();
    for item in items {
        if compare(&item, beats, &best)? {
            best = item;
        }
    }
    Ok(best)
}
