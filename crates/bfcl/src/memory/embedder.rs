//! An embedding model from a folder: BERT in the layout of all-MiniLM-L6-v2, which is the model
//! that the leaderboard's vector memory asks for. A text's vector is the mean of its tokens' last
//! hidden states, divided by its length (Reimers and Gurevych 2019, "Sentence-BERT",
//! <https://arxiv.org/abs/1908.10084>).

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokenizers::{Tokenizer, TruncationParams};

use super::{EmbedError, Embedder};

/// BERT and its tokenizer, on the processor.
pub struct BertEmbedder {
    model: BertModel,
    tokenizer: Tokenizer,
}

/// A folder that holds no embedding model that we can run.
#[derive(Debug, thiserror::Error)]
pub enum EmbedderError {
    /// A file could not be read.
    #[error(
        "`{}`: {source}\nhint: an embedding model is a folder with `config.json`, \
         `model.safetensors` and `tokenizer.json`, such as all-MiniLM-L6-v2's", path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file was read and is not what it should be.
    #[error(
        "`{}`: {problem}\nhint: only BERT's architecture is known here, all-MiniLM-L6-v2 for one",
        path.display()
    )]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// What sentence-transformers keeps beside the model.
#[derive(Deserialize)]
struct SentenceConfig {
    max_seq_length: usize,
}

impl BertEmbedder {
    /// Reads a model's folder.
    pub fn load(folder: &Path) -> Result<Self, EmbedderError> {
        let config_file = folder.join("config.json");
        let config: Config = parse(&config_file, &read(&config_file)?)?;
        let weights_file = folder.join("model.safetensors");
        let weights = read(&weights_file)?;
        let model = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu)
            .and_then(|weights| BertModel::load(weights, &config))
            .map_err(|problem| form(&weights_file, problem))?;
        let longest = longest(folder)?.unwrap_or(config.max_position_embeddings);
        let tokenizer = load_tokenizer(&folder.join("tokenizer.json"), longest)?;
        Ok(Self { model, tokenizer })
    }

    /// The vector of these tokens, `[hidden]`.
    fn forward(&self, ids: &[u32]) -> candle_core::Result<Vec<f32>> {
        let ids = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
        let hidden = self.model.forward(&ids, &ids.zeros_like()?, None)?;
        let mean = hidden.mean(1)?.squeeze(0)?;
        let length = mean.sqr()?.sum_all()?.sqrt()?;
        mean.broadcast_div(&length)?.to_vec1()
    }
}

impl Embedder for BertEmbedder {
    fn embed(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        let encoding = self.tokenizer.encode(text, true);
        let encoding = encoding.map_err(|problem| EmbedError(problem.to_string()))?;
        let vector = self.forward(encoding.get_ids());
        vector.map_err(|problem| EmbedError(problem.to_string()))
    }
}

/// How many tokens the model has been made for, where its folder says so.
fn longest(folder: &Path) -> Result<Option<usize>, EmbedderError> {
    let file = folder.join("sentence_bert_config.json");
    if !file.exists() {
        return Ok(None);
    }
    let config: SentenceConfig = parse(&file, &read(&file)?)?;
    Ok(Some(config.max_seq_length))
}

/// The tokenizer, which cuts at `longest` tokens and pads nothing: what its file says of either is
/// meant for batches of another program.
fn load_tokenizer(file: &Path, longest: usize) -> Result<Tokenizer, EmbedderError> {
    let mut tokenizer =
        Tokenizer::from_bytes(read(file)?).map_err(|problem| form(file, problem))?;
    let truncation = TruncationParams {
        max_length: longest,
        ..TruncationParams::default()
    };
    tokenizer
        .with_padding(None)
        .with_truncation(Some(truncation))
        .map_err(|problem| form(file, problem))?;
    Ok(tokenizer)
}

fn read(path: &Path) -> Result<Vec<u8>, EmbedderError> {
    fs::read(path).map_err(|source| EmbedderError::File {
        path: path.to_owned(),
        source,
    })
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, EmbedderError> {
    serde_json::from_slice(bytes).map_err(|problem| form(path, problem))
}

fn form(path: &Path, problem: impl ToString) -> EmbedderError {
    EmbedderError::Form {
        path: path.to_owned(),
        problem: problem.to_string(),
    }
}
