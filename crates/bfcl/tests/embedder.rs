//! Vectors of a random BERT are those that transformers computes: `fixtures/embedder/make.py`.
#![cfg(feature = "vector")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bfcl::executor::Instances;
use bfcl::memory::{BertEmbedder, Embedder, VectorMemory};
use serde_json::Value;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/embedder")
}

fn golden() -> Vec<(String, Vec<f32>)> {
    let text = std::fs::read_to_string(fixture().join("golden.json")).unwrap();
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    let vector = |row: &Value| serde_json::from_value(row["vector"].clone()).unwrap();
    rows.iter()
        .map(|row| (row["text"].as_str().unwrap().to_owned(), vector(row)))
        .collect()
}

#[test]
fn a_text_has_the_vector_that_transformers_gives_it() {
    let embedder = BertEmbedder::load(&fixture().join("model")).unwrap();
    for (text, expected) in golden() {
        let found = embedder.embed(&text).unwrap();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                (found - expected).abs() < 1e-5,
                "{text:?}: {found} {expected}"
            );
        }
    }
}

#[test]
fn a_text_is_found_by_its_own_words() {
    let embedder = BertEmbedder::load(&fixture().join("model")).unwrap();
    let mut memory = Instances::new(vec![Box::new(VectorMemory::new(Arc::new(embedder)))]);
    for text in ["a dog likes playing", "the user's name is Hamburg"] {
        memory.execute(&format!(
            "core_memory_add({})",
            python::Value::from(text).repr()
        ));
    }
    let found = memory.execute("core_memory_retrieve('A DOG likes playing', 1)");
    assert!(
        found.contains(r#""text": "a dog likes playing""#),
        "{found}"
    );
    assert!(!found.contains("Hamburg"), "{found}");
}

#[test]
fn a_folder_without_a_model_says_what_it_should_have() {
    let problem = BertEmbedder::load(Path::new("nowhere"))
        .err()
        .unwrap()
        .to_string();
    assert!(problem.starts_with("`nowhere/config.json`"), "{problem}");
    assert!(
        problem.contains("hint: an embedding model is a folder"),
        "{problem}"
    );
}
