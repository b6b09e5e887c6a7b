//! What kind of decoder a `config.json` describes: sizes, options, and the rotary frequencies
//! that follow from them. Refuses what the engine does not compute. Knows no weights.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::error::ModelError;

/// The families that the engine computes, by the `model_type` of their `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Qwen3: q/k norm, no biases.
    Qwen3,
    /// Qwen2 and Qwen2.5: biases on q, k and v.
    Qwen2,
    /// Llama: neither.
    Llama,
}

const FAMILIES: [(&str, Family); 3] = [
    ("qwen3", Family::Qwen3),
    ("qwen2", Family::Qwen2),
    ("llama", Family::Llama),
];

/// How rotary frequencies are stretched for contexts longer than the pre-training's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// As Llama 3.1 does: low frequencies divided by `factor`, high ones kept, the rest
    /// blended.
    Llama3 {
        /// By how much low frequencies are divided.
        factor: f64,
        /// Wavelengths above `original_max_position / low_freq_factor` are stretched in full.
        low_freq_factor: f64,
        /// Wavelengths below `original_max_position / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// The context length of the pre-training.
        original_max_position: usize,
    },
}

/// A dense decoder: RMSNorm, grouped-query attention with rotary positions, SwiGLU. Always made
/// from a `config.json`'s text, which it keeps, so that what it does not know survives a save.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// Which family it belongs to.
    pub family: Family,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of decoder layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// Added to the mean square in every RMSNorm.
    pub rms_norm_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How they are stretched.
    pub rope_scaling: RopeScaling,
    /// Whether q, k and v add a bias.
    pub qkv_bias: bool,
    /// Whether each query and key head is normalised before the rotation.
    pub qk_norm: bool,
    /// Whether the head is the embedding.
    pub tied: bool,
    /// The longest context that the model was made for.
    pub max_position_embeddings: usize,
    /// Standard deviation of a fresh model's weights.
    pub initializer_range: f64,
    /// Token that begins a text, if the model has one.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text.
    pub eos_token_ids: Vec<u32>,
    /// Token that fills a batch, if the model has one.
    pub pad_token_id: Option<u32>,
    config: Map<String, Value>,
}

impl Architecture {
    /// Reads a `config.json` as transformers writes it, version 5 (`rope_parameters`) or older
    /// (`rope_theta` and `rope_scaling`). `path` only names the file in errors.
    pub fn from_json(text: &str, path: &Path) -> Result<Self, ModelError> {
        let config: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| ModelError::Config {
                path: path.into(),
                what: format!("expected one JSON object: {error}"),
                hint: "copy or download config.json again".into(),
            })?;
        let fields = Fields {
            config: &config,
            path,
        };
        let family = fields.family()?;
        fields.refuse_what_is_not_computed(family)?;
        let hidden_size = fields.size("hidden_size", None)?;
        let heads = fields.size("num_attention_heads", None)?;
        // Qwen3's configuration has a default of its own; the others derive it.
        let derived_head_dim = hidden_size / heads;
        let head_dim = match (family, config.get("head_dim")) {
            (Family::Qwen3, None) => 128,
            (_, Some(Value::Null) | None) => derived_head_dim,
            _ => fields.size("head_dim", None)?,
        };
        let (rope_theta, rope_scaling) = fields.rope()?;
        let architecture = Self {
            family,
            vocab_size: fields.size("vocab_size", None)?,
            hidden_size,
            intermediate_size: fields.size("intermediate_size", None)?,
            layers: fields.size("num_hidden_layers", None)?,
            heads,
            kv_heads: fields.size("num_key_value_heads", Some(heads))?,
            head_dim,
            rms_norm_eps: fields.number(&config, "rms_norm_eps", Some(1e-6))? as f32,
            rope_theta,
            rope_scaling,
            qkv_bias: family == Family::Qwen2,
            qk_norm: family == Family::Qwen3,
            tied: fields.flag("tie_word_embeddings")?,
            max_position_embeddings: fields.size("max_position_embeddings", Some(2048))?,
            initializer_range: fields.number(&config, "initializer_range", Some(0.02))?,
            bos_token_id: fields.token_ids("bos_token_id")?.first().copied(),
            eos_token_ids: fields.token_ids("eos_token_id")?,
            pad_token_id: fields.token_ids("pad_token_id")?.first().copied(),
            config: config.clone(),
        };
        fields.check_divisions(&architecture)?;
        Ok(architecture)
    }

    /// The `config.json` to write: the one that was read, every key kept, with `dtype` as given
    /// ("float32").
    pub fn to_json(&self, dtype: &str) -> String {
        let mut config = self.config.clone();
        // Before transformers 5 the key was `torch_dtype`; a file keeps the one that it has.
        let key = if config.contains_key("torch_dtype") {
            "torch_dtype"
        } else {
            "dtype"
        };
        config.insert(key.into(), dtype.into());
        let mut text = serde_json::to_string_pretty(&Value::Object(config))
            .expect("a map of JSON values is always JSON");
        text.push('\n');
        text
    }

    /// Sets the special tokens, here and in the `config.json` to be written.
    pub fn set_token_ids(&mut self, bos: Option<u32>, eos: &[u32], pad: Option<u32>) {
        let eos_value = match eos {
            [] => Value::Null,
            [one] => json!(one),
            many => json!(many),
        };
        self.config.insert("bos_token_id".into(), json!(bos));
        self.config.insert("eos_token_id".into(), eos_value);
        self.config.insert("pad_token_id".into(), json!(pad));
        self.bos_token_id = bos;
        self.eos_token_ids = eos.to_vec();
        self.pad_token_id = pad;
    }

    /// How many numbers its matrices have at least; of a file's sizes, however large.
    pub(crate) fn least_numbers(&self) -> u128 {
        let [hidden, intermediate, vocabulary, layers, heads, head] = [
            self.hidden_size,
            self.intermediate_size,
            self.vocab_size,
            self.layers,
            self.heads,
            self.head_dim,
        ]
        .map(|size| size as u128);
        let query = heads.saturating_mul(head);
        let row = (2 * query).saturating_add(3 * intermediate);
        let layer = hidden.saturating_mul(row);
        (vocabulary * hidden).saturating_add(layers.saturating_mul(layer))
    }

    /// Width of all query heads together.
    pub fn query_size(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of all key heads together, and of all value heads.
    pub fn kv_size(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Radians per position of each rotary pair, `[head_dim / 2]`: pair i turns by `theta^(-2 i
    /// / head_dim)` (Su et al. 2021, section 3.2.2, <https://arxiv.org/abs/2104.09864>).
    ///
    /// Under Llama-3 scaling (Llama 3.1's reference code, `apply_scaling`) a frequency f of
    /// wavelength w = 2 pi / f becomes f when w < L / high, f / factor when w > L / low, and
    /// between them (1 - s) f / factor + s f with s = (L / w - low) / (high - low), L being the
    /// pre-training's context length.
    pub fn inverse_frequencies(&self) -> Vec<f32> {
        (0..self.head_dim / 2)
            .map(|pair| {
                let exponent = 2.0 * pair as f64 / self.head_dim as f64;
                self.rope_scaling.apply(self.rope_theta.powf(-exponent)) as f32
            })
            .collect()
    }
}

impl RopeScaling {
    fn apply(self, frequency: f64) -> f64 {
        let Self::Llama3 {
            factor,
            low_freq_factor: low,
            high_freq_factor: high,
            original_max_position,
        } = self
        else {
            return frequency;
        };
        let context = original_max_position as f64;
        let wavelength = 2.0 * std::f64::consts::PI / frequency;
        if wavelength < context / high {
            frequency
        } else if wavelength > context / low {
            frequency / factor
        } else {
            let smooth = (context / wavelength - low) / (high - low);
            (1.0 - smooth) * frequency / factor + smooth * frequency
        }
    }
}

/// Architectures to start a fresh model from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Hidden 128, 4 layers, 4/2 heads.
    Tiny,
    /// Hidden 256, 6 layers, 8/4 heads.
    Small,
}

impl Preset {
    /// A Qwen3 of this size, tied, for a vocabulary of this many tokens.
    pub fn architecture(self, vocab_size: usize) -> Architecture {
        let (hidden, layers, heads, kv_heads, intermediate) = match self {
            Self::Tiny => (128, 4, 4, 2, 384),
            Self::Small => (256, 6, 8, 4, 768),
        };
        // Both spellings of the rotary base, so that every version of transformers, vLLM and
        // SGLang reads it.
        let config = json!({
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "vocab_size": vocab_size,
            "hidden_size": hidden,
            "intermediate_size": intermediate,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "head_dim": 32,
            "hidden_act": "silu",
            "attention_bias": false,
            "attention_dropout": 0.0,
            "initializer_range": 0.02,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1000.0,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0},
            "sliding_window": null,
            "use_sliding_window": false,
            "tie_word_embeddings": true,
            "use_cache": true,
            "bos_token_id": null,
            "eos_token_id": null,
            "pad_token_id": null,
        });
        Architecture::from_json(&config.to_string(), Path::new("preset"))
            .expect("a preset is an architecture that the engine computes")
    }
}

/// A `config.json` being read, and its name for errors.
struct Fields<'a> {
    config: &'a Map<String, Value>,
    path: &'a Path,
}

impl Fields<'_> {
    fn error(&self, what: String, hint: &str) -> ModelError {
        ModelError::Config {
            path: self.path.into(),
            what,
            hint: hint.into(),
        }
    }

    fn wrong(&self, key: &str, expected: &str, found: Option<&Value>) -> ModelError {
        let what = match found {
            Some(value) => format!("`{key}` is {value}, expected {expected}"),
            None => format!("`{key}` is missing, expected {expected}"),
        };
        self.error(
            what,
            "compare with the config.json that came with the weights",
        )
    }

    fn unsupported(&self, what: String) -> ModelError {
        self.error(
            what,
            "use a dense Qwen3, Qwen2.5 or Llama model that does not need it",
        )
    }

    fn family(&self) -> Result<Family, ModelError> {
        let found = self.config.get("model_type");
        let named = FAMILIES
            .iter()
            .find(|(name, _)| found.and_then(Value::as_str) == Some(name));
        named.map(|(_, family)| *family).ok_or_else(|| {
            let supported = FAMILIES.map(|(name, _)| format!("`{name}`")).join(", ");
            let found = found.map_or("missing".into(), Value::to_string);
            self.error(
                format!("`model_type` is {found}, supported are {supported}"),
                "use a model of one of these families",
            )
        })
    }

    fn refuse_what_is_not_computed(&self, family: Family) -> Result<(), ModelError> {
        let activation = self
            .config
            .get("hidden_act")
            .and_then(Value::as_str)
            .unwrap_or("silu");
        if activation != "silu" {
            return Err(self.unsupported(format!(
                "`hidden_act` is \"{activation}\", supported is \"silu\""
            )));
        }
        // In Llama and Qwen3 this switch also gives the output projection a bias.
        if family != Family::Qwen2 && self.flag("attention_bias")? {
            return Err(self.unsupported(
                "`attention_bias` is true: a bias on o_proj is not supported".into(),
            ));
        }
        if self.flag("mlp_bias")? {
            return Err(self
                .unsupported("`mlp_bias` is true: feed-forward biases are not supported".into()));
        }
        if self
            .config
            .get("quantization_config")
            .is_some_and(|value| !value.is_null())
        {
            return Err(self.error(
                "`quantization_config` is set: quantised weights cannot be trained".into(),
                "use the model's original weights in bf16, f16 or f32",
            ));
        }
        if self.uses_sliding_window()? {
            return Err(self
                .unsupported("sliding-window attention is in use, which is not supported".into()));
        }
        Ok(())
    }

    /// `layer_types` decides where it is present; before transformers 5, Qwen's layers from
    /// `max_window_layers` on slide.
    fn uses_sliding_window(&self) -> Result<bool, ModelError> {
        if let Some(kinds) = self.config.get("layer_types").and_then(Value::as_array) {
            return Ok(kinds.iter().any(|kind| kind != "full_attention"));
        }
        if !self.flag("use_sliding_window")?
            || self.config.get("sliding_window").is_none_or(Value::is_null)
        {
            return Ok(false);
        }
        Ok(self.size("max_window_layers", Some(28))? < self.size("num_hidden_layers", None)?)
    }

    fn rope(&self) -> Result<(f64, RopeScaling), ModelError> {
        let parameters = ["rope_parameters", "rope_scaling"]
            .iter()
            .find_map(|key| self.config.get(*key).and_then(Value::as_object));
        let empty = Map::new();
        let parameters = parameters.unwrap_or(&empty);
        let theta = match parameters.contains_key("rope_theta") {
            true => self.number(parameters, "rope_theta", None)?,
            false => self.number(self.config, "rope_theta", Some(10_000.0))?,
        };
        for source in [parameters, self.config] {
            if self.number(source, "partial_rotary_factor", Some(1.0))? != 1.0 {
                return Err(self.unsupported("`partial_rotary_factor` is not 1".into()));
            }
        }
        let kind = ["rope_type", "type"]
            .iter()
            .find_map(|key| parameters.get(*key).and_then(Value::as_str))
            .unwrap_or("default");
        let scaling = match kind {
            "default" => RopeScaling::None,
            "llama3" => RopeScaling::Llama3 {
                factor: self.number(parameters, "factor", None)?,
                low_freq_factor: self.number(parameters, "low_freq_factor", None)?,
                high_freq_factor: self.number(parameters, "high_freq_factor", None)?,
                original_max_position: self.number(
                    parameters,
                    "original_max_position_embeddings",
                    None,
                )? as usize,
            },
            other => {
                return Err(self.unsupported(format!(
                    "rope scaling \"{other}\" is not supported, \"default\" and \"llama3\" are"
                )));
            }
        };
        Ok((theta, scaling))
    }

    fn check_divisions(&self, found: &Architecture) -> Result<(), ModelError> {
        if !found.heads.is_multiple_of(found.kv_heads) {
            return Err(self.wrong(
                "num_key_value_heads",
                &format!("a divisor of the {} query heads", found.heads),
                Some(&json!(found.kv_heads)),
            ));
        }
        if found.head_dim == 0 || !found.head_dim.is_multiple_of(2) {
            return Err(self.wrong(
                "head_dim",
                "an even number, for rotary pairs",
                Some(&json!(found.head_dim)),
            ));
        }
        Ok(())
    }

    fn size(&self, key: &str, default: Option<usize>) -> Result<usize, ModelError> {
        match (self.config.get(key), default) {
            (None | Some(Value::Null), Some(default)) => Ok(default),
            (found, _) => found
                .and_then(Value::as_u64)
                .filter(|size| (1..=1 << 32).contains(size))
                .map(|size| size as usize)
                .ok_or_else(|| self.wrong(key, "a positive whole number", found)),
        }
    }

    fn number(
        &self,
        source: &Map<String, Value>,
        key: &str,
        default: Option<f64>,
    ) -> Result<f64, ModelError> {
        match (source.get(key), default) {
            (None | Some(Value::Null), Some(default)) => Ok(default),
            (found, _) => found
                .and_then(Value::as_f64)
                .filter(|number| *number > 0.0)
                .ok_or_else(|| self.wrong(key, "a positive number", found)),
        }
    }

    fn flag(&self, key: &str) -> Result<bool, ModelError> {
        match self.config.get(key) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            found => Err(self.wrong(key, "true or false", found)),
        }
    }

    /// One id, a list of ids, or none.
    fn token_ids(&self, key: &str) -> Result<Vec<u32>, ModelError> {
        let found = self.config.get(key);
        let ids = match found {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(ids)) => ids.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        ids.iter()
            .map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok()))
            .collect::<Option<_>>()
            .ok_or_else(|| self.wrong(key, "a token id, a list of them, or null", found))
    }
}

#[cfg(test)]
mod tests;
