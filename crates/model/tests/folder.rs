//! Model folders: what is saved is what is loaded, and what is broken is named.

use std::fs;
use std::path::{Path, PathBuf};

use model::{Architecture, Parameters, Precision, Preset, init, load, save};
use serde_json::Value;
use tempfile::TempDir;

const ONE_FILE: usize = usize::MAX;
const SHARDED: usize = 300_000;

fn fresh() -> (Architecture, Parameters) {
    let architecture = Preset::Tiny.architecture(300);
    let parameters = init(&architecture, 1);
    (architecture, parameters)
}

/// A folder with a fresh model in it.
fn saved(max_shard_bytes: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (architecture, parameters) = fresh();
    save(
        folder.path(),
        &architecture,
        &parameters,
        Precision::F32,
        max_shard_bytes,
    )
    .unwrap();
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn weight_files(folder: &Path) -> Vec<PathBuf> {
    let names = names(folder)
        .into_iter()
        .filter(|name| name.ends_with(".safetensors"));
    names.map(|name| folder.join(name)).collect()
}

/// The message of a load that must fail.
fn refusal(folder: &Path) -> String {
    load(folder).expect_err("the folder is broken").to_string()
}

fn edit_config(folder: &Path, key: &str, value: Value) {
    let path = folder.join("config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    config[key] = value;
    fs::write(path, config.to_string()).unwrap();
}

fn bits(parameters: &Parameters) -> Vec<u32> {
    parameters
        .data
        .iter()
        .map(|value| value.to_bits())
        .collect()
}

#[test]
fn one_file_or_many_shards_load_the_same_bits() {
    let (architecture, parameters) = fresh();
    for (limit, files) in [(ONE_FILE, 1), (SHARDED, 13)] {
        let folder = saved(limit);
        let (loaded_architecture, loaded) = load(folder.path()).unwrap();
        assert_eq!(bits(&loaded), bits(&parameters));
        assert_eq!(
            loaded_architecture.inverse_frequencies(),
            architecture.inverse_frequencies()
        );
        assert_eq!(weight_files(folder.path()).len(), files);
    }
}

#[test]
fn bfloat16_is_rounded_once_and_then_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (architecture, parameters) = fresh();
    save(
        folder.path(),
        &architecture,
        &parameters,
        Precision::Bf16,
        ONE_FILE,
    )
    .unwrap();
    let (architecture, rounded) = load(folder.path()).unwrap();
    for (rounded, exact) in rounded.data.iter().zip(&parameters.data) {
        assert!((rounded - exact).abs() <= exact.abs() / 256.0);
    }
    assert!(
        architecture.to_json("bfloat16")
            == fs::read_to_string(folder.path().join("config.json")).unwrap()
    );
    save(
        folder.path(),
        &architecture,
        &rounded,
        Precision::Bf16,
        ONE_FILE,
    )
    .unwrap();
    assert_eq!(bits(&load(folder.path()).unwrap().1), bits(&rounded));
}

#[test]
fn a_save_replaces_the_weight_files_of_the_last_one_and_nothing_else() {
    let folder = saved(SHARDED);
    fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    fs::write(folder.path().join("golden.safetensors"), "").unwrap();
    let (architecture, parameters) = fresh();
    save(
        folder.path(),
        &architecture,
        &parameters,
        Precision::F32,
        ONE_FILE,
    )
    .unwrap();
    assert_eq!(
        names(folder.path()),
        [
            "config.json",
            "golden.safetensors",
            "model.safetensors",
            "tokenizer.json"
        ]
    );
    save(
        folder.path(),
        &architecture,
        &parameters,
        Precision::F32,
        SHARDED,
    )
    .unwrap();
    assert!(!folder.path().join("model.safetensors").exists());
    assert_eq!(bits(&load(folder.path()).unwrap().1), bits(&parameters));
}

#[test]
fn a_save_that_fails_leaves_the_last_model_whole() {
    let folder = saved(ONE_FILE);
    let before = fs::read(folder.path().join("model.safetensors")).unwrap();
    // A folder in the place of the last file to be written stops the save as a full disk would.
    fs::create_dir(folder.path().join(".config.json.partial")).unwrap();
    let architecture = Preset::Tiny.architecture(300);
    let other = init(&architecture, 2);
    let error = save(
        folder.path(),
        &architecture,
        &other,
        Precision::F32,
        ONE_FILE,
    )
    .unwrap_err();
    assert!(
        error.to_string().contains("cannot write `") && error.to_string().contains("config.json`"),
        "{error}"
    );
    assert_eq!(
        fs::read(folder.path().join("model.safetensors")).unwrap(),
        before
    );
    assert!(!folder.path().join(".model.safetensors.partial").exists());
}

#[test]
fn saved_files_are_as_readable_as_any_other() {
    let folder = saved(ONE_FILE);
    let mode = |name: &str| {
        fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions()
    };
    assert_eq!(mode("model.safetensors"), mode("config.json"));
}

#[test]
fn a_missing_file_is_named() {
    let folder = saved(SHARDED);
    let shard = &weight_files(folder.path())[2];
    fs::remove_file(shard).unwrap();
    let message = refusal(folder.path());
    assert!(
        message.contains(&format!("cannot read `{}`", shard.display()))
            && message.contains("hint: check that the folder"),
        "{message}"
    );

    let empty = tempfile::tempdir().unwrap();
    assert!(refusal(empty.path()).contains("config.json`"));
    let (architecture, _) = fresh();
    fs::write(
        empty.path().join("config.json"),
        architecture.to_json("float32"),
    )
    .unwrap();
    assert!(refusal(empty.path()).contains("model.safetensors`"));
}

#[test]
fn a_truncated_file_is_named_wherever_it_ends() {
    let folder = saved(SHARDED);
    let shard = &weight_files(folder.path())[1];
    let whole = fs::read(shard).unwrap();
    for length in [0, 5, 60, whole.len() / 2, whole.len() - 1] {
        fs::write(shard, &whole[..length]).unwrap();
        let message = refusal(folder.path());
        let start = format!(
            "`{}` is not a whole safetensors file: its {length} bytes ",
            shard.display()
        );
        assert!(message.starts_with(&start), "{message}");
        assert!(
            message.ends_with("hint: copy or download this file again"),
            "{message}"
        );
    }
}

#[test]
fn weights_that_do_not_follow_from_the_config_are_named() {
    let check = |key: &str, value: Value, expected: &str| {
        let folder = saved(ONE_FILE);
        edit_config(folder.path(), key, value);
        let message = refusal(folder.path());
        assert!(
            message.contains(expected) && message.contains("\nhint: "),
            "{message}"
        );
    };
    check(
        "vocab_size",
        301.into(),
        "tensor `model.embed_tokens.weight` has shape [300, 128], expected [301, 128]",
    );
    check(
        "num_hidden_layers",
        5.into(),
        "tensor `model.layers.4.input_layernorm.weight` is in none of the folder's weight files",
    );
    check(
        "num_hidden_layers",
        3.into(),
        "is not a parameter of this architecture",
    );
    check(
        "tie_word_embeddings",
        false.into(),
        "tensor `lm_head.weight` is in none",
    );
    check(
        "model_type",
        "gpt_neox".into(),
        "`model_type` is \"gpt_neox\", supported are `qwen3`, `qwen2`, `llama`",
    );
}

/// Before memory is asked for: a machine has not so much.
#[test]
fn sizes_that_have_nothing_to_do_with_the_weights_are_refused() {
    for key in ["hidden_size", "num_hidden_layers", "vocab_size"] {
        let folder = saved(ONE_FILE);
        edit_config(folder.path(), key, (1u64 << 32).into());
        let message = refusal(folder.path());
        assert!(
            message.contains("config.json`: its sizes ask for"),
            "{message}"
        );
    }
}

#[test]
fn a_header_that_promises_more_bytes_than_can_be_counted_is_refused() {
    let folder = saved(ONE_FILE);
    let eighth = 1u64 << 61;
    let tensors = (0..8).map(|i| {
        let end = (eighth - 1) * (i + 1);
        let begin = (eighth - 1) * i;
        format!(
            r#""{i}":{{"dtype":"U8","shape":[{}],"data_offsets":[{begin},{end}]}}"#,
            end - begin
        )
    });
    let header = format!("{{{}}}", tensors.collect::<Vec<_>>().join(","));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
    let message = refusal(folder.path());
    assert!(message.contains("not as many"), "{message}");
}

#[test]
fn an_index_that_names_a_file_elsewhere_is_refused() {
    let folder = saved(SHARDED);
    let index = r#"{"weight_map": {"model.norm.weight": "../model.safetensors"}}"#;
    fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    assert!(refusal(folder.path()).contains("expected a file of this folder"));
    fs::write(folder.path().join("model.safetensors.index.json"), "{").unwrap();
    assert!(refusal(folder.path()).contains("expected a `weight_map`"));
}

/// Writes a file with raw tensors: name, type, shape, bytes.
fn write_raw(path: &Path, tensors: &[(&str, safetensors::Dtype, Vec<usize>, Vec<u8>)]) {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (
            *name,
            safetensors::tensor::TensorView::new(*dtype, shape.clone(), bytes).unwrap(),
        )
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// The fresh model's tensors, stored by `encode` with `dtype`, and then changed.
fn rewritten(
    dtype: safetensors::Dtype,
    encode: impl Fn(f32) -> Vec<u8>,
    change: impl FnOnce(&mut Vec<(&str, safetensors::Dtype, Vec<usize>, Vec<u8>)>),
) -> TempDir {
    let folder = saved(ONE_FILE);
    let (_, parameters) = fresh();
    let mut tensors = Vec::new();
    for spec in parameters.layout.specs() {
        let bytes = parameters
            .slice(spec)
            .iter()
            .flat_map(|&value| encode(value))
            .collect();
        tensors.push((spec.name.as_str(), dtype, spec.shape.clone(), bytes));
    }
    change(&mut tensors);
    write_raw(&folder.path().join("model.safetensors"), &tensors);
    folder
}

#[test]
fn half_precision_is_read_and_other_types_are_refused() {
    let half = rewritten(
        safetensors::Dtype::F16,
        |value| half::f16::from_f32(value).to_le_bytes().into(),
        |_| (),
    );
    let (_, exact) = fresh();
    for (read, exact) in load(half.path()).unwrap().1.data.iter().zip(&exact.data) {
        assert_eq!(*read, half::f16::from_f32(*exact).to_f32());
    }
    let double = rewritten(
        safetensors::Dtype::F64,
        |value| f64::from(value).to_le_bytes().into(),
        |_| (),
    );
    let message = refusal(double.path());
    assert!(
        message.contains("is stored as F64, expected F32, BF16 or F16"),
        "{message}"
    );
}

#[test]
fn a_tied_models_copy_of_its_head_is_ignored_when_equal_and_refused_when_not() {
    let plain = |value: f32| value.to_le_bytes().to_vec();
    let copied = |tensors: &[(&str, safetensors::Dtype, Vec<usize>, Vec<u8>)]| {
        let (_, dtype, shape, bytes) = tensors[0].clone();
        ("lm_head.weight", dtype, shape, bytes)
    };
    let equal = rewritten(safetensors::Dtype::F32, plain, |tensors| {
        tensors.push(copied(tensors))
    });
    assert_eq!(bits(&load(equal.path()).unwrap().1), bits(&fresh().1));
    let other = rewritten(safetensors::Dtype::F32, plain, |tensors| {
        let mut head = copied(tensors);
        head.3[3] ^= 1;
        tensors.push(head);
    });
    assert!(refusal(other.path()).contains("`lm_head.weight` differs from the embedding"));
}

#[test]
fn old_rotary_buffers_are_ignored() {
    let plain = |value: f32| value.to_le_bytes().to_vec();
    let name = "model.layers.0.self_attn.rotary_emb.inv_freq";
    let folder = rewritten(safetensors::Dtype::F32, plain, |tensors| {
        tensors.push((name, safetensors::Dtype::F32, vec![1], vec![0; 4]));
    });
    assert_eq!(bits(&load(folder.path()).unwrap().1), bits(&fresh().1));
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests find their data through PACT_DATA"
)]
fn data() -> PathBuf {
    match std::env::var("PACT_DATA") {
        Ok(path) => path.into(),
        Err(_) => concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data").into(),
    }
}

#[test]
fn data_every_model_folder_loads_and_saves_and_keeps_its_bits_and_keys() {
    let Ok(entries) = fs::read_dir(data().join("models")) else {
        println!("skipped: PACT_DATA not found");
        return;
    };
    let mut count = 0;
    for entry in entries {
        let source = entry.unwrap().path();
        let (architecture, parameters) = load(&source).unwrap();
        for limit in [ONE_FILE, 40_000] {
            let copy = tempfile::tempdir().unwrap();
            save(
                copy.path(),
                &architecture,
                &parameters,
                Precision::F32,
                limit,
            )
            .unwrap();
            let (again, loaded) = load(copy.path()).unwrap();
            assert_eq!(bits(&loaded), bits(&parameters), "{}", source.display());
            assert_eq!(again, architecture);
            let config = |folder: &Path| fs::read_to_string(folder.join("config.json")).unwrap();
            let keys: Value = serde_json::from_str(&config(&source)).unwrap();
            let kept: Value = serde_json::from_str(&config(copy.path())).unwrap();
            assert_eq!(kept, keys, "{}", source.display());
        }
        count += 1;
    }
    println!("{count} model folders");
    assert!(count > 0, "PACT_DATA has no models");
}
