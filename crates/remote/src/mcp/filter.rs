//! Which of a server's tools an agent is offered, and under what names.

use serde_json::{Value, json};

use super::McpConfig;

/// The tools of a server as an agent is offered them. `listed` is as the server sends them:
/// `{"name", "description", "inputSchema"}`.
pub(super) fn offered(config: &McpConfig, listed: &[Value]) -> Result<Vec<Value>, String> {
    let names: Vec<&str> = listed.iter().filter_map(|it| it["name"].as_str()).collect();
    for pattern in config.include.iter().chain(&config.exclude) {
        if !names.iter().any(|name| matches(pattern, name)) {
            let names = names.join(", ");
            return Err(format!(
                "no tool is called `{pattern}`\nhint: the server has {names}"
            ));
        }
    }
    let is_any = |patterns: &[String], name: &str| patterns.iter().any(|it| matches(it, name));
    let is_offered = |tool: &&Value| {
        let name = tool["name"].as_str().unwrap_or_default();
        (config.include.is_empty() || is_any(&config.include, name))
            && !is_any(&config.exclude, name)
    };
    let tools = listed.iter().filter(is_offered);
    Ok(tools.map(|tool| described(&config.prefix, tool)).collect())
}

/// As chat templates read tools. What is missing stays missing, for the suite to say so.
fn described(prefix: &str, tool: &Value) -> Value {
    let name = match tool["name"].as_str() {
        Some(name) => json!(format!("{prefix}{name}")),
        None => tool["name"].clone(),
    };
    let mut function = json!({ "name": name });
    for (theirs, ours) in [
        ("description", "description"),
        ("inputSchema", "parameters"),
    ] {
        if let Some(value) = tool.get(theirs) {
            function[ours] = value.clone();
        }
    }
    // A dialect's name says nothing to a model.
    if let Some(parameters) = function["parameters"].as_object_mut() {
        parameters.shift_remove("$schema");
    }
    json!({"type": "function", "function": function})
}

/// Whether a name is what the pattern says, in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len())
                .filter(|at| rest.is_char_boundary(*at))
                .any(|at| matches(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name, expected) in [
            ("read", "read", true),
            ("read", "read_file", false),
            ("read_*", "read_file", true),
            ("read_*", "read_", true),
            ("*_file", "read_file", true),
            ("*_file", "read_files", false),
            ("r*_*e", "read_file", true),
            ("*", "é", true),
            ("*a*", "é", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn tools_are_chosen_by_the_servers_names_and_offered_under_ours() {
        let listed: Vec<Value> = ["read", "write", "drop"]
            .map(|name| json!({"name": name, "description": "d", "inputSchema": {"type": "object", "$schema": "s"}}))
            .to_vec();
        let config = |include: &[&str], exclude: &[&str]| McpConfig {
            include: include.iter().map(|&it| it.to_owned()).collect(),
            exclude: exclude.iter().map(|&it| it.to_owned()).collect(),
            prefix: "fs_".to_owned(),
            ..McpConfig::default()
        };
        let names = |tools: Vec<Value>| -> Vec<String> {
            let names = tools
                .iter()
                .map(|it| it["function"]["name"].as_str().unwrap());
            names.map(str::to_owned).collect()
        };
        let check = |include: &[&str], exclude: &[&str], expected: &[&str]| {
            assert_eq!(
                names(offered(&config(include, exclude), &listed).unwrap()),
                expected
            );
        };
        check(&[], &[], &["fs_read", "fs_write", "fs_drop"]);
        check(&["read", "w*"], &[], &["fs_read", "fs_write"]);
        check(&[], &["drop"], &["fs_read", "fs_write"]);
        check(&["*"], &["*"], &[]);
        assert_eq!(
            offered(&config(&[], &[]), &listed[..1]).unwrap(),
            [json!({"type": "function", "function": {
                "name": "fs_read", "description": "d", "parameters": {"type": "object"}
            }})]
        );
        assert_eq!(
            offered(&config(&["raed"], &[]), &listed).unwrap_err(),
            "no tool is called `raed`\nhint: the server has read, write, drop"
        );
    }
}
