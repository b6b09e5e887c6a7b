//! Adapters' folders: what Python's peft wrote gives its logits, what is saved is what is
//! loaded, and what is broken or asks for more is named.

use std::fs;
use std::path::{Path, PathBuf};

use model::{
    Adapter, AdapterFolder, Architecture, Buffers, Keep, LoraConfig, Model, Precision, Target,
    TokenTree, load, load_frozen,
};
use safetensors::SafeTensors;
use serde_json::Value;
use tempfile::TempDir;

/// `fixtures/peft`, written by the program in it.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/peft")
        .join(name)
}

fn base(precision: Precision) -> Model {
    let (architecture, weights) = load_frozen(&fixture("base"), precision).expect("the base");
    Model::new(architecture, weights)
}

/// The base with peft's adapter on it.
fn adapted(precision: Precision) -> Model {
    let mut model = base(precision);
    let folder = AdapterFolder::open(&fixture("adapter")).expect("peft's config");
    let adapter = folder.load(&model.architecture).expect("peft's matrices");
    model.attach(adapter).expect("its base");
    model
}

/// Largest distance of the log-probabilities of every token after every prefix from those of the
/// golden logits called `name`.
fn distance(model: &Model, name: &str) -> f64 {
    let bytes = fs::read(fixture("golden.safetensors")).expect("the golden");
    let golden = SafeTensors::deserialize(&bytes).expect("a golden opens");
    let ids = golden.tensor("ids").expect("ids");
    let length = ids.shape()[1];
    let ids: Vec<u32> = (ids.data().as_chunks().0.iter())
        .map(|id| u32::try_from(i64::from_le_bytes(*id)).expect("a token id"))
        .collect();
    let logits = golden.tensor(name).expect("logits");
    let vocab = logits.shape()[2];
    let logits: Vec<f64> = (logits.data().as_chunks().0.iter())
        .map(|logit| f64::from(f32::from_le_bytes(*logit)))
        .collect();
    let mut largest: f64 = 0.0;
    for (ids, logits) in ids.chunks(length).zip(logits.chunks(length * vocab)) {
        let fans: Vec<Vec<u32>> = (1..=length)
            .flat_map(|end| (0..vocab as u32).map(move |v| [&ids[..end], &[v]].concat()))
            .collect();
        let fans: Vec<&[u32]> = fans.iter().map(Vec::as_slice).collect();
        let (tree, paths) = TokenTree::from_sequences(&fans);
        let leaves: Vec<usize> = paths.iter().map(|path| path[path.len() - 1]).collect();
        let pass = (model.forward(&tree, &leaves, Keep::Nothing, &Buffers::default()))
            .expect("there is room");
        for (row, logprobs) in logits.chunks(vocab).zip(pass.logprobs.chunks(vocab)) {
            let log_sum = row.iter().map(|logit| logit.exp()).sum::<f64>().ln();
            for (logit, &logprob) in row.iter().zip(logprobs) {
                largest = largest.max((f64::from(logprob) - (logit - log_sum)).abs());
            }
        }
    }
    largest
}

#[test]
fn an_adapter_that_peft_wrote_gives_its_logits_unmerged_and_merged() {
    let model = adapted(Precision::F32);
    assert!(distance(&model, "logits") < 1e-4);
    assert!(distance(&base(Precision::F32), "logits") > 1.0);
    let (architecture, mut weights) = load(&fixture("base")).expect("the base");
    model.adapter.expect("it has one").merge(&mut weights);
    let merged = Model::new(architecture, weights);
    assert!(distance(&merged, "merged_logits") < 1e-4);
}

#[test]
fn bfloat16_moves_the_logits_of_the_fixture_by_little() {
    let moved = distance(&adapted(Precision::Bf16), "logits");
    assert!((1e-4..0.2).contains(&moved), "{moved}");
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<String> = entries
        .map(|entry| name(entry).into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_saved_adapter_is_the_one_that_is_loaded() {
    let model = adapted(Precision::F32);
    let adapter = model.adapter.expect("it has one");
    let copy = tempfile::tempdir().expect("a folder");
    adapter.save(copy.path()).expect("a saved adapter");
    assert_eq!(
        files(copy.path()),
        ["adapter_config.json", "adapter_model.safetensors"]
    );
    let folder = AdapterFolder::open(copy.path()).expect("our config");
    let mut again = base(Precision::Bf16);
    let loaded = folder.load(&again.architecture).expect("our matrices");
    assert!(loaded.values == adapter.values);
    assert!(loaded.config == adapter.config);
    again.attach(loaded).expect("the same base, rounded");
}

/// A copy of peft's adapter.
fn copy() -> TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    for name in files(&fixture("adapter")) {
        let from = fixture("adapter").join(&name);
        fs::copy(from, copy.path().join(name)).expect("a copied file");
    }
    copy
}

fn edit(folder: &Path, key: &str, value: Value) {
    let path = folder.join("adapter_config.json");
    let text = fs::read_to_string(&path).expect("a config");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    config[key] = value;
    fs::write(path, config.to_string()).expect("a changed config");
}

fn refusal(folder: &Path, architecture: &Architecture) -> String {
    let loaded = AdapterFolder::open(folder).and_then(|folder| folder.load(architecture));
    loaded.expect_err("the folder is broken").to_string()
}

#[test]
fn what_is_not_implemented_is_refused_by_name() {
    let architecture = base(Precision::F32).architecture;
    let check = |key: &str, value: Value, expected: &str| {
        let folder = copy();
        edit(folder.path(), key, value);
        let message = refusal(folder.path(), &architecture);
        assert!(message.contains("adapter_config.json`: "), "{message}");
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("\nhint: "), "{message}");
    };
    let not = |field: &str| format!("`{field}` is ");
    check("peft_type", "IA3".into(), &not("peft_type"));
    check("task_type", "SEQ_CLS".into(), &not("task_type"));
    check("bias", "all".into(), &not("bias"));
    check("use_dora", true.into(), &not("use_dora"));
    check(
        "rank_pattern",
        serde_json::json!({"q_proj": 8}),
        &not("rank_pattern"),
    );
    check(
        "modules_to_save",
        vec!["lm_head"].into(),
        &not("modules_to_save"),
    );
    check(
        "layers_to_transform",
        vec![1].into(),
        &not("layers_to_transform"),
    );
    check(
        "init_lora_weights",
        "pissa".into(),
        &not("init_lora_weights"),
    );
    check(
        "a_field_of_tomorrow",
        "yes".into(),
        &not("a_field_of_tomorrow"),
    );
    check(
        "r",
        0.into(),
        "`r` is 0 and `lora_alpha` is 5, expected numbers above 0",
    );
    check(
        "target_modules",
        vec!["q_proj", "qproj"].into(),
        "`target_modules` names \"qproj\"\nhint: supported are `q_proj`, `k_proj`",
    );
    check(
        "target_modules",
        ".*_proj".into(),
        "expected a list of modules",
    );
}

#[test]
fn what_changes_nothing_is_accepted() {
    let architecture = base(Precision::F32).architecture;
    let folder = copy();
    edit(folder.path(), "lora_dropout", 0.25.into());
    edit(folder.path(), "target_modules", "all-linear".into());
    edit(folder.path(), "use_rslora", true.into());
    let opened = AdapterFolder::open(folder.path()).expect("a config");
    assert_eq!(opened.dropout, 0.25);
    let adapter = opened.load(&architecture).expect("an adapter");
    assert_eq!(adapter.scale(), 5.0 / 3.0_f32.sqrt());
}

#[test]
fn files_that_are_missing_truncated_or_not_of_this_base_are_named() {
    let model = base(Precision::F32);
    let architecture = &model.architecture;
    let check = |break_it: &dyn Fn(&Path), expected: &str| {
        let folder = copy();
        break_it(folder.path());
        let message = refusal(folder.path(), architecture);
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("\nhint: "), "{message}");
    };
    let weights = "adapter_model.safetensors";
    check(
        &|folder| fs::remove_file(folder.join(weights)).expect("it was there"),
        "cannot read `",
    );
    check(
        &|folder| {
            let bytes = fs::read(folder.join(weights)).expect("it is there");
            fs::write(folder.join(weights), &bytes[..bytes.len() - 9]).expect("a shorter file");
        },
        "is not a whole safetensors file",
    );
    check(
        &|folder| fs::write(folder.join("adapter_config.json"), "{").expect("a broken file"),
        "not a JSON object",
    );
    check(
        &|folder| edit(folder, "r", 4.into()),
        "lora_A.weight` has shape [3, 40], expected [4, 40]",
    );
    check(
        &|folder| edit(folder, "target_modules", vec!["q_proj"].into()),
        "is not beside a weight of the base that is a target",
    );

    let mut other = architecture.clone();
    other.intermediate_size = 48;
    let message = refusal(copy().path(), &other);
    assert!(message.contains("_proj.lora_"), "{message}");
    assert!(message.contains("its own is `../base`"), "{message}");
    let mut deeper = architecture.clone();
    deeper.layers = 3;
    let message = refusal(copy().path(), &deeper);
    assert!(message.contains("layers.2."), "{message}");
    assert!(message.contains("is missing"), "{message}");
}

#[test]
fn an_adapter_is_refused_on_other_weights_of_the_same_shapes() {
    let model = adapted(Precision::F32);
    let folder = tempfile::tempdir().expect("a folder");
    let adapter = model.adapter.expect("it has one");
    adapter.save(folder.path()).expect("a saved adapter");
    let mut other = base(Precision::F32);
    other.weights.change(|weights| weights[100] += 1.0);
    let opened = AdapterFolder::open(folder.path()).expect("our config");
    let adapter = opened.load(&other.architecture).expect("shapes that fit");
    let message = other
        .attach(adapter)
        .expect_err("other weights")
        .to_string();
    assert!(message.contains("trained on other weights"), "{message}");
}

#[test]
fn a_rank_that_no_weight_can_have_is_refused() {
    let architecture = base(Precision::F32).architecture;
    let config = |rank: usize, targets: &[Target]| LoraConfig {
        rank,
        targets: targets.to_vec(),
        ..LoraConfig::default()
    };
    let new = |config: &LoraConfig| Adapter::new(config, &architecture, "base", 0);
    let message = new(&config(17, &Target::ALL))
        .expect_err("too large")
        .to_string();
    assert_eq!(
        message,
        "`rank` is 17, more than `k_proj` of 16x32 can have\nhint: choose at most 16"
    );
    assert!(new(&config(17, &[Target::QProj])).is_ok());
}
