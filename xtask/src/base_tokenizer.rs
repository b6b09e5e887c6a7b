//! The tokenizer and the chat template of the base that ships with the repository, written
//! from the tool world's lexicon: every word is one token, a person's name two, a tool's
//! name three, wherever they stand. Anything else falls back to bytes, so that every text can
//! be written.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use env::world::lexicon;
use serde_json::{Map, Value, json};

const CHAT_TEMPLATE: &str = include_str!("base_chat_template.jinja");

const END_OF_TEXT: &str = "<|endoftext|>";
const END_OF_TURN: &str = "<|im_end|>";

/// Tokens of the chat layout that a text cannot contain.
const SPECIAL: [&str; 3] = [END_OF_TEXT, "<|im_start|>", END_OF_TURN];

/// Tokens that the policy writes, the first six tags, the others what every call repeats.
const TAGS: [&str; 10] = [
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "{\"name\": \"",
    "\", \"arguments\": {\"",
    "\": \"",
    "\"}}",
];

/// How a text is cut before words are looked up. A space belongs to the lower-case word
/// after it, save before a tool's name (`mentor_baldom`), which like a person's name is to
/// be the same tokens wherever it stands.
const PIECES: &str = r"[A-Z][a-z]+| (?=[a-z]+_)| ?[a-z]+|_[a-z]{3}|[0-9]| |\n+|[!-/:-@\[-^`{-~]+";

/// The files of the tokenizer, by name, with their contents.
pub(crate) fn files() -> [(&'static str, String); 3] {
    let pieces = Pieces::new();
    let id = |token: &str| pieces.id(token);
    let generation = json!({
        "eos_token_id": [id(END_OF_TURN), id(END_OF_TEXT)],
        "pad_token_id": id(END_OF_TEXT),
    });
    let tokenizer_config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": null,
        "eos_token": END_OF_TURN,
        "pad_token": END_OF_TEXT,
        "unk_token": null,
        "clean_up_tokenization_spaces": false,
        "model_max_length": 4096,
        "chat_template": CHAT_TEMPLATE,
    });
    [
        ("tokenizer.json", pretty(&pieces.tokenizer())),
        ("tokenizer_config.json", pretty(&tokenizer_config)),
        ("generation_config.json", pretty(&generation)),
    ]
}

/// Writes the files into a folder, which is made if it is not there.
pub(crate) fn write(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    for (name, content) in files() {
        let path = folder.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}

/// The vocabulary in the order of its ids: bytes, words, syllables; then what is added.
struct Pieces {
    vocabulary: Vec<String>,
    merges: Vec<[String; 2]>,
}

impl Pieces {
    fn new() -> Self {
        let mut pieces = Self {
            vocabulary: (0..=u8::MAX).map(|byte| written(&[byte])).collect(),
            merges: Vec::new(),
        };
        for word in lexicon::words() {
            pieces.add(word.as_bytes());
            if word.starts_with(|c: char| c.is_ascii_lowercase()) {
                pieces.add(format!(" {word}").as_bytes());
            }
        }
        for index in 0..lexicon::SYLLABLES {
            let (onset, coda) = lexicon::first_syllable(index);
            pieces.add(format!("_{onset}{coda}").to_lowercase().as_bytes());
        }
        pieces.add(b"\n\n");
        for index in 0..lexicon::SYLLABLES {
            pieces.syllable(lexicon::first_syllable(index));
        }
        for index in 0..lexicon::SYLLABLES {
            pieces.syllable(lexicon::second_syllable(index));
        }
        pieces
    }

    fn add(&mut self, text: &[u8]) {
        let token = written(text);
        if !self.vocabulary.contains(&token) {
            self.vocabulary.push(token);
        }
    }

    /// A syllable is merged from its letters: no merge crosses from one into the next,
    /// since none joins a coda to an onset.
    fn syllable(&mut self, (onset, coda): (&str, &str)) {
        for (left, right) in [(&onset[..1], &onset[1..]), (onset, coda)] {
            self.add([left, right].concat().as_bytes());
            let merge = [left.to_owned(), right.to_owned()];
            if !self.merges.contains(&merge) {
                self.merges.push(merge);
            }
        }
    }

    fn added(&self) -> impl Iterator<Item = (usize, &'static str, bool)> {
        let special = SPECIAL.into_iter().map(|token| (token, true));
        let tags = TAGS.into_iter().map(|token| (token, false));
        let first = self.vocabulary.len();
        special
            .chain(tags)
            .enumerate()
            .map(move |(i, (token, special))| (first + i, token, special))
    }

    fn id(&self, added: &str) -> usize {
        let found = self.added().find(|(_, token, _)| *token == added);
        found.expect("asked for an added token").0
    }

    /// In the format of Hugging Face's `tokenizer.json`.
    fn tokenizer(&self) -> Value {
        let added: Vec<Value> = self
            .added()
            .map(|(id, content, special)| {
                json!({
                    "id": id,
                    "content": content,
                    "single_word": false,
                    "lstrip": false,
                    "rstrip": false,
                    "normalized": false,
                    "special": special,
                })
            })
            .collect();
        let vocabulary: Map<String, Value> = self
            .vocabulary
            .iter()
            .enumerate()
            .map(|(id, token)| (token.clone(), Value::from(id)))
            .collect();
        let byte_level = json!({
            "type": "ByteLevel",
            "add_prefix_space": false,
            "trim_offsets": false,
            "use_regex": false,
        });
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": null,
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {
                        "type": "Split",
                        "pattern": { "Regex": PIECES },
                        "behavior": "Isolated",
                        "invert": false,
                    },
                    byte_level,
                ],
            },
            "post_processor": null,
            "decoder": byte_level,
            "model": {
                "type": "BPE",
                "dropout": null,
                "unk_token": null,
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": false,
                "byte_fallback": false,
                "ignore_merges": true,
                "vocab": vocabulary,
                "merges": self.merges,
            },
        })
    }
}

/// Bytes as byte-level vocabularies write them: a printable character for each byte, its
/// own where Latin-1 has a visible one, else the next unused from U+0100 on.
fn written(bytes: &[u8]) -> String {
    let is_visible = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let character = |byte: u8| {
        if is_visible(byte) {
            return char::from(byte);
        }
        let before = (0..byte).filter(|&other| !is_visible(other)).count() as u32;
        char::from_u32(0x100 + before).expect("all of U+0100 to U+0143 are characters")
    };
    bytes.iter().map(|&byte| character(byte)).collect()
}

fn pretty(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("a value of ours is JSON");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat::Chat;
    use env::Suite;
    use env::world::{self, Config, Family, Split};
    use episode::{Author, Message, Role, Task, ToolCall, Trace, TraceTurn};
    use tokenizers::Tokenizer;

    fn tokenizer() -> Tokenizer {
        let [(_, json), ..] = files();
        json.parse().expect("tokenizers reads what we write")
    }

    fn tokens(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
        let encoding = tokenizer
            .encode(text, false)
            .expect("every text has tokens");
        encoding.get_tokens().to_vec()
    }

    fn tasks() -> Vec<world::World> {
        [Family::Plain, Family::Keyed]
            .into_iter()
            .flat_map(|family| {
                [Split::Train, Split::Validation].map(|split| {
                    world::generate(&Config {
                        tasks: 50,
                        family,
                        split,
                        ..Config::default()
                    })
                })
            })
            .collect()
    }

    #[test]
    fn the_files_in_the_repository_are_what_the_command_writes() {
        let base = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../base"));
        for (name, content) in files() {
            let found = fs::read_to_string(base.join(name)).expect(name);
            assert!(
                found == content,
                "run `cargo xtask base-tokenizer --out base` ({name})"
            );
        }
    }

    #[test]
    fn a_name_is_the_same_two_tokens_wherever_it_stands() {
        let tokenizer = tokenizer();
        for first in 0..lexicon::SYLLABLES {
            for second in 0..lexicon::SYLLABLES {
                let name = lexicon::person(first, second);
                let expected = [&name[..3], &name[3..]];
                assert_eq!(tokens(&tokenizer, &name), expected);
                let within = |text: String, at: usize| {
                    assert_eq!(tokens(&tokenizer, &text)[at..at + 2], expected, "{text}");
                };
                within(format!("Who is the mentor of {name}?"), 6);
                within(format!("{{\"person\": \"{name}\"}}}}"), 4);
                within(format!("error: {name} is listed as {name}"), 3);
                within(format!("<tool_response>\n{name}\n</tool_response>"), 2);
            }
        }
    }

    #[test]
    fn a_tool_name_is_the_same_three_tokens_wherever_it_stands() {
        let tokenizer = tokenizer();
        let stems = lexicon::RELATIONS.into_iter().chain([lexicon::REGISTRY]);
        for (i, stem) in stems.enumerate() {
            for j in 0..lexicon::SYLLABLES {
                let provider = lexicon::provider(j, (i + j) % lexicon::SYLLABLES);
                let suffix = format!("_{provider}");
                let expected = [stem, &suffix[..4], &suffix[4..]];
                let within = |text: String, at: usize| {
                    assert_eq!(tokens(&tokenizer, &text)[at..at + 3], expected, "{text}");
                };
                within(format!("{stem}{suffix}"), 0);
                within(format!("gives the {stem}: {stem}{suffix}(name)"), 5);
                within(format!("Use {stem}{suffix}."), 2);
                within(
                    format!("{{\"name\": \"{stem}{suffix}\", \"arguments\": {{\"name"),
                    1,
                );
            }
        }
    }

    #[test]
    fn no_text_of_the_world_needs_a_letter_of_its_own() {
        let tokenizer = tokenizer();
        let check = |text: &str| {
            for token in tokens(&tokenizer, text) {
                let is_letter = token.len() == 1 && token.starts_with(char::is_alphabetic);
                assert!(!is_letter || token == "a", "{token:?} in {text:?}");
            }
        };
        for world in tasks() {
            for task in world.suite.tasks() {
                check(&task.messages[0].content);
                for tool in &task.tools {
                    check(
                        tool["function"]["description"]
                            .as_str()
                            .expect("a description"),
                    );
                }
            }
            for trace in &world.traces {
                check(&trace.answer_reasoning);
                for turn in &trace.turns {
                    check(&turn.reasoning);
                    turn.results.iter().for_each(|result| check(result));
                }
            }
        }
        for told in [
            "error: person must be a string",
            "error: Kelmum is not an id",
        ] {
            check(told);
        }
        check("system");
        check("assistant");
    }

    #[test]
    fn any_text_comes_back_as_it_was() {
        let tokenizer = tokenizer();
        for text in [
            "Who is the mentor of Kelvat?",
            "<think>\nNeed the id of Kelvat. Use registry_index.\n</think>\n\n",
            "{\"name\": \"a\", \"arguments\": {\"b\": \"c\"}}",
            "\": \"\"}}{\"name\": \"\": \"",
            "  two  spaces\t\r\n\n\n_x A_b __ X1y2 ABC aB",
            "Où? 東京 🦀 \u{0}\u{7f}\u{a0}\u{feff} e\u{301} ¡¬®ÿĀ Ġ Ċ",
            "",
        ] {
            let encoding = tokenizer
                .encode(text, false)
                .expect("every text has tokens");
            let back = tokenizer
                .decode(encoding.get_ids(), false)
                .expect("tokens are text");
            assert_eq!(back, text);
        }
    }

    fn chat() -> Chat {
        let [(_, tokenizer), (_, config), _] = files();
        Chat::from_json(&tokenizer, &config, chat::Config::default()).expect("chat reads it")
    }

    #[test]
    fn a_conversation_reads_as_this() {
        let function = |name: &str, parameter: &str, description: &str| {
            let properties = json!({ parameter: { "type": "string" } });
            json!({"type": "function", "function": {
                "name": name,
                "description": description,
                "parameters": { "type": "object", "properties": properties },
            }})
        };
        let task = Task {
            id: "0".into(),
            scenario: "parallel_single_hop".into(),
            messages: vec![Message::new(
                Role::User,
                "Who are the mentor of Kelvat and the rival of Bandom?",
            )],
            tools: vec![
                function("mentor_baldom", "person", "gives the mentor"),
                function("rival_kenrot", "key", "rival of a person"),
            ],
            answer: None,
            calls: episode::CallFormat::Tagged,
        };
        let call = |name: &str, key: &str, value: &str| ToolCall {
            name: name.into(),
            arguments: Map::from_iter([(key.into(), value.into())]),
        };
        let trace = Trace {
            task: "0".into(),
            turns: vec![TraceTurn {
                reasoning: "Use mentor_baldom and rival_kenrot.".into(),
                calls: vec![
                    call("mentor_baldom", "person", "Kelvat"),
                    call("rival_kenrot", "key", "Bandom"),
                ],
                results: vec!["Ralzon".into(), "Tarlim".into()],
                ..TraceTurn::default()
            }],
            answer_reasoning: "Found Ralzon and Tarlim.".into(),
            answer: Some("Ralzon and Tarlim".into()),
            ..Trace::default()
        };
        let chat = chat();
        let transcript = chat.expert(&task, &trace).expect("the template renders");
        let text = chat.decode(transcript.context());
        assert_eq!(
            text,
            r#"<|im_start|>system
Tools:
- gives the mentor: mentor_baldom(person)
- rival of a person: rival_kenrot(key)<|im_end|>
<|im_start|>user
Who are the mentor of Kelvat and the rival of Bandom?<|im_end|>
<|im_start|>assistant
<think>
Use mentor_baldom and rival_kenrot.
</think>

<tool_call>
{"name": "mentor_baldom", "arguments": {"person": "Kelvat"}}
</tool_call>
<tool_call>
{"name": "rival_kenrot", "arguments": {"key": "Bandom"}}
</tool_call><|im_end|>
<|im_start|>user
<tool_response>
Ralzon
</tool_response>
<tool_response>
Tarlim
</tool_response><|im_end|>
<|im_start|>assistant
<think>
Found Ralzon and Tarlim.
</think>

Ralzon and Tarlim<|im_end|>"#
        );
    }

    #[test]
    fn prompts_and_turns_are_short() {
        let chat = chat();
        let (mut tasks_seen, mut turns_seen) = (0, 0);
        let (mut prompts, mut written, mut longest) = (0, 0, 0);
        for world in tasks() {
            for (task, trace) in world.suite.tasks().iter().zip(&world.traces) {
                let transcript = chat.expert(task, trace).expect("the template renders");
                let [segment] = transcript.segments() else {
                    panic!("reasoning is kept, so an episode is one segment")
                };
                let policy = segment.authors.iter().filter(|&&a| a == Author::Policy);
                tasks_seen += 1;
                turns_seen += trace.turns.len() + 1;
                prompts += transcript.prompt_tokens();
                written += policy.count();
                longest = longest.max(segment.tokens.len());
            }
        }
        let (prompt, turn) = (prompts / tasks_seen, written / turns_seen);
        println!("{tasks_seen} tasks: {prompt} tokens a prompt, {turn} a turn, longest {longest}");
        assert!((80..=160).contains(&prompt), "{prompt}");
        assert!(turn <= 45, "{turn}");
    }

    #[test]
    fn the_vocabulary_is_small_and_has_no_token_twice() {
        let pieces = Pieces::new();
        let unique: std::collections::HashSet<_> = pieces.vocabulary.iter().collect();
        assert_eq!(unique.len(), pieces.vocabulary.len());
        let size = tokenizer().get_vocab_size(true);
        println!("{size} tokens");
        assert_eq!(size, pieces.vocabulary.len() + SPECIAL.len() + TAGS.len());
        assert!((500..=700).contains(&size), "{size}");
    }
}
