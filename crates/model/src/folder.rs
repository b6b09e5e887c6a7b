//! A model folder in the Hugging Face layout: `config.json` and weights in one safetensors
//! file, or in shards with an index. Tokenizer files are somebody else's.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use serde::{Deserialize, Serialize};

use crate::architecture::Architecture;
use crate::error::ModelError;
use crate::parameters::{ParameterSpec, Parameters};
use crate::shard::{self, Precision, Staged, Tensor};

const CONFIG: &str = "config.json";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const HEAD: &str = "lm_head.weight";

/// Which shard holds which tensor.
#[derive(Serialize, Deserialize)]
struct Index {
    #[serde(default)]
    metadata: serde_json::Value,
    weight_map: BTreeMap<String, String>,
}

/// Reads what kind of decoder a folder holds, without its weights.
pub fn load_architecture(folder: &Path) -> Result<Architecture, ModelError> {
    let path = folder.join(CONFIG);
    let text = fs::read_to_string(&path).map_err(ModelError::file("read", &path))?;
    Architecture::from_json(&text, &path)
}

/// Reads a decoder and its weights. Memory: the weights as `f32`, and one shard's bytes at a
/// time.
pub fn load(folder: &Path) -> Result<(Architecture, Parameters), ModelError> {
    let architecture = load_architecture(folder)?;
    let mut loading = Loading::new(&architecture);
    let mut shards = shards(folder)?;
    for shard in &shards {
        loading.read(shard)?;
    }
    let last = shards.pop().unwrap_or_else(|| folder.join(INDEX));
    let parameters = loading.finish(&last)?;
    Ok((architecture, parameters))
}

/// Writes a decoder and its weights, in shards of at most `max_shard_bytes` where one file
/// would be larger. Every file is written and synced beside its place before the first takes
/// it, so that a full disk leaves the folder as it was. Weight files of an earlier save under
/// other names are removed at the end.
pub fn save(
    folder: &Path,
    architecture: &Architecture,
    parameters: &Parameters,
    precision: Precision,
    max_shard_bytes: usize,
) -> Result<(), ModelError> {
    let groups = group(parameters.layout.specs(), precision, max_shard_bytes);
    let names = shard_names(groups.len());
    let mut staged = Staged::new(folder)?;
    for (name, specs) in names.iter().zip(&groups) {
        let tensors = specs
            .iter()
            .map(|spec| (spec.name.as_str(), tensor(spec, parameters, precision)));
        // transformers refuses a file that does not name a framework.
        staged.tensors(name, tensors.collect(), &[("format", "pt".into())])?;
    }
    if groups.len() > 1 {
        staged.text(
            INDEX,
            &index(&names, &groups, parameters.data.len(), precision),
        )?;
    }
    staged.text(CONFIG, &architecture.to_json(precision.dtype()))?;
    staged.commit()?;
    remove_stale(folder, &names)
}

/// The weight files of a folder.
fn shards(folder: &Path) -> Result<Vec<PathBuf>, ModelError> {
    let single = folder.join(SINGLE);
    let path = folder.join(INDEX);
    if single.exists() || !path.exists() {
        return Ok(vec![single]);
    }
    let text = fs::read_to_string(&path).map_err(ModelError::file("read", &path))?;
    let broken = |what: String| ModelError::Config {
        path: path.clone(),
        what,
        hint: "copy or download this file again".into(),
    };
    let index: Index = serde_json::from_str(&text)
        .map_err(|error| broken(format!("expected a `weight_map`: {error}")))?;
    let mut names: Vec<&String> = index.weight_map.values().collect();
    names.sort();
    names.dedup();
    let outside = names
        .iter()
        .find(|name| Path::new(name).components().count() != 1 || name.starts_with('.'));
    if let Some(name) = outside {
        return Err(broken(format!(
            "`weight_map` names `{name}`, expected a file of this folder"
        )));
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// Weights being filled from one shard after another.
struct Loading<'a> {
    architecture: &'a Architecture,
    parameters: Parameters,
    /// Position in the layout's specs of each name not yet found.
    missing: HashMap<String, usize>,
    /// A tied model's own copy of its head, with its file.
    copied_head: Option<(PathBuf, Vec<f32>)>,
}

impl<'a> Loading<'a> {
    fn new(architecture: &'a Architecture) -> Self {
        let parameters = Parameters::zeros(architecture);
        let specs = parameters.layout.specs().iter().enumerate();
        let missing = specs
            .map(|(position, spec)| (spec.name.clone(), position))
            .collect();
        Self {
            architecture,
            parameters,
            missing,
            copied_head: None,
        }
    }

    fn read(&mut self, path: &Path) -> Result<(), ModelError> {
        let bytes = fs::read(path).map_err(ModelError::file("read", path))?;
        for (name, tensor) in shard::parse(&bytes, path)?.iter() {
            self.take(name, &tensor, path)?;
        }
        Ok(())
    }

    fn take(&mut self, name: &str, tensor: &TensorView<'_>, path: &Path) -> Result<(), ModelError> {
        if let Some(position) = self.missing.remove(name) {
            let spec = &self.parameters.layout.specs()[position];
            check_shape(name, tensor, &spec.shape, path)?;
            return decode(name, tensor, &mut self.parameters.data[spec.range()], path);
        }
        if self.architecture.tied && name == HEAD {
            let shape = [self.architecture.vocab_size, self.architecture.hidden_size];
            check_shape(name, tensor, &shape, path)?;
            let mut head = vec![0.0; shape.iter().product()];
            decode(name, tensor, &mut head, path)?;
            self.copied_head = Some((path.into(), head));
            return Ok(());
        }
        // Older files carry the rotary frequencies, which follow from the configuration.
        if name.ends_with("rotary_emb.inv_freq") {
            return Ok(());
        }
        Err(ModelError::Tensor {
            path: path.into(),
            tensor: name.into(),
            what: "is not a parameter of this architecture, or is there twice".into(),
            hint: "check that config.json belongs to these weights".into(),
        })
    }

    /// `last` names the file that an error about something missing points to.
    fn finish(self, last: &Path) -> Result<Parameters, ModelError> {
        // The first in the layout's order, so that the message is the same every time.
        if let Some((name, _)) = self.missing.iter().min_by_key(|(_, position)| **position) {
            return Err(ModelError::Tensor {
                path: last.parent().unwrap_or(last).into(),
                tensor: name.clone(),
                what: "is in none of the folder's weight files".into(),
                hint: match name == HEAD {
                    true => "set `tie_word_embeddings` in config.json if the head is the embedding",

                    false => "check that the folder is complete and config.json belongs to it",
                }
                .into(),
            });
        }
        if let Some((path, head)) = self.copied_head {
            let embed = self.parameters.layout.embed;
            if head != self.parameters.data[embed..embed + head.len()] {
                return Err(ModelError::Tensor {
                    path,
                    tensor: HEAD.into(),
                    what: "differs from the embedding, though config.json ties them".into(),
                    hint: "set `tie_word_embeddings` to false in config.json to keep the head"
                        .into(),
                });
            }
        }
        Ok(self.parameters)
    }
}

fn check_shape(
    name: &str,
    tensor: &TensorView<'_>,
    expected: &[usize],
    path: &Path,
) -> Result<(), ModelError> {
    if tensor.shape() == expected {
        return Ok(());
    }
    Err(ModelError::Tensor {
        path: path.into(),
        tensor: name.into(),
        what: format!("has shape {:?}, expected {expected:?}", tensor.shape()),
        hint: "check that config.json belongs to these weights".into(),
    })
}

fn decode(
    name: &str,
    tensor: &TensorView<'_>,
    out: &mut [f32],
    path: &Path,
) -> Result<(), ModelError> {
    shard::decode(tensor, out).map_err(|dtype| ModelError::Tensor {
        path: path.into(),
        tensor: name.into(),
        what: format!("is stored as {dtype:?}, expected F32, BF16 or F16"),
        hint: "convert the weights to bf16 or f32".into(),
    })
}

fn tensor<'a>(
    spec: &'a ParameterSpec,
    parameters: &'a Parameters,
    precision: Precision,
) -> Tensor<'a> {
    Tensor {
        shape: &spec.shape,
        values: parameters.slice(spec),
        precision,
    }
}

/// Consecutive parameters together, as many as fit into a shard, at least one.
fn group(
    specs: &[ParameterSpec],
    precision: Precision,
    max_shard_bytes: usize,
) -> Vec<&[ParameterSpec]> {
    let mut groups = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (position, spec) in specs.iter().enumerate() {
        let more = spec.count() * precision.bytes();
        if position > start && bytes + more > max_shard_bytes {
            groups.push(&specs[start..position]);
            (start, bytes) = (position, 0);
        }
        bytes += more;
    }
    groups.push(&specs[start..]);
    groups
}

fn shard_names(count: usize) -> Vec<String> {
    match count {
        1 => vec![SINGLE.into()],
        _ => (1..=count)
            .map(|number| format!("model-{number:05}-of-{count:05}.safetensors"))
            .collect(),
    }
}

fn index(
    names: &[String],
    groups: &[&[ParameterSpec]],
    parameters: usize,
    precision: Precision,
) -> String {
    let placed = names.iter().zip(groups);
    let index = Index {
        metadata: serde_json::json!({
            "total_parameters": parameters,
            "total_size": parameters * precision.bytes(),
        }),
        weight_map: placed
            .flat_map(|(name, specs)| specs.iter().map(|spec| (spec.name.clone(), name.clone())))
            .collect(),
    };
    serde_json::to_string_pretty(&index).expect("an index of strings is always JSON") + "\n"
}

/// Removes what an earlier save with other shards left, which a reader would otherwise take.
fn remove_stale(folder: &Path, written: &[String]) -> Result<(), ModelError> {
    let entries = fs::read_dir(folder).map_err(ModelError::file("read", folder))?;
    for entry in entries {
        let entry = entry.map_err(ModelError::file("read", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let stale_index = name == INDEX && written.len() == 1;
        let stale_shard = is_weight_file(&name) && !written.contains(&name);
        if stale_index || stale_shard {
            fs::remove_file(entry.path()).map_err(ModelError::file("remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// `model.safetensors` or `model-<digits>-of-<digits>.safetensors`.
fn is_weight_file(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbered = name
        .strip_prefix("model-")
        .and_then(|rest| rest.strip_suffix(".safetensors"))
        .and_then(|rest| rest.split_once("-of-"));
    name == SINGLE || numbered.is_some_and(|(number, count)| digits(number) && digits(count))
}
