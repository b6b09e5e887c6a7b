//! A data set of this test's own, in the official layout, small enough to read.

use std::fs;
use std::path::{Path, PathBuf};

use bfcl::BfclOptions;
use bfcl::suite::{Format, Selection};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The folder; it is gone with this.
pub(crate) struct Mini(TempDir);

impl Mini {
    pub(crate) fn new() -> Self {
        let mini = Self(tempfile::tempdir().unwrap());
        mini.multi_turn("base", &[]);
        mini.multi_turn("miss_func", &["comment"]);
        mini.memory();
        mini.web_search();
        mini.docs();
        mini.constants();
        mini
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn options(&self, category: Selection) -> BfclOptions {
        BfclOptions {
            folder: self.folder().to_owned(),
            categories: vec![category],
            format: Format::Fc,
            ..BfclOptions::default()
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Writes JSON lines.
    pub(crate) fn write(&self, name: &str, rows: &[Value]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
        fs::write(path, lines.join("\n")).unwrap();
    }

    /// Ann posts, then comments on it; `missed` is held out until she asks for the comment.
    fn multi_turn(&self, name: &str, missed: &[&str]) {
        let mut question = json!({
            "id": format!("multi_turn_{name}_0"),
            "question": [[user("Post hello.")], [user("Comment on it: hi.")]],
            "initial_config": {"TwitterAPI": {"username": "ann", "authenticated": true}},
            "path": ["TwitterAPI.post_tweet"],
            "involved_classes": ["TwitterAPI"],
        });
        let mut truth = vec![
            json!(["post_tweet('hello', tags=['#a'])"]),
            json!(["comment(tweet_id=0, comment_content='hi')"]),
        ];
        if !missed.is_empty() {
            question["missed_function"] = json!({"2": missed});
            question["question"].as_array_mut().unwrap().push(json!([]));
            truth.insert(1, json!([]));
        }
        let file = format!("BFCL_v4_multi_turn_{name}.json");
        self.write(&file, &[question]);
        let answer = json!({"id": format!("multi_turn_{name}_0"), "ground_truth": truth});
        self.write(&format!("possible_answer/{file}"), &[answer]);
    }

    fn memory(&self) {
        let conversation = |at: usize, said: [&str; 2]| {
            json!({
                "id": format!("memory_prereq_{at}-shop-{at}"),
                "topic": "t",
                "question": said.map(|text| [user(text)]),
                "involved_classes": ["MemoryAPI"],
                "scenario": "shop",
            })
        };
        self.write(
            "memory_prereq_conversation/memory_shop.json",
            &[
                conversation(0, ["I am Ann.", "I am 35."]),
                conversation(1, ["I drink tea.", "Bye."]),
            ],
        );
        let question = json!({
            "id": "memory_0-shop-0",
            "question": [[user("What do I drink?")]],
            "involved_classes": ["MemoryAPI"],
            "scenario": "shop",
        });
        self.write("BFCL_v4_memory.json", &[question]);
        let answer = json!({"id": "memory_0-shop-0", "ground_truth": ["tea", "oolong"]});
        self.write("possible_answer/BFCL_v4_memory.json", &[answer]);
    }

    fn web_search(&self) {
        let question = json!({
            "id": "web_search_0",
            "question": [[user("Which tea is the most expensive?")]],
            "involved_classes": ["WebSearchAPI"],
        });
        self.write("BFCL_v4_web_search.json", &[question]);
        let answer = json!({"id": "web_search_0", "ground_truth": ["Da Hong Pao"]});
        self.write("possible_answer/BFCL_v4_web_search.json", &[answer]);
    }

    fn docs(&self) {
        let doc = |name: &str| {
            json!({
                "name": name,
                "description": format!("{name}."),
                "parameters": {"type": "dict", "properties": {}, "required": []},
            })
        };
        for (file, names) in [
            ("posting_api", &["post_tweet", "comment"][..]),
            ("memory_kv", &["core_memory_add"]),
            ("memory_rec_sum", &["memory_append"]),
            ("memory_vector", &["core_memory_add"]),
            ("web_search", &["search_engine_query", "fetch_url_content"]),
        ] {
            let docs: Vec<Value> = names.iter().map(|name| doc(name)).collect();
            self.write(&format!("multi_turn_func_doc/{file}.json"), &docs);
        }
    }

    fn constants(&self) {
        let twitter = json!({
            "username": "john", "password": "x", "authenticated": false, "tweets": {},
            "comments": {}, "retweets": {}, "following_list": [], "tweet_counter": 0,
        });
        let tables = json!({"posting_api": {"DEFAULT_STATE": twitter}});
        self.write("backend_tables.json", &[tables]);
        self.write("long_context_constants.json", &[json!({})]);
        self.write("prompt_constants.json", &[texts()]);
    }
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn texts() -> Value {
    json!({
        "PROMPT_TEMPLATE_MAPPING": {"plaintext": "{task} {tool_call_format} {available_tools}"},
        "PROMPT_STYLE_TEMPLATES": {"classic": {
            "persona": "P",
            "task": "Call.",
            "tool_call_no_tag": "As {output_format}.",
            "multiturn_behavior": "M",
            "available_tools": "{functions}",
        }},
        "OUTPUT_FORMAT_MAPPING": {"python": "[f()]"},
        "PARAM_TYPE_MAPPING": {"python": ""},
        "DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_FC": "More functions.",
        "DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_PROMPTING": "{functions}\nMore functions.",
        "ADDITIONAL_SYSTEM_PROMPT_FOR_AGENTIC_RESPONSE_FORMAT": "Answer so.\n",
        "MEMORY_AGENT_SETTINGS": {"shop": "You serve."},
        "MEMORY_BACKEND_INSTRUCTION_CORE_ARCHIVAL": "{scenario_setting} Core: {memory_content}",
        "MEMORY_BACKEND_INSTRUCTION_UNIFIED": "{scenario_setting} All: {memory_content}",
        "GORILLA_TO_OPENAPI": {"string": "string", "dict": "object"},
    })
}
