//! Whether a tool is described as chat templates and models expect: a name, and a JSON Schema
//! of its parameters. Checks the shape that is read here, not all of JSON Schema.

use serde_json::{Map, Value};

const TYPES: [&str; 7] = [
    "string", "number", "integer", "boolean", "object", "array", "null",
];
/// Keywords whose value is a list of schemas, and those whose value is one.
const LISTS: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
const SINGLE: [&str; 3] = ["items", "additionalProperties", "not"];
/// Keywords whose value maps names to schemas.
const NAMED: [&str; 3] = ["properties", "$defs", "definitions"];

/// The name of a tool, which may be given by its name alone.
pub(super) fn name_of(tool: &Value) -> Option<&str> {
    tool.as_str().or_else(|| tool["function"]["name"].as_str())
}

/// Everything that is wrong with `{"type":"function","function":{name, description?,
/// parameters?}}`, each with the place where it stands.
pub fn check_tool(tool: &Value) -> Vec<String> {
    let Some(function) = tool["function"].as_object() else {
        return vec![expected("function", tool.get("function"), "an object")];
    };
    let mut problems = Vec::new();
    if tool["type"] != "function" {
        problems.push(expected("type", tool.get("type"), "\"function\""));
    }
    match function.get("name").and_then(Value::as_str) {
        Some(name) if !name.is_empty() && !name.contains(char::is_whitespace) => {}
        _ => problems.push(expected("name", function.get("name"), "a word")),
    }
    if let Some(description) = function.get("description").filter(|it| !it.is_string()) {
        problems.push(expected("description", Some(description), "a string"));
    }
    if let Some(parameters) = function.get("parameters") {
        check_parameters(parameters, &mut problems);
    }
    problems
}

/// The arguments of a call are an object, and so its schema is of one.
fn check_parameters(parameters: &Value, problems: &mut Vec<String>) {
    let kind = parameters.get("type");
    if parameters.is_object() && kind.is_none_or(|kind| kind != "object") {
        problems.push(expected("parameters.type", kind, "\"object\""));
    }
    check_schema("parameters", parameters, problems);
}

fn check_schema(at: &str, schema: &Value, problems: &mut Vec<String>) {
    let fields = match schema {
        Value::Object(fields) => fields,
        Value::Bool(_) => return,
        other => {
            problems.push(expected(at, Some(other), "a schema, which is an object"));
            return;
        }
    };
    if let Some(kind) = fields.get("type") {
        check_type(&format!("{at}.type"), kind, problems);
    }
    if let Some(values) = fields.get("enum")
        && values.as_array().is_none_or(Vec::is_empty)
    {
        problems.push(expected(
            &format!("{at}.enum"),
            Some(values),
            "a list of values",
        ));
    }
    for name in NAMED {
        check_named(&format!("{at}.{name}"), fields.get(name), problems);
    }
    for name in SINGLE {
        if let Some(schema) = fields.get(name) {
            check_schema(&format!("{at}.{name}"), schema, problems);
        }
    }
    for name in LISTS {
        check_list(&format!("{at}.{name}"), fields.get(name), problems);
    }
    check_required(at, fields, problems);
}

fn check_type(at: &str, kind: &Value, problems: &mut Vec<String>) {
    let kinds = match kind {
        Value::Array(kinds) => kinds.as_slice(),
        kind => std::slice::from_ref(kind),
    };
    let is_known = |kind: &Value| kind.as_str().is_some_and(|kind| TYPES.contains(&kind));
    if kinds.is_empty() || !kinds.iter().all(is_known) {
        let known = format!("one of {}", TYPES.join(", "));
        problems.push(expected(at, Some(kind), &known));
    }
}

fn check_named(at: &str, named: Option<&Value>, problems: &mut Vec<String>) {
    match named {
        None => {}
        Some(Value::Object(named)) => {
            for (name, schema) in named {
                check_schema(&format!("{at}.{name}"), schema, problems);
            }
        }
        other => problems.push(expected(at, other, "an object of schemas by name")),
    }
}

fn check_list(at: &str, list: Option<&Value>, problems: &mut Vec<String>) {
    match list {
        None => {}
        Some(Value::Array(list)) if !list.is_empty() => {
            for (index, schema) in list.iter().enumerate() {
                check_schema(&format!("{at}.{index}"), schema, problems);
            }
        }
        other => problems.push(expected(at, other, "a list of schemas")),
    }
}

/// `required` lists names; where the object says which properties it has, they are among them.
fn check_required(at: &str, fields: &Map<String, Value>, problems: &mut Vec<String>) {
    let Some(required) = fields.get("required") else {
        return;
    };
    let at = format!("{at}.required");
    let names: Option<Vec<&str>> = required
        .as_array()
        .and_then(|names| names.iter().map(Value::as_str).collect());
    let Some(names) = names else {
        problems.push(expected(&at, Some(required), "a list of names"));
        return;
    };
    let Some(properties) = fields.get("properties").and_then(Value::as_object) else {
        return;
    };
    for name in names.iter().filter(|name| !properties.contains_key(**name)) {
        problems.push(format!("`{at}` names `{name}`, which is no property"));
    }
}

fn expected(at: &str, found: Option<&Value>, expected: &str) -> String {
    match found {
        None => format!("`{at}` is missing, expected {expected}"),
        Some(found) => format!("`{at}` is {found}, expected {expected}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(parameters: Value, problems: &[&str]) {
        let tool = json!({"type": "function", "function": {"name": "f", "parameters": parameters}});
        assert_eq!(check_tool(&tool), problems);
    }

    #[test]
    fn what_tools_have_is_a_schema() {
        check(json!({"type": "object"}), &[]);
        check(
            json!({
                "type": "object",
                "properties": {
                    "a": {"type": ["string", "null"], "enum": ["x", null]},
                    "b": {"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/c"}]},
                    "d": {"type": "array", "items": {"type": "object", "properties": {"e": {}}}},
                    "f": true
                },
                "$defs": {"c": {"type": "number", "minimum": 0}},
                "required": ["a"],
                "additionalProperties": false
            }),
            &[],
        );
        let plain = json!({"type": "function", "function": {"name": "f", "description": "does"}});
        assert_eq!(check_tool(&plain), [""; 0]);
    }

    #[test]
    fn what_is_no_schema_is_said_with_its_place() {
        check(
            json!("string"),
            &["`parameters` is \"string\", expected a schema, which is an object"],
        );
        check(
            json!({"type": "array"}),
            &["`parameters.type` is \"array\", expected \"object\""],
        );
        check(
            json!({"type": "object", "properties": {"a": {"type": "text"}, "b": "integer"}, "required": ["a", "c"]}),
            &[
                "`parameters.properties.a.type` is \"text\", expected one of string, number, integer, boolean, object, array, null",
                "`parameters.properties.b` is \"integer\", expected a schema, which is an object",
                "`parameters.required` names `c`, which is no property",
            ],
        );
        check(
            json!({"type": "object", "properties": [], "required": true}),
            &[
                "`parameters.properties` is [], expected an object of schemas by name",
                "`parameters.required` is true, expected a list of names",
            ],
        );
        check(
            json!({"type": "object", "properties": {"a": {"enum": []}, "b": {"anyOf": [{"type": 1}]}}}),
            &[
                "`parameters.properties.a.enum` is [], expected a list of values",
                "`parameters.properties.b.anyOf.0.type` is 1, expected one of string, number, integer, boolean, object, array, null",
            ],
        );
    }

    #[test]
    fn a_tool_is_a_function_with_a_name() {
        let check = |tool: Value, problems: &[&str]| assert_eq!(check_tool(&tool), problems);
        check(
            json!({"name": "f"}),
            &["`function` is missing, expected an object"],
        );
        check(
            json!({"type": "tool", "function": {"name": "two words", "description": 1}}),
            &[
                "`type` is \"tool\", expected \"function\"",
                "`name` is \"two words\", expected a word",
                "`description` is 1, expected a string",
            ],
        );
    }
}
