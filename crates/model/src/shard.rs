//! One safetensors file: its tensors read in pieces, converted from whatever they are stored as,
//! and files written so that a failure leaves the old ones whole. Knows no architecture.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, SafeTensorError, View};
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::product::Element;

/// Bytes of a file that are read at a time.
const PIECE: usize = 1 << 20;

/// How numbers are stored, in a file or in memory.
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

/// What a file's numbers are converted to.
pub(crate) trait Number: Element + PartialEq {
    fn from_f32(value: f32) -> Self;
}

impl Number for f32 {
    fn from_f32(value: f32) -> Self {
        value
    }
}

impl Number for bf16 {
    /// Rounds to the nearest, and to the even one of two.
    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
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
                .flat_map(|&value| bf16::from_f32(value).to_le_bytes())
                .collect(),
        };
        bytes.into()
    }

    fn data_len(&self) -> usize {
        self.values.len() * self.precision.bytes()
    }
}

/// An open file whose header was read and found to fit the file.
pub(crate) struct Shard {
    pub(crate) path: PathBuf,
    file: File,
    metadata: Metadata,
    /// Where the tensors' bytes begin.
    start: u64,
}

/// Appends the numbers that some bytes hold.
type Convert = fn(&[u8], &mut Vec<f32>);

impl Shard {
    pub(crate) fn open(path: &Path) -> Result<Self, ModelError> {
        let broken = |what: String| ModelError::Shard {
            path: path.into(),
            what,
        };
        let read = |file: &mut File, bytes: &mut [u8]| {
            file.read_exact(bytes)
                .map_err(ModelError::file("read", path))
        };
        let mut file = File::open(path).map_err(ModelError::file("read", path))?;
        let length = file.metadata().map_err(ModelError::file("read", path))?;
        let length = length.len();
        let ends_early = || broken(format!("its {length} bytes end inside the header"));
        let mut size = [0; 8];
        if length < 8 {
            return Err(ends_early());
        }
        read(&mut file, &mut size)?;
        let size = u64::from_le_bytes(size);
        if size > length - 8 {
            return Err(ends_early());
        }
        let mut header = vec![0; size as usize];
        read(&mut file, &mut header)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| broken(error.to_string()))?;
        let start = 8 + size;
        if start.checked_add(metadata.data_len() as u64) != Some(length) {
            return Err(broken(format!(
                "its {length} bytes are not as many as its header promises"
            )));
        }
        Ok(Self {
            path: path.into(),
            file,
            metadata,
            start,
        })
    }

    /// Its tensors, in the order of their bytes.
    pub(crate) fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    /// A tensor's shape.
    pub(crate) fn shape(&self, name: &str) -> &[usize] {
        let info = self.metadata.info(name);
        &info.expect("the name is one of the file's").shape
    }

    /// What the writer said about the file.
    pub(crate) fn note(&self, key: &str) -> Option<&str> {
        let notes = self.metadata.metadata().as_ref()?;
        notes.get(key).map(String::as_str)
    }

    /// A tensor's numbers, into `out` of the same length.
    pub(crate) fn read<T: Number>(&mut self, name: &str, out: &mut [T]) -> Result<(), ModelError> {
        self.visit(name, |at, numbers| {
            for (out, &number) in out[at..].iter_mut().zip(numbers) {
                *out = T::from_f32(number);
            }
        })
    }

    /// Shows a tensor's numbers piece by piece, each with the place of its first.
    pub(crate) fn visit(
        &mut self,
        name: &str,
        mut see: impl FnMut(usize, &[f32]),
    ) -> Result<(), ModelError> {
        let info = self.metadata.info(name);
        let info = info.expect("the name is one of the file's");
        let (first, end) = info.data_offsets;
        let (width, convert): (usize, Convert) = match info.dtype {
            Dtype::F32 => (4, |bytes, out| {
                out.extend(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)));
            }),
            Dtype::BF16 => (2, |bytes, out| {
                let numbers = bytes.as_chunks().0.iter();
                out.extend(numbers.map(|b| bf16::from_le_bytes(*b).to_f32()));
            }),
            Dtype::F16 => (2, |bytes, out| {
                let numbers = bytes.as_chunks().0.iter();
                out.extend(numbers.map(|b| f16::from_le_bytes(*b).to_f32()));
            }),
            other => {
                return Err(ModelError::Tensor {
                    path: self.path.clone(),
                    tensor: name.into(),
                    what: format!("is stored as {other:?}, expected F32, BF16 or F16"),
                    hint: "convert the weights to bf16 or f32".into(),
                });
            }
        };
        let unreadable = |error| ModelError::file("read", &self.path)(error);
        (self.file)
            .seek(SeekFrom::Start(self.start + first as u64))
            .map_err(unreadable)?;
        let mut bytes = vec![0; PIECE.min(end - first)];
        let mut numbers = Vec::with_capacity(bytes.len() / width);
        let mut at = 0;
        for from in (first..end).step_by(PIECE) {
            let piece = &mut bytes[..PIECE.min(end - from)];
            self.file.read_exact(piece).map_err(unreadable)?;
            numbers.clear();
            convert(piece, &mut numbers);
            see(at, &numbers);
            at += numbers.len();
        }
        Ok(())
    }
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

    /// Writes a safetensors file with one note: the library would write several in an order
    /// that differs from process to process.
    pub(crate) fn tensors(
        &mut self,
        name: &str,
        tensors: Vec<(&str, Tensor<'_>)>,
        (key, value): (&str, String),
    ) -> Result<(), ModelError> {
        let metadata = HashMap::from([(key.to_owned(), value)]);
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
