//! One safetensors file: its tensors as `f32`, whatever they are stored as, and files written
//! so that a failure leaves the old ones whole. Knows no architecture.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use safetensors::tensor::{SafeTensorError, TensorView, View};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::error::ModelError;

/// How numbers are stored in a file. In memory they are always `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// As they are.
    #[default]
    F32,
    /// Rounded to the nearest bfloat16.
    Bf16,
}

impl Precision {
    /// Its name in a `config.json`.
    pub(crate) fn dtype(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
        }
    }

    /// Bytes of one number.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// A tensor to write. It becomes bytes only when its turn comes.
pub(crate) struct Tensor<'a> {
    pub(crate) shape: &'a [usize],
    pub(crate) values: &'a [f32],
    pub(crate) precision: Precision,
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        match self.precision {
            Precision::F32 => Dtype::F32,
            Precision::Bf16 => Dtype::BF16,
        }
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let values = self.values.iter();
        let bytes: Vec<u8> = match self.precision {
            Precision::F32 => values.flat_map(|value| value.to_le_bytes()).collect(),
            Precision::Bf16 => values
                .flat_map(|&value| half::bf16::from_f32(value).to_le_bytes())
                .collect(),
        };
        bytes.into()
    }

    fn data_len(&self) -> usize {
        self.values.len() * self.precision.bytes()
    }
}

/// The tensors of one whole safetensors file, once its bytes are read.
pub(crate) fn parse<'a>(bytes: &'a [u8], path: &Path) -> Result<SafeTensors<'a>, ModelError> {
    SafeTensors::deserialize(bytes).map_err(|error| ModelError::Shard {
        path: path.into(),
        what: match error {
            SafeTensorError::MetadataIncompleteBuffer => {
                format!(
                    "its {} bytes are not as many as its header promises",
                    bytes.len()
                )
            }
            SafeTensorError::HeaderTooSmall | SafeTensorError::InvalidHeaderLength => {
                format!("its {} bytes end inside the header", bytes.len())
            }
            other => other.to_string(),
        },
    })
}

/// A tensor's values as `f32`, into `out` of the same length; `Err` names a type that is not
/// read.
pub(crate) fn decode(tensor: &TensorView<'_>, out: &mut [f32]) -> Result<(), Dtype> {
    let data = tensor.data();
    match tensor.dtype() {
        Dtype::F32 => {
            for (out, bytes) in out.iter_mut().zip(data.as_chunks().0) {
                *out = f32::from_le_bytes(*bytes);
            }
        }
        Dtype::BF16 => {
            for (out, bytes) in out.iter_mut().zip(data.as_chunks().0) {
                *out = half::bf16::from_le_bytes(*bytes).to_f32();
            }
        }
        Dtype::F16 => {
            for (out, bytes) in out.iter_mut().zip(data.as_chunks().0) {
                *out = half::f16::from_le_bytes(*bytes).to_f32();
            }
        }
        other => return Err(other),
    }
    Ok(())
}

/// Files written in full beside their places, which they take together at the end. Dropped
/// before that, it removes them, and what was in their places is untouched.
pub(crate) struct Staged {
    folder: PathBuf,
    names: Vec<String>,
}

impl Staged {
    /// Nothing yet; makes the folder if there is none.
    pub(crate) fn new(folder: &Path) -> Result<Self, ModelError> {
        fs::create_dir_all(folder).map_err(ModelError::file("create", folder))?;
        Ok(Self {
            folder: folder.into(),
            names: Vec::new(),
        })
    }

    /// Writes a safetensors file.
    pub(crate) fn tensors(
        &mut self,
        name: &str,
        tensors: Vec<(&str, Tensor<'_>)>,
        metadata: &[(&str, String)],
    ) -> Result<(), ModelError> {
        let metadata: HashMap<_, _> = metadata
            .iter()
            .map(|(key, value)| (key.to_string(), value.clone()))
            .collect();
        self.write(name, |path| {
            // The library leaves its file readable by its owner only; ours is as readable as
            // any other.
            let permissions = File::create(path)?.metadata()?.permissions();
            safetensors::serialize_to_file(tensors, Some(metadata), path).map_err(|error| {
                match error {
                    SafeTensorError::IoError(error) => error,
                    other => std::io::Error::other(other),
                }
            })?;
            fs::set_permissions(path, permissions)
        })
    }

    /// Writes a text file.
    pub(crate) fn text(&mut self, name: &str, text: &str) -> Result<(), ModelError> {
        self.write(name, |path| fs::write(path, text))
    }

    fn write(
        &mut self,
        name: &str,
        fill: impl FnOnce(&Path) -> std::io::Result<()>,
    ) -> Result<(), ModelError> {
        let path = self.staged(name);
        self.names.push(name.into());
        fill(&path)
            .and_then(|()| File::open(&path)?.sync_all())
            .map_err(ModelError::file("write", &self.folder.join(name)))
    }

    fn staged(&self, name: &str) -> PathBuf {
        self.folder.join(format!(".{name}.partial"))
    }

    /// Moves every file to its place, in the order in which they were written.
    pub(crate) fn commit(mut self) -> Result<(), ModelError> {
        for name in std::mem::take(&mut self.names) {
            let place = self.folder.join(&name);
            fs::rename(self.staged(&name), &place).map_err(ModelError::file("rename", &place))?;
        }
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(ModelError::file("write", &self.folder))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        for name in &self.names {
            // Already on the way out with an error that says more than this one would.
            let _ = fs::remove_file(self.staged(name));
        }
    }
}
