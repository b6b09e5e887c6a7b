//! What BFCL's authors tell a model: their texts, read from the data set's folder, and how docs
//! of functions are put into them. Knows no template and no token.

use std::fs;
use std::path::Path;

use python::JsonStyle;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{BfclError, Category};

/// Where the texts stand in the data set's folder.
const FILE: &str = "prompt_constants.json";

/// The texts of BFCL v4, by what they are for.
#[derive(Clone, Debug, Deserialize)]
pub struct Texts {
    #[serde(rename = "PROMPT_TEMPLATE_MAPPING")]
    layouts: Layouts,
    #[serde(rename = "PROMPT_STYLE_TEMPLATES")]
    styles: Styles,
    #[serde(rename = "OUTPUT_FORMAT_MAPPING")]
    call_formats: ByLanguage,
    #[serde(rename = "PARAM_TYPE_MAPPING")]
    parameter_types: ByLanguage,
    #[serde(rename = "DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_FC")]
    reveal: String,
    #[serde(rename = "DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_PROMPTING")]
    reveal_with_docs: String,
    #[serde(rename = "ADDITIONAL_SYSTEM_PROMPT_FOR_AGENTIC_RESPONSE_FORMAT")]
    answer_format: String,
    #[serde(rename = "MEMORY_AGENT_SETTINGS")]
    memory_scenarios: Map<String, Value>,
    #[serde(rename = "MEMORY_BACKEND_INSTRUCTION_CORE_ARCHIVAL")]
    core_and_archival_memory: String,
    #[serde(rename = "MEMORY_BACKEND_INSTRUCTION_UNIFIED")]
    unified_memory: String,
    #[serde(rename = "GORILLA_TO_OPENAPI")]
    openapi_types: Map<String, Value>,
}

/// Of the layouts of a system message, the one that scores.
#[derive(Clone, Debug, Deserialize)]
struct Layouts {
    plaintext: String,
}

/// Of the ways to put it, the one that scores.
#[derive(Clone, Debug, Deserialize)]
struct Styles {
    classic: Style,
}

#[derive(Clone, Debug, Deserialize)]
struct Style {
    persona: String,
    task: String,
    tool_call_no_tag: String,
    multiturn_behavior: String,
    available_tools: String,
}

/// Of the languages of calls, the one that scores.
#[derive(Clone, Debug, Deserialize)]
struct ByLanguage {
    python: String,
}

impl Texts {
    /// Reads `prompt_constants.json` of the data set's folder.
    pub fn load(folder: &Path) -> Result<Self, BfclError> {
        let path = folder.join(FILE);
        if !path.is_file() {
            return Err(BfclError::Incomplete {
                folder: folder.to_owned(),
                missing: vec![FILE.into()],
            });
        }
        let text = fs::read_to_string(&path).map_err(|source| BfclError::File {
            path: path.clone(),
            source,
        })?;
        serde_json::from_str(&text).map_err(|error| BfclError::Line {
            path,
            line: error.line(),
            problem: error.to_string(),
        })
    }

    /// The system message of the prompting mode: what the functions are and how to call them.
    pub fn functions(&self, docs: &[Value]) -> String {
        let style = &self.styles.classic;
        let call_format = fill(
            &style.tool_call_no_tag,
            &[
                ("output_format", &self.call_formats.python),
                ("param_types", &self.parameter_types.python),
            ],
        );
        let tools = fill(
            &style.available_tools,
            &[("format", "json"), ("functions", &indented(docs))],
        );
        fill(
            &self.layouts.plaintext,
            &[
                ("persona", &style.persona),
                ("task", &style.task),
                ("tool_call_format", &call_format),
                ("multiturn_behavior", &style.multiturn_behavior),
                ("available_tools", &tools),
            ],
        )
    }

    /// What an agent with a memory is told as its dialogue begins. `content` is what the memory
    /// shows of itself now.
    pub fn memory(
        &self,
        category: Category,
        scenario: &str,
        content: &str,
    ) -> Result<String, BfclError> {
        let setting = self.memory_scenarios.get(scenario).and_then(Value::as_str);
        let setting = setting.ok_or_else(|| BfclError::Disagreement {
            path: FILE.into(),
            problem: format!("`MEMORY_AGENT_SETTINGS` has no text for the scenario `{scenario}`"),
        })?;
        let template = match category {
            Category::MemoryRecSum => &self.unified_memory,
            _ => &self.core_and_archival_memory,
        };
        let values = [("scenario_setting", setting), ("memory_content", content)];
        Ok(fill(template, &values))
    }

    /// How an agentic question wants its answer. It ends with a newline.
    pub fn answer_format(&self) -> &str {
        &self.answer_format
    }

    /// What the user says when functions that were held out can be called from now on, to a
    /// model whose list of tools stays as it was.
    pub fn reveal_with_docs(&self, docs: &[Value]) -> String {
        let docs = python::Value::from(&Value::from(docs.to_vec())).repr();
        fill(&self.reveal_with_docs, &[("functions", &docs)])
    }

    /// The same to one whose list of tools has grown.
    pub fn reveal(&self) -> &str {
        &self.reveal
    }

    /// The docs as the `tools` of OpenAI's interface: JSON schemas, `response` and all.
    pub fn api_tools(&self, docs: &[Value]) -> Vec<Value> {
        docs.iter().map(|doc| self.api_tool(doc.clone())).collect()
    }

    fn api_tool(&self, mut doc: Value) -> Value {
        if let Some(Value::String(name)) = doc.get_mut("name") {
            *name = name.replace('.', "_");
        }
        if let Some(Value::Object(parameters)) = doc.get_mut("parameters") {
            parameters.insert("type".to_owned(), json!("object"));
            self.translate_properties(parameters);
        }
        json!({"type": "function", "function": doc})
    }

    fn translate_properties(&self, schema: &mut Map<String, Value>) {
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            for property in properties.values_mut() {
                if let Value::Object(property) = property {
                    self.translate_property(property);
                }
            }
        }
    }

    fn translate_property(&self, property: &mut Map<String, Value>) {
        let official = property.get("type").and_then(Value::as_str);
        if official == Some("float") {
            property.insert("format".to_owned(), json!("float"));
            if let Some(Value::String(description)) = property.get_mut("description") {
                description.push_str(" This is a float type value.");
            }
        }
        self.translate_type(property);
        if property.contains_key("properties") {
            self.translate_properties(property);
        } else if let Some(Value::Object(items)) = property.get_mut("items") {
            self.translate_items(items);
        }
    }

    /// Items of a list get a type, without the note on floats: as in the original.
    fn translate_items(&self, items: &mut Map<String, Value>) {
        self.translate_type(items);
        if items.contains_key("properties") {
            self.translate_properties(items);
        } else if let Some(Value::Object(inner)) = items.get_mut("items") {
            self.translate_items(inner);
        }
    }

    fn translate_type(&self, schema: &mut Map<String, Value>) {
        let official = schema.get("type").and_then(Value::as_str);
        let openapi = official.and_then(|name| self.openapi_types.get(name));
        let openapi = openapi.cloned().unwrap_or_else(|| json!("string"));
        schema.insert("type".to_owned(), openapi);
    }
}

/// The system message of an episode from its parts, in this order: functions (prompting mode),
/// memory, the form of the answer (questions).
pub fn system_text(parts: &[String]) -> String {
    parts.join("\n\n")
}

/// `json.dumps(docs, indent=4)`
fn indented(docs: &[Value]) -> String {
    let style = JsonStyle {
        indent: Some(" ".repeat(4)),
        ..JsonStyle::ascii()
    };
    let docs = python::Value::from(&Value::from(docs.to_vec()));
    python::json_dumps(&docs, &style).expect("what was JSON can be written as JSON")
}

/// Python's `str.format`, for templates of plain `{name}`s. What is filled in is not read again.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let named = after.split_once('}').and_then(|(name, after)| {
            let (_, value) = values.iter().find(|(known, _)| *known == name)?;
            Some((value, after))
        });
        rest = match named {
            Some((value, after)) => {
                text.push_str(value);
                after
            }
            None => {
                text.push('{');
                after
            }
        };
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_not_read_again() {
        let check = |template: &str, expected: &str| {
            assert_eq!(fill(template, &[("a", "{b}"), ("b", "2")]), expected);
        };
        check("{a}{b}", "{b}2");
        check("x{c}y{", "x{c}y{");
        check("{{a}", "{{b}");
        check("", "");
    }
}
