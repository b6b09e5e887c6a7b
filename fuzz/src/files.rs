//! Readers of files: the bytes are written into a folder first, which every run of a thread uses
//! again.

use std::path::Path;

use chat::{Chat, Config};
use env::convert::{self, Form};
use env::own::TaskRow;
use env::tau::TauRow;
use episode::{CallFormat, Message, Role, Task};
use model::{AdapterFolder, Precision, Preset};

use crate::choice;
use crate::text::KEEP;

const FORMS: [Form; 5] = [Form::Own, Form::Ftrl, Form::ToolHop, Form::Verl, Form::Trl];

/// Shows `read` a folder of this thread's with these files and no others. What it writes beside
/// them goes with them.
pub(crate) fn with_files(files: &[(&str, &[u8])], read: impl FnOnce(&Path)) {
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a temporary folder");
    }
    FOLDER.with(|folder| {
        for (name, bytes) in files {
            let file = folder.path().join(name);
            let above = file.parent().expect("a file lies in a folder");
            std::fs::create_dir_all(above).expect("a folder in it");
            std::fs::write(file, bytes).expect("a file in it");
        }
        read(folder.path());
        for entry in std::fs::read_dir(folder.path()).expect("the folder is still there") {
            let path = entry.expect("a name in it").path();
            let removed = match path.is_dir() {
                true => std::fs::remove_dir_all(&path),
                false => std::fs::remove_file(&path),
            };
            removed.expect("it is still there");
        }
    });
}

/// A table of tasks, in the form that the first byte chooses, written again in every form.
pub fn tables(bytes: &[u8]) {
    if let Some((form, text)) = choice(bytes) {
        let form = FORMS[usize::from(form) % FORMS.len()];
        with_files(&[("tasks.jsonl", text)], |folder| {
            table(form, &folder.join("tasks.jsonl"));
        });
        for line in String::from_utf8_lossy(text).lines() {
            let _ = env::ftrl::Row::parse(line).map(|row| row.to_line());
            let _ = TauRow::parse(line);
        }
    }
}

/// A table in Parquet, in the form that its length chooses.
#[cfg(feature = "parquet")]
pub fn parquet(bytes: &[u8]) {
    let form = FORMS[bytes.len() % FORMS.len()];
    with_files(&[("tasks.parquet", bytes)], |folder| {
        table(form, &folder.join("tasks.parquet"));
    });
}

fn table(form: Form, path: &Path) {
    let Ok(rows) = convert::read(form, path) else {
        return;
    };
    for row in &rows {
        let problems = row.check();
        let line = row.to_line();
        if problems.is_empty() {
            TaskRow::parse(&line).expect("a row that was written can be read");
        }
    }
    let folder = path.parent().expect("a file lies in a folder");
    for form in FORMS {
        let written = folder.join("written.jsonl");
        let _ = convert::write(form, &written, &rows);
        let _ = std::fs::remove_file(&written);
    }
}

/// A file of expert traces for a task with one tool.
pub fn traces(bytes: &[u8]) {
    let tool = serde_json::json!({"type": "function", "function": {"name": "f"}});
    let task = Task {
        id: "a".to_owned(),
        scenario: String::new(),
        messages: vec![Message::new(Role::User, "u")],
        tools: vec![tool],
        answer: None,
        calls: CallFormat::Tagged,
    };
    let tasks = [task];
    with_files(&[("traces.jsonl", bytes)], |folder| {
        let traces = env::load_traces(&folder.join("traces.jsonl"), &tasks);
        for trace in traces.iter().flatten() {
            let _ = KEEP.expert(&tasks[0], trace);
        }
    });
}

/// A tokenizer's two files, parted by a zero byte.
pub fn tokenizers(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |&byte| byte == 0);
    let (Some(tokenizer), Some(config)) = (parts.next(), parts.next()) else {
        return;
    };
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let Ok(chat) = Chat::from_json(&text(tokenizer), &text(config), Config::default()) else {
        return;
    };
    let tokens = chat
        .encode("Two words, 1 number\n\u{1f980}")
        .unwrap_or_default();
    let _ = chat.decode(&tokens);
    let _ = chat.decode(&[0, 1, chat.vocab_size() as u32, u32::MAX]);
}

/// A weight file beside the config of a very small decoder.
pub fn weights(bytes: &[u8]) {
    let config = br#"{"model_type": "qwen3", "vocab_size": 4, "hidden_size": 4,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 2,
        "intermediate_size": 4, "rms_norm_eps": 1e-6, "rope_theta": 1e4, "hidden_act": "silu",
        "max_position_embeddings": 16, "tie_word_embeddings": true}"#;
    let files = [("config.json", &config[..]), ("model.safetensors", bytes)];
    with_files(&files, |folder| {
        model::load_architecture(folder).expect("the config is one");
        let _ = model::load(folder);
        let _ = model::load_frozen(folder, Precision::Bf16);
    });
}

/// The config of a decoder, beside a weight file without tensors and an index that is the same
/// bytes.
pub fn architectures(bytes: &[u8]) {
    let empty = b"\x02\0\0\0\0\0\0\0{}";
    let files = [("config.json", bytes), ("model.safetensors", &empty[..])];
    with_files(&files, |folder| {
        if let Ok(architecture) = model::load_architecture(folder) {
            let _ = architecture.to_json("float32");
        }
        let _ = model::load(folder);
    });
    with_files(
        &[
            ("config.json", bytes),
            ("model.safetensors.index.json", bytes),
        ],
        |folder| {
            let _ = model::load(folder);
        },
    );
}

/// The config of an adapter in PEFT's layout, and a weight file, parted by a zero byte.
pub fn adapters(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |&byte| byte == 0);
    let (config, weights) = (parts.next().unwrap_or(&[]), parts.next().unwrap_or(&[]));
    let files = [
        ("adapter_config.json", config),
        ("adapter_model.safetensors", weights),
    ];
    with_files(&files, |folder| {
        if let Ok(adapter) = AdapterFolder::open(folder) {
            let _ = adapter.count();
            let _ = adapter.load(&Preset::Tiny.architecture(16));
        }
    });
}
