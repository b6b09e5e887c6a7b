//! A model folder in the Hugging Face layout: `config.json` and weights in one safetensors
//! file, or in shards with an index. Tokenizer files are somebody else's.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::architecture::Architecture;
use crate::error::ModelError;
use crate::parameters::{Layout, ParameterSpec, Parameters};
use crate::shard::{Number, Precision, Shard, Staged, Tensor};
use crate::weights::{Rounded, Weights};

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

/// Reads a decoder and its weights in f32. Memory: theirs, and a small piece of a file.
pub fn load(folder: &Path) -> Result<(Architecture, Parameters), ModelError> {
    let architecture = load_architecture(folder)?;
    let (layout, data) = read(folder, &architecture)?;
    Ok((architecture, Parameters { layout, data }))
}

/// Reads a decoder and weights that stand still, held in `precision`. Memory: theirs in that
/// precision, and a small piece of a file.
pub fn load_frozen(
    folder: &Path,
    precision: Precision,
) -> Result<(Architecture, Weights), ModelError> {
    match precision {
        Precision::F32 => load(folder).map(|(a, parameters)| (a, Weights::F32(parameters))),
        Precision::Bf16 => {
            let architecture = load_architecture(folder)?;
            let (layout, data) = read(folder, &architecture)?;
            let rounded = Rounded::new(layout, data);
            Ok((architecture, Weights::Bf16(rounded)))
        }
    }
}

/// Reads a decoder without its weights.
pub fn load_architecture(folder: &Path) -> Result<Architecture, ModelError> {
    let path = folder.join(CONFIG);
    let text = fs::read_to_string(&path).map_err(ModelError::file("read", &path))?;
    Architecture::from_json(&text, &path)
}

/// Reads the weights of a folder, laid out as the architecture says.
fn read<T: Number>(
    folder: &Path,
    architecture: &Architecture,
) -> Result<(Arc<Layout>, Vec<T>), ModelError> {
    let mut shards = shards(folder)?;
    check_size(folder, architecture, &shards)?;
    let mut loading = Loading::new(architecture);
    for shard in &shards {
        loading.read(shard)?;
    }
    let last = shards.pop().unwrap_or_else(|| folder.join(INDEX));
    loading.finish(&last)
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
        staged.tensors(name, tensors.collect(), ("format", "pt".into()))?;
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
struct Loading<'a, T> {
    architecture: &'a Architecture,
    layout: Arc<Layout>,
    data: Vec<T>,
    /// Position in the layout's specs of each name not yet found.
    missing: HashMap<String, usize>,
    /// The file with a tied model's own copy of its head.
    copied_head: Option<PathBuf>,
}

impl<'a, T: Number> Loading<'a, T> {
    fn new(architecture: &'a Architecture) -> Self {
        let layout = Arc::new(Layout::new(architecture));
        let specs = layout.specs().iter().enumerate();
        Self {
            architecture,
            missing: specs
                .map(|(position, spec)| (spec.name.clone(), position))
                .collect(),
            data: vec![T::default(); layout.len],
            layout,
            copied_head: None,
        }
    }

    fn read(&mut self, path: &Path) -> Result<(), ModelError> {
        let mut shard = Shard::open(path)?;
        for name in shard.names() {
            self.take(&name, &mut shard)?;
        }
        Ok(())
    }

    fn take(&mut self, name: &str, shard: &mut Shard) -> Result<(), ModelError> {
        if let Some(position) = self.missing.remove(name) {
            let spec = &self.layout.specs()[position];
            check_shape(name, shard, &spec.shape)?;
            return shard.read(name, &mut self.data[spec.range()]);
        }
        if self.architecture.tied && name == HEAD {
            let shape = [self.architecture.vocab_size, self.architecture.hidden_size];
            check_shape(name, shard, &shape)?;
            // The embedding may come later; the two are compared at the end.
            self.copied_head = Some(shard.path.clone());
            return Ok(());
        }
        // Older files carry the rotary frequencies, which follow from the configuration.
        if name.ends_with("rotary_emb.inv_freq") {
            return Ok(());
        }
        Err(ModelError::Tensor {
            path: shard.path.clone(),
            tensor: name.into(),
            what: "is not a parameter of this architecture, or is there twice".into(),
            hint: "check that config.json belongs to these weights".into(),
        })
    }

    /// `last` names the file that an error about something missing points to.
    fn finish(self, last: &Path) -> Result<(Arc<Layout>, Vec<T>), ModelError> {
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
        if let Some(path) = &self.copied_head {
            let embedding = &self.data[self.layout.embed..];
            let mut equal = true;
            Shard::open(path)?.visit(HEAD, |at, numbers| {
                let pairs = numbers.iter().zip(&embedding[at..]);
                equal &= pairs.into_iter().all(|(&n, &e)| T::from_f32(n) == e);
            })?;
            if !equal {
                return Err(ModelError::Tensor {
                    path: path.clone(),
                    tensor: HEAD.into(),
                    what: "differs from the embedding, though config.json ties them".into(),
                    hint: "set `tie_word_embeddings` to false in config.json to keep the head"
                        .into(),
                });
            }
        }
        Ok((self.layout, self.data))
    }
}

/// Refuses a config whose sizes have nothing to do with the weights beside it, before memory is
/// asked for by them. What is missing of a folder that is nearly whole is said by name later.
fn check_size(
    folder: &Path,
    architecture: &Architecture,
    shards: &[PathBuf],
) -> Result<(), ModelError> {
    let mut bytes = 0;
    for path in shards {
        bytes += fs::metadata(path)
            .map_err(ModelError::file("read", path))?
            .len();
    }
    let numbers = architecture.least_numbers();
    if numbers <= 8 * u128::from(bytes) + (1 << 20) {
        return Ok(());
    }
    Err(ModelError::Config {
        path: folder.join(CONFIG),
        what: format!("its sizes ask for {numbers} numbers, but the weights have {bytes} bytes"),
        hint: "check that config.json belongs to these weights".into(),
    })
}

fn check_shape(name: &str, shard: &Shard, expected: &[usize]) -> Result<(), ModelError> {
    let found = shard.shape(name);
    if found == expected {
        return Ok(());
    }
    Err(ModelError::Tensor {
        path: shard.path.clone(),
        tensor: name.into(),
        what: format!("has shape {found:?}, expected {expected:?}"),
        hint: "check that config.json belongs to these weights".into(),
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
