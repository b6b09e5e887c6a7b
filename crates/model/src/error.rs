//! What can go wrong when a model is read, written or restored. Each message says what was
//! wrong, where, and what was expected; the way out follows `hint:`.

use std::path::PathBuf;

/// A model folder or an optimiser state that cannot be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The operating system refused a file.
    #[error("cannot {action} `{}`: {source}{}", path.display(), hint_of(source))]
    File {
        /// What was tried: "read", "write", "rename".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `config.json`, `adapter_config.json` or a shard index cannot be understood or asks for something that is not
    /// implemented.
    #[error("`{}`: {what}\nhint: {hint}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What was found, and what was expected.
        what: String,
        /// The way out.
        hint: String,
    },
    /// A safetensors file is not whole.
    #[error(
        "`{}` is not a whole safetensors file: {what}\nhint: copy or download this file again",
        path.display()
    )]
    Shard {
        /// The file.
        path: PathBuf,
        /// What the reader found.
        what: String,
    },
    /// One tensor is missing, misshapen or unknown.
    #[error("`{}`: tensor `{tensor}` {what}\nhint: {hint}", path.display())]
    Tensor {
        /// The file in which it was found, or looked for.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What was found, and what was expected.
        what: String,
        /// The way out.
        hint: String,
    },
    /// What the model predicts is no distribution.
    #[error(
        "the model has diverged: its logits are not finite\n\
         hint: its weights are of no use any more; go on from an earlier checkpoint, with a \
         smaller `optimizer.learning-rate` or `optimizer.grad-clip`"
    )]
    Diverged,
    /// A setting has a value that means nothing.
    #[error("`{key}` is {found}, expected {expected}")]
    Setting {
        /// The setting, as the configuration spells it.
        key: &'static str,
        /// Its value.
        found: f32,
        /// What would do.
        expected: &'static str,
    },
    /// An adapter that is put on nothing.
    #[error("`targets` is empty, expected the weights that have an adapter")]
    NoTargets,
    /// An adapter's rank is larger than a weight's could ever be.
    #[error(
        "`rank` is {rank}, more than `{target}` of {rows}x{columns} can have\nhint: choose at \
         most {}",
        rows.min(columns)
    )]
    Rank {
        /// What was asked for.
        rank: usize,
        /// The weight.
        target: &'static str,
        /// Its rows.
        rows: usize,
        /// Its columns.
        columns: usize,
    },
    /// An adapter is put on weights that are not those it was trained on.
    #[error(
        "the adapter was trained on other weights than these\nhint: its base is called `{base}`"
    )]
    OtherBase {
        /// Name or path of the adapter's own base.
        base: String,
    },
    /// A set of vector instructions that this machine does not have.
    #[error("`{found}` is no set of instructions of this machine, expected one of {expected}")]
    Instructions {
        /// The name asked for.
        found: String,
        /// The names that would do.
        expected: String,
    },
    /// The key-value cache cannot hold one sequence.
    #[error(
        "a sequence of {tokens} tokens needs {:.4} GiB of key-value cache, but \
         `engine.cache-gib` allows {:.4}\nhint: raise `engine.cache-gib`{}",
        gib(*needed),
        gib(*allowed),
        or_shorter(*fitting)
    )]
    Cache {
        /// The longest sequence.
        tokens: usize,
        /// Bytes that it needs.
        needed: usize,
        /// Bytes that there may be.
        allowed: usize,
        /// The longest sequence that they could hold.
        fitting: usize,
    },
    /// A GPU cannot be used, or has failed.
    #[error("{what}\nhint: {hint}")]
    Gpu {
        /// What was tried, found and expected.
        what: String,
        /// The way out.
        hint: &'static str,
    },
    /// No such thing computes.
    #[error("`{name}` is no device, expected `cpu`, `cuda` or `cuda:N`")]
    Place {
        /// As it was given.
        name: String,
    },
    /// A GPU is asked for, of a program that has no code for one.
    #[error(
        "this program was built without CUDA, which a GPU needs\n\
         hint: build it with `--features cuda`, or run on the CPU"
    )]
    NoCuda,
    /// A GPU has not so much memory left.
    #[error("{0}")]
    DeviceMemory(Box<DeviceMemory>),
    /// An optimiser state does not belong to this model or optimiser.
    #[error(
        "the optimiser state does not fit: {what}\nhint: resume with the settings that wrote it"
    )]
    OptimizerState {
        /// What was found, and what was expected.
        what: String,
    },
}

/// Who has a GPU's memory when there is too little.
#[derive(Debug)]
pub struct DeviceMemory {
    /// What the card is called.
    pub device: String,
    /// What the memory was for.
    pub label: &'static str,
    /// Bytes asked for.
    pub asked: usize,
    /// Bytes free.
    pub free: usize,
    /// Bytes that the card has.
    pub total: usize,
    /// Bytes that this process has, and what for.
    pub held: Vec<(&'static str, usize)>,
}

impl std::fmt::Display for DeviceMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} has no memory for {}: {:.2} GiB asked for, {:.2} free of {:.2}",
            self.device,
            self.label,
            gib(self.asked),
            gib(self.free),
            gib(self.total)
        )?;
        let mut held = self.held.clone();
        let ours: usize = held.iter().map(|&(_, bytes)| bytes).sum();
        held.push((
            "other processes, and CUDA itself",
            self.total.saturating_sub(self.free + ours),
        ));
        held.sort_by_key(|&(_, bytes)| std::cmp::Reverse(bytes));
        for (label, bytes) in &held {
            write!(f, "\n  {:>8.2} GiB  {label}", gib(*bytes))?;
        }
        write!(f, "\nhint: {}", way_out(held[0].0))
    }
}

/// What would make the largest part of a GPU's memory smaller.
fn way_out(largest: &str) -> &'static str {
    match largest {
        "weights" => "take a smaller model, or a card with more memory",
        "gradient" | "moments" => "train an adapter (`[lora]`), which needs little of its own",
        "activations" => {
            "set `train.activation-checkpointing = true`, or make episodes shorter by \
             `rollout.max-tokens`"
        }
        "logits" => "sample fewer episodes at a time by `rollout.concurrency`",
        "cache" => {
            "set `engine.cache-gib` lower, or sample fewer episodes at a time by \
             `rollout.concurrency`"
        }
        _ => "`nvidia-smi` says which processes have the card's memory: wait for them, or end them",
    }
}

impl ModelError {
    pub(crate) fn setting(key: &'static str, found: f32, expected: &'static str) -> Self {
        Self::Setting {
            key,
            found,
            expected,
        }
    }

    /// A closure for `map_err` that names the file and what was tried on it.
    pub(crate) fn file(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}

fn gib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

fn or_shorter(fitting: usize) -> String {
    match fitting {
        0 => String::new(),
        _ => format!(", or set `rollout.max-tokens` below {fitting}"),
    }
}

fn hint_of(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::NotFound => {
            "\nhint: check that the folder is complete: a model's in the Hugging Face layout, or an \
             adapter's in PEFT's"
        }
        std::io::ErrorKind::StorageFull => {
            "\nhint: free some disk space; the files that were there are unchanged"
        }
        _ => "",
    }
}
