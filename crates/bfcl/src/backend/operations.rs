//! Python's operations that the back ends need beyond those of a value: what they give, and what
//! they raise.

use python::{Exception, ExceptionKind, Value};

use crate::calendar::{Date, Moment};

/// `len(value)` of what has been counted.
pub(crate) fn int(length: usize) -> Value {
    Value::Int(i64::try_from(length).expect("a length fits"))
}

/// `value.lower()`
pub(crate) fn lower(value: &Value) -> Result<String, Exception> {
    match value {
        Value::Str(text) => Ok(text.to_lowercase()),
        _ => Err(Exception::attribute_error(value, "lower")),
    }
}

/// `len(value)`; of text in characters.
pub(crate) fn length(value: &Value) -> Result<usize, Exception> {
    match value {
        Value::Str(text) => Ok(text.chars().count()),
        Value::List(items) | Value::Tuple(items) | Value::Set(items) => Ok(items.len()),
        Value::Dict(dict) => Ok(dict.len()),
        _ => Err(Exception::type_error(format!(
            "object of type '{}' has no len()",
            value.type_name()
        ))),
    }
}

/// `list.append(item)`
pub(crate) fn append(list: &mut Value, item: Value) -> Result<(), Exception> {
    match list {
        Value::List(items) => {
            items.push(item);
            Ok(())
        }
        _ => Err(Exception::attribute_error(list, "append")),
    }
}

/// `container["name"]`
pub(crate) fn field<'v>(container: &'v Value, name: &str) -> Result<&'v Value, Exception> {
    match container {
        Value::Dict(dict) => dict
            .get(name)
            .ok_or_else(|| Exception::key_error(&name.into())),
        Value::Str(_) => Err(Exception::type_error(
            "string indices must be integers, not 'str'",
        )),
        Value::List(_) | Value::Tuple(_) => Err(Exception::type_error(format!(
            "{} indices must be integers or slices, not str",
            container.type_name()
        ))),
        _ => Err(Exception::type_error(format!(
            "'{}' object is not subscriptable",
            container.type_name()
        ))),
    }
}

/// `container["name"] = value`
pub(crate) fn set_field(
    container: &mut Value,
    name: &str,
    value: impl Into<Value>,
) -> Result<(), Exception> {
    match container {
        Value::Dict(dict) => {
            dict.insert(name, value);
            Ok(())
        }
        _ => Err(Exception::type_error(format!(
            "'{}' object does not support item assignment",
            container.type_name()
        ))),
    }
}

/// `datetime.strptime(value, "%Y-%m-%d")`: a day, or the text of the `ValueError`; `TypeError`
/// of what is no text.
pub(crate) fn date_of(value: &Value) -> Result<Result<Date, String>, Exception> {
    Ok(Date::parse(date_text(value)?))
}

/// `datetime.strptime(value, "%Y-%m-%d %H:%M:%S")`
pub(crate) fn moment_of(value: &Value) -> Result<Moment, Exception> {
    Moment::parse(date_text(value)?).map_err(Exception::value_error)
}

fn date_text(value: &Value) -> Result<&str, Exception> {
    value.as_str().ok_or_else(|| {
        let name = if value.is_none() {
            "None"
        } else {
            value.type_name()
        };
        Exception::type_error(format!("strptime() argument 1 must be str, not {name}"))
    })
}

/// What a class raises itself.
pub(crate) fn raised(text: impl Into<String>) -> Exception {
    Exception::new(ExceptionKind::Other, text)
}
