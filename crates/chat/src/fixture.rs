//! A tokenizer and a template of our own, small enough for every test: one token for each byte
//! (its id is the byte), then the special tokens. Other crates' tests use it too.

use serde_json::{Map, Value, json};

use crate::tokenizer::byte_characters;
use crate::{Chat, Config};

/// The special tokens; the first has id 256. `<|im_end|>` ends a turn.
pub const SPECIAL: [&str; 9] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
];

/// ChatML with tools. Reasoning is printed after the last user message only, and
/// `enable_thinking = false` closes it in the generation prompt, as Qwen3's template does.
const TEMPLATE: &str = r#"
{%- set last = namespace(user=-1) %}
{%- for message in messages %}
    {%- if message.role == 'user' %}{% set last.user = loop.index0 %}{% endif %}
{%- endfor %}
{%- if tools %}
    {{- '<|im_start|>system\nTools:\n' }}
    {%- for tool in tools %}{{- tool | tojson + '\n' }}{% endfor %}
    {{- '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {%- set follows_tool = not loop.first and messages[loop.index0 - 1].role == 'tool' %}
    {%- if message.role == 'tool' %}
        {{- '\n' if follows_tool else '<|im_start|>user\n' }}
        {{- '<tool_response>\n' + message.content + '\n</tool_response>' }}
        {{- '<|im_end|>\n' if loop.last or messages[loop.index0 + 1].role != 'tool' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\n' }}
        {%- if message.reasoning_content and loop.index0 > last.user %}
            {{- '<think>\n' + message.reasoning_content + '\n</think>\n\n' }}
        {%- endif %}
        {{- message.content }}
        {%- for call in message.tool_calls or [] %}
            {{- '\n' if message.content or not loop.first }}
            {{- '<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments | tojson + '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and not enable_thinking %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}"#;

/// The text of a `tokenizer.json`.
pub fn tokenizer_json() -> String {
    let vocabulary: Map<String, Value> = byte_characters()
        .map(|(byte, c)| (c.to_string(), Value::from(byte)))
        .collect();
    let added: Vec<Value> = SPECIAL
        .iter()
        .enumerate()
        .map(|(i, content)| {
            json!({
                "id": 256 + i, "content": content, "special": true,
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            })
        })
        .collect();
    let byte_level = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false,
    });
    json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": byte_level,
        "post_processor": null,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    })
    .to_string()
}

/// The text of a `tokenizer_config.json`.
pub fn tokenizer_config_json() -> String {
    json!({"eos_token": "<|im_end|>", "chat_template": TEMPLATE}).to_string()
}

/// A chat with the default config.
pub fn chat() -> Chat {
    chat_with(Config::default())
}

/// A chat with this config.
pub fn chat_with(config: Config) -> Chat {
    Chat::from_json(&tokenizer_json(), &tokenizer_config_json(), config)
        .expect("the fixture is a tokenizer with a template")
}
