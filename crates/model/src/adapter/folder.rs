//! An adapter's folder in PEFT's layout: `adapter_config.json` and `adapter_model.safetensors`.
//! Fields that ask for what is not implemented are refused by name.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Adapter, LoraConfig, Target};
use crate::Architecture;
use crate::error::ModelError;
use crate::shard::{Precision, Shard, Staged, Tensor};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// Under which a weight file notes the digest of the base's weights; PEFT does not read it.
const DIGEST: &str = "base_digest";

/// Fields that change nothing about what an adapter computes once it is trained.
const HARMLESS: [&str; 10] = [
    "auto_mapping",
    "base_model_name_or_path",
    "ensure_weight_tying",
    "inference_mode",
    "lora_dropout",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
];

/// A folder whose `adapter_config.json` was read.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterFolder {
    /// The folder.
    pub path: PathBuf,
    /// Rank, alpha and targets; the dropout that it was trained with, which does not matter to
    /// what it computes, is left out.
    pub config: LoraConfig,
    /// Whether it counts `alpha / sqrt(rank)` times rather than `alpha / rank`.
    pub rank_stabilised: bool,
    /// The dropout that it was trained with.
    pub dropout: f32,
    /// Name or path of its base.
    pub base: String,
}

impl AdapterFolder {
    /// Whether a folder holds an adapter rather than a whole model.
    pub fn is_one(folder: &Path) -> bool {
        folder.join(CONFIG).exists() && !folder.join("config.json").exists()
    }

    /// Reads what it says about itself.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join(CONFIG);
        let text = fs::read_to_string(&path).map_err(ModelError::file("read", &path))?;
        let fields = Fields::parse(&text, path)?;
        Ok(Self {
            path: folder.into(),
            config: fields.lora()?,
            rank_stabilised: fields.flag("use_rslora"),
            dropout: fields.number("lora_dropout").unwrap_or(0.0),
            base: fields.text("base_model_name_or_path").unwrap_or_default(),
        })
    }

    /// Reads its matrices, which must be those of a decoder of this architecture.
    pub fn load(&self, architecture: &Architecture) -> Result<Adapter, ModelError> {
        let (config, stabilised) = (&self.config, self.rank_stabilised);
        let mut adapter = Adapter::zeros(config, stabilised, architecture, &self.base)?;
        let mut shard = Shard::open(&self.path.join(WEIGHTS))?;
        let wrong = |tensor: &str, what: String| ModelError::Tensor {
            path: self.path.join(WEIGHTS),
            tensor: tensor.into(),
            what,
            hint: format!(
                "check that the adapter belongs to this base; its own is `{}`",
                self.base
            ),
        };
        let mut missing: HashMap<&str, usize> = (adapter.specs.iter().enumerate())
            .map(|(i, spec)| (spec.name.as_str(), i))
            .collect();
        for name in shard.names() {
            let Some(i) = missing.remove(name.as_str()) else {
                let what = "is not beside a weight of the base that is a target".to_owned();
                return Err(wrong(&name, what));
            };
            let spec = &adapter.specs[i];
            let found = shard.shape(&name);
            if found != spec.shape {
                let what = format!("has shape {found:?}, expected {:?}", spec.shape);
                return Err(wrong(&name, what));
            }
            shard.read(&name, &mut adapter.values[spec.range()])?;
        }
        if let Some((name, _)) = missing.into_iter().min_by_key(|(_, i)| *i) {
            return Err(wrong(name, "is missing".into()));
        }
        adapter.digest = (shard.note(DIGEST)).and_then(|text| u64::from_str_radix(text, 16).ok());
        Ok(adapter)
    }

    /// Numbers that its weight file holds.
    pub fn count(&self) -> Result<usize, ModelError> {
        let shard = Shard::open(&self.path.join(WEIGHTS))?;
        let names = shard.names();
        let counts = names
            .iter()
            .map(|name| shard.shape(name).iter().product::<usize>());
        Ok(counts.sum())
    }
}

impl Adapter {
    /// Writes the adapter in f32. Every file is written and synced beside its place before the
    /// first takes it.
    pub fn save(&self, folder: &Path) -> Result<(), ModelError> {
        let mut staged = Staged::new(folder)?;
        let tensors = self.specs.iter().map(|spec| {
            let tensor = Tensor {
                shape: &spec.shape,
                values: &self.values[spec.range()],
                precision: Precision::F32,
            };
            (spec.name.as_str(), tensor)
        });
        let note = match self.digest {
            Some(digest) => (DIGEST, format!("{digest:016x}")),
            None => ("format", "pt".to_owned()),
        };
        staged.tensors(WEIGHTS, tensors.collect(), note)?;
        staged.text(CONFIG, &self.to_json())?;
        staged.commit()
    }

    fn to_json(&self) -> String {
        let targets: Vec<&str> = self.config.targets.iter().map(|t| t.name()).collect();
        let config = json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": self.base,
            "r": self.config.rank,
            "lora_alpha": self.config.alpha,
            "lora_dropout": 0.0,
            "target_modules": targets,
            "bias": "none",
            "use_rslora": self.rank_stabilised,
            "fan_in_fan_out": false,
            "inference_mode": true,
            "modules_to_save": null,
        });
        serde_json::to_string_pretty(&config).expect("plain values are JSON") + "\n"
    }
}

/// The fields of an `adapter_config.json`.
struct Fields {
    path: PathBuf,
    map: Map<String, Value>,
}

impl Fields {
    fn parse(text: &str, path: PathBuf) -> Result<Self, ModelError> {
        match serde_json::from_str(text) {
            Ok(map) => Ok(Self { path, map }),
            Err(error) => Err(ModelError::Config {
                path,
                what: format!("not a JSON object: {error}"),
                hint: "copy or download this file again".into(),
            }),
        }
    }

    fn lora(&self) -> Result<LoraConfig, ModelError> {
        let implemented = |field: &str, value: &Value| match field {
            "peft_type" => value == "LORA",
            "task_type" => value.is_null() || value == "CAUSAL_LM",
            "bias" => value == "none",
            // Others than these change the base's weights, or did not leave `A` and `B` alone.
            "init_lora_weights" => value.is_boolean() || value == "gaussian",
            "r" | "lora_alpha" | "target_modules" | "use_rslora" => true,
            _ if HARMLESS.contains(&field) => true,
            _ => is_unset(value),
        };
        let mut fields = self.map.iter();
        if let Some((field, value)) = fields.find(|(field, value)| !implemented(field, value)) {
            return Err(self.refuse(
                format!("`{field}` is {value}, which is not implemented"),
                "merge the adapter into its base with PEFT, or train it without this field",
            ));
        }
        if self.text("peft_type").is_none() {
            let hint = "check that this is the folder of a LoRA adapter";
            return Err(self.refuse("`peft_type` is missing, expected \"LORA\"".into(), hint));
        }
        let rank = self.map.get("r").and_then(Value::as_u64).unwrap_or(0);
        let alpha = self.number("lora_alpha").unwrap_or(0.0);
        if rank == 0 || !(alpha > 0.0 && alpha.is_finite()) {
            let found = |name: &str| self.map.get(name).unwrap_or(&Value::Null);
            let (r, alpha) = (found("r"), found("lora_alpha"));
            let hint = "check that the file is the one that the adapter was trained with";
            let what = format!("`r` is {r} and `lora_alpha` is {alpha}, expected numbers above 0");
            return Err(self.refuse(what, hint));
        }
        Ok(LoraConfig {
            rank: rank as usize,
            alpha,
            targets: self.targets()?,
            dropout: 0.0,
        })
    }

    fn targets(&self) -> Result<Vec<Target>, ModelError> {
        let value = self.map.get("target_modules").unwrap_or(&Value::Null);
        if value == "all-linear" {
            return Ok(Target::ALL.to_vec());
        }
        let names = Target::ALL.map(Target::name).join("`, `");
        let hint = format!("supported are `{names}`");
        let Some(list) = value.as_array().filter(|list| !list.is_empty()) else {
            let what = format!("`target_modules` is {value}, expected a list of modules");
            return Err(self.refuse(what, &hint));
        };
        let target = |found: &Value| {
            let named = Target::ALL
                .into_iter()
                .find(|target| found == target.name());
            named.ok_or_else(|| self.refuse(format!("`target_modules` names {found}"), &hint))
        };
        let mut targets: Vec<Target> = list.iter().map(target).collect::<Result<_, _>>()?;
        targets.sort();
        targets.dedup();
        Ok(targets)
    }

    fn text(&self, name: &str) -> Option<String> {
        Some(self.map.get(name)?.as_str()?.to_owned())
    }

    fn number(&self, name: &str) -> Option<f32> {
        Some(self.map.get(name)?.as_f64()? as f32)
    }

    fn flag(&self, name: &str) -> bool {
        self.map.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    fn refuse(&self, what: String, hint: &str) -> ModelError {
        ModelError::Config {
            path: self.path.clone(),
            what,
            hint: hint.into(),
        }
    }
}

/// Whether a field says that its feature is not used.
fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Number(_) | Value::String(_) => false,
    }
}
