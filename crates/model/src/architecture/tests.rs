//! What is read from a `config.json`, what is refused, and the frequencies that follow.

use super::*;

fn read(config: &Value) -> Result<Architecture, ModelError> {
    Architecture::from_json(&config.to_string(), Path::new("some/config.json"))
}

/// A Llama's config.json with some keys set, or removed where the value is null.
fn llama(changes: Value) -> Value {
    let mut config = json!({
        "model_type": "llama", "vocab_size": 100, "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    });
    for (key, value) in changes.as_object().expect("changes are an object") {
        config[key] = value.clone();
    }
    config
}

#[test]
fn sizes_that_are_left_out_take_the_familys_defaults() {
    let plain = read(&llama(json!({"num_key_value_heads": null}))).unwrap();
    assert_eq!((plain.head_dim, plain.kv_heads), (16, 4));
    assert_eq!(
        (plain.qkv_bias, plain.qk_norm, plain.tied),
        (false, false, false)
    );
    assert_eq!((plain.rms_norm_eps, plain.rope_theta), (1e-6, 10_000.0));
    let qwen2 = read(&llama(
        json!({"model_type": "qwen2", "tie_word_embeddings": true}),
    ))
    .unwrap();
    assert_eq!(
        (qwen2.qkv_bias, qwen2.qk_norm, qwen2.tied),
        (true, false, true)
    );
    let qwen3 = read(&llama(json!({"model_type": "qwen3"}))).unwrap();
    assert_eq!(
        (qwen3.qkv_bias, qwen3.qk_norm, qwen3.head_dim),
        (false, true, 128)
    );
}

#[test]
fn both_spellings_of_rotary_scaling_mean_the_same() {
    let scaling = json!({
        "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    });
    let mut new = scaling.clone();
    new["rope_type"] = "llama3".into();
    new["rope_theta"] = json!(500_000.0);
    let mut old = scaling.clone();
    old["type"] = "llama3".into();
    let new = read(&llama(json!({"rope_parameters": new}))).unwrap();
    let old = read(&llama(json!({"rope_scaling": old, "rope_theta": 500_000}))).unwrap();
    assert_eq!(new.rope_scaling, old.rope_scaling);
    assert_eq!(new.inverse_frequencies(), old.inverse_frequencies());
    assert_eq!(new.rope_theta, 500_000.0);
}

#[test]
fn llama_3_scaling_keeps_high_frequencies_divides_low_ones_and_blends_between() {
    let scaling = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position: 64,
    };
    let frequency = |wavelength: f64| 2.0 * std::f64::consts::PI / wavelength;
    let check = |wavelength: f64, divided_by: f64| {
        let ratio = frequency(wavelength) / scaling.apply(frequency(wavelength));
        assert!(
            (ratio - divided_by).abs() < 1e-9,
            "wavelength {wavelength}: {ratio}"
        );
    };
    check(15.0, 1.0);
    check(65.0, 8.0);
    // 64 / 32 = 2, a third of the way from 1 to 4: (2/3) / 8 + 1/3 = 5/12.
    check(32.0, 12.0 / 5.0);
}

#[test]
fn plain_frequencies_are_powers_of_the_base() {
    let tiny = Preset::Tiny.architecture(300);
    let frequencies = tiny.inverse_frequencies();
    assert_eq!(frequencies.len(), 16);
    assert_eq!(frequencies[0], 1.0);
    assert!((frequencies[8] - 1000_f32.powf(-0.5)).abs() < 1e-7);
}

#[test]
fn a_saved_config_keeps_every_key_in_place_and_takes_the_new_dtype() {
    let config = llama(json!({"torch_dtype": "float16", "something_else": {"deep": [1, 2]}}));
    let saved: Value = serde_json::from_str(&read(&config).unwrap().to_json("bfloat16")).unwrap();
    let mut expected = config.clone();
    expected["torch_dtype"] = "bfloat16".into();
    assert_eq!(saved, expected);
}

#[test]
fn special_tokens_that_are_set_are_saved_and_read_again() {
    let mut tiny = Preset::Tiny.architecture(300);
    tiny.set_token_ids(None, &[7, 9], Some(3));
    let again =
        Architecture::from_json(&tiny.to_json("float32"), Path::new("config.json")).unwrap();
    assert_eq!((again.bos_token_id, again.pad_token_id), (None, Some(3)));
    assert_eq!(again.eos_token_ids, [7, 9]);
}

#[test]
fn what_the_engine_does_not_compute_is_refused_by_name() {
    let check = |changes: Value, expected: &str| {
        let message = read(&llama(changes)).unwrap_err().to_string();
        assert!(
            message.starts_with("`some/config.json`: ") && message.contains("\nhint: "),
            "{message}"
        );
        assert!(message.contains(expected), "{message}");
    };
    check(
        json!({"model_type": "mamba"}),
        "\"mamba\", supported are `qwen3`, `qwen2`, `llama`",
    );
    check(
        json!({"model_type": null}),
        "`model_type` is null, supported are",
    );
    check(
        json!({"vocab_size": null}),
        "`vocab_size` is null, expected a positive whole number",
    );
    check(json!({"hidden_size": -4}), "`hidden_size` is -4, expected");
    check(
        json!({"num_key_value_heads": 3}),
        "expected a divisor of the 4 query heads",
    );
    check(
        json!({"head_dim": 5}),
        "`head_dim` is 5, expected an even number",
    );
    check(json!({"hidden_act": "gelu"}), "`hidden_act` is \"gelu\"");
    check(json!({"attention_bias": true}), "`attention_bias` is true");
    check(json!({"mlp_bias": true}), "`mlp_bias` is true");
    check(json!({"quantization_config": {"bits": 4}}), "quantised");
    check(
        json!({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}),
        "rope scaling \"yarn\"",
    );
    check(
        json!({"rope_scaling": {"rope_type": "llama3", "factor": 4.0}}),
        "`low_freq_factor` is missing",
    );
    check(
        json!({"use_sliding_window": true, "sliding_window": 8, "max_window_layers": 1}),
        "sliding-window",
    );
    check(
        json!({"layer_types": ["full_attention", "sliding_attention"]}),
        "sliding-window",
    );
    let message = Architecture::from_json("[1", Path::new("c"))
        .unwrap_err()
        .to_string();
    assert!(message.contains("expected one JSON object"), "{message}");
}

#[test]
fn a_sliding_window_that_no_layer_uses_is_accepted() {
    let unused = llama(json!({"use_sliding_window": false, "sliding_window": 4096}));
    let beyond =
        llama(json!({"use_sliding_window": true, "sliding_window": 4096, "max_window_layers": 2}));
    assert!(read(&unused).is_ok() && read(&beyond).is_ok());
}
