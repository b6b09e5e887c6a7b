//! One point of a curve: what is computed there, whether it fits, and its measurement in a
//! process of its own.

use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use model::{
    Architecture, Flops, Keep, OptimizerConfig, attended_pairs, cached_numbers, packed_numbers,
};
use serde_json::{Value, json};
use train::{Held, Load, Plan};

use super::Machine;
use crate::args::BenchScale;

/// Sequences, and tokens of each, of the base point.
const BATCH: usize = 4;
const CONTEXT: usize = 512;
/// Tokens that each sequence samples, after a prompt that all share.
const NEW: usize = 32;
/// Points that take longer than this are measured once.
const LONG_SECONDS: f64 = 3.0;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Train,
    Decode,
}

/// What changes along a curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Factor {
    Threads,
    Batch,
    Context,
    Model,
}

/// One point, and the curve that it belongs to.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) work: Work,
    pub(super) factor: Factor,
    pub(super) threads: usize,
    pub(super) batch: usize,
    pub(super) context: usize,
    pub(super) architecture: Architecture,
}

/// What came of a point.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Measured(Measured),
    /// Why it was not.
    Skipped(String),
}

/// A point's measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) tokens_per_second: f64,
    /// Seconds that are behind `tokens_per_second` for one step of all sequences.
    pub(super) step_seconds: f64,
    /// Of the whole process; 0 where the system does not say.
    pub(super) peak_bytes: f64,
    /// Floating-point operations a second, and those of matrix products alone.
    pub(super) flops: f64,
    pub(super) gemm: f64,
    /// Of a repetition, with what comes before it.
    pub(super) seconds: f64,
}

impl Outcome {
    pub(super) fn measured(&self) -> Option<&Measured> {
        match self {
            Self::Measured(measured) => Some(measured),
            Self::Skipped(_) => None,
        }
    }
}

impl Work {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Decode => "decode",
        }
    }
}

impl Factor {
    pub(super) const ALL: [Self; 4] = [Self::Threads, Self::Batch, Self::Context, Self::Model];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Batch => "batch",
            Self::Context => "context",
            Self::Model => "model",
        }
    }

    /// What its values count.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Batch => "sequences",
            Self::Context => "tokens of a sequence",
            Self::Model => "parameters",
        }
    }

    /// The curve's points around the base point.
    pub(super) fn points(self, base: &Point, vocabulary: usize, threads: usize) -> Vec<Point> {
        let doubling = |from: usize, to: usize| -> Vec<usize> {
            std::iter::successors(Some(from), |at| Some(2 * at))
                .take_while(|&at| at < to)
                .chain([to])
                .collect()
        };
        let with = |change: &dyn Fn(&mut Point)| {
            let mut point = base.clone();
            point.factor = self;
            change(&mut point);
            point
        };
        match self {
            Self::Threads => (doubling(1, threads).into_iter())
                .map(|threads| with(&|point| point.threads = threads))
                .collect(),
            Self::Batch => (doubling(1, 64).into_iter())
                .map(|batch| with(&|point| point.batch = batch))
                .collect(),
            Self::Context => (doubling(256, 16_384).into_iter())
                .map(|context| with(&|point| point.context = context))
                .collect(),
            Self::Model => (sizes(vocabulary).into_iter())
                .map(|size| with(&|point| point.architecture = size.clone()))
                .collect(),
        }
    }
}

/// Decoders from about 1M to 600M parameters.
fn sizes(vocabulary: usize) -> Vec<Architecture> {
    // Hidden, layers, heads, key-value heads, width of a head, intermediate.
    let sizes = [
        [128, 4, 4, 2, 32, 384],
        [256, 6, 8, 4, 32, 1024],
        [512, 8, 8, 4, 64, 1536],
        [768, 12, 12, 4, 64, 2304],
        [1024, 16, 16, 4, 64, 3072],
        [1280, 32, 20, 4, 64, 3840],
    ];
    let architecture = |[hidden, layers, heads, kv_heads, width, intermediate]: [usize; 6]| {
        let config = json!({
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "vocab_size": vocabulary,
            "hidden_size": hidden,
            "intermediate_size": intermediate,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "head_dim": width,
            "max_position_embeddings": 32_768,
            "rope_theta": 1e6,
            "tie_word_embeddings": true,
        });
        Architecture::from_json(&config.to_string(), "config.json".as_ref())
            .expect("the config names what the engine computes")
    };
    sizes.map(architecture).into()
}

impl Point {
    pub(super) fn base(work: Work, arguments: &BenchScale, threads: usize) -> Self {
        let preset = model::Preset::from(arguments.preset);
        Self {
            work,
            factor: Factor::Threads,
            threads,
            batch: BATCH,
            context: CONTEXT,
            architecture: preset.architecture(arguments.vocabulary),
        }
    }

    /// Its place along its curve.
    pub(super) fn value(&self) -> usize {
        match self.factor {
            Factor::Threads => self.threads,
            Factor::Batch => self.batch,
            Factor::Context => self.context,
            Factor::Model => self.parameters(),
        }
    }

    pub(super) fn parameters(&self) -> usize {
        model::Layout::new(&self.architecture).len
    }

    pub(super) fn is_same_work(&self, other: &Self) -> bool {
        let shape = |point: &Self| (point.work, point.threads, point.batch, point.context);
        shape(self) == shape(other) && self.architecture == other.architecture
    }

    pub(super) fn words(&self) -> String {
        format!(
            "{}: {} threads, {} sequences of {} tokens, {:.1}M parameters",
            self.work.name(),
            self.threads,
            self.batch,
            self.context,
            self.parameters() as f64 / 1e6
        )
    }

    /// Operations of one repetition.
    pub(super) fn flops(&self) -> f64 {
        let (a, batch, context) = (&self.architecture, self.batch, self.context);
        match self.work {
            Work::Train => {
                let pairs = batch * attended_pairs(0..context);
                let targets = batch * (context - 1);
                Flops::forward(a, batch * context, pairs, targets)
                    .with_backward()
                    .total()
            }
            Work::Decode => {
                let shared = context - NEW;
                let pairs = attended_pairs(0..shared) + batch * attended_pairs(shared..context);
                Flops::forward(a, shared + batch * NEW, pairs, batch * NEW).total()
            }
        }
    }

    /// Bytes that must be read from memory for one step: the weights; in training, what the
    /// backward pass and the optimiser read and write too; in decoding, keys and values too.
    pub(super) fn step_bytes(&self) -> f64 {
        let numbers = match self.work {
            // Forward 1, backward 2, AdamW's weights, gradient and moments read and written 8.
            Work::Train => 11 * self.parameters(),
            Work::Decode => packed_numbers(&self.architecture) + self.cached_numbers(),
        };
        4.0 * numbers as f64
    }

    /// Why it does not fit this machine's memory, if it does not.
    pub(super) fn too_large(&self, machine: &Machine) -> Option<String> {
        let memory = machine.memory?;
        let needed = self.planned_bytes();
        (needed > memory).then(|| {
            let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
            format!(
                "needs {:.1} GiB of memory, of {:.1}",
                gib(needed),
                gib(memory)
            )
        })
    }

    fn planned_bytes(&self) -> u64 {
        let sequences: Vec<Vec<u32>> = vec![vec![0; self.context]; self.batch];
        let batch = super::super::subject::imitation(&sequences);
        let load = Load::of_batch(&batch, Keep::All, OptimizerConfig::default());
        let plan = Plan::new(&self.architecture, Held::default(), &load);
        match self.work {
            Work::Train => plan.total(),
            Work::Decode => {
                let numbers = packed_numbers(&self.architecture) + self.cached_numbers();
                plan.weights + plan.program + 4 * numbers as u64
            }
        }
    }

    /// Numbers of the keys and values that decoding holds: the prompt's once, and each
    /// sequence's own.
    fn cached_numbers(&self) -> usize {
        let of = |tokens| cached_numbers(&self.architecture, tokens);
        of(self.context) + self.batch * of(NEW)
    }

    /// How long its process takes, from what like points took.
    pub(super) fn expected_seconds<'a>(
        &self,
        known: impl Iterator<Item = (&'a Self, &'a Measured)>,
    ) -> Option<f64> {
        let like = known.filter(|(point, _)| point.work == self.work);
        // The most expensive one so far is the nearest.
        let (point, measured) = like.max_by(|a, b| a.0.flops().total_cmp(&b.0.flops()))?;
        let slower = point.threads as f64 / self.threads as f64;
        let seconds = measured.seconds * self.flops() / point.flops() * slower;
        // A repetition, the one before it, and fresh weights.
        Some(2.0 * seconds + 5e-8 * self.parameters() as f64)
    }

    /// Measures it in a process of its own.
    pub(super) fn measure(&self, expected: Option<f64>) -> Result<Outcome> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("config.json");
        std::fs::write(&config, self.architecture.to_json("float32"))?;
        let repetitions = match expected {
            Some(seconds) if seconds > LONG_SECONDS => 1,
            _ => 3,
        };
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["bench", self.work.name(), "--json", "--config"])
            .arg(&config);
        let numbers = match self.work {
            Work::Train => vec![("--batch", self.batch), ("--tokens", self.context)],
            Work::Decode => vec![
                ("--groups", 1),
                ("--group-size", self.batch),
                ("--prompt", self.context - NEW),
                ("--new", NEW),
            ],
        };
        let both = [("--threads", self.threads), ("--repetitions", repetitions)];
        for (option, number) in numbers.into_iter().chain(both) {
            command.args([option, &number.to_string()]);
        }
        let output = command
            .output()
            .context("`pact` could not be started again")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{} failed: {}", self.words(), said.trim());
        }
        let json: Value = serde_json::from_slice(&output.stdout)?;
        let measured = self.read(&json);
        measured
            .map(Outcome::Measured)
            .ok_or_else(|| anyhow!("{}: {json}", self.words()))
    }

    fn read(&self, json: &Value) -> Option<Measured> {
        let seconds: Vec<f64> = (json["seconds"].as_array()?.iter())
            .filter_map(Value::as_f64)
            .collect();
        let seconds = super::super::measurement::median(&seconds);
        // A curve of decoding is of its steps, not of its prompt.
        let (rate, step_seconds) = match self.work {
            Work::Train => (json["tokens-per-second"].as_f64()?, seconds),
            Work::Decode => {
                let rate = json["later-tokens-per-second"].as_f64()?;
                (rate, self.batch as f64 / rate)
            }
        };
        let flops = match self.work {
            Work::Train => json["gflops"].as_f64()? * 1e9,
            Work::Decode => self.step_flops() / step_seconds,
        };
        Some(Measured {
            tokens_per_second: rate,
            step_seconds,
            peak_bytes: json["peak-bytes"].as_f64().unwrap_or(0.0),
            flops,
            gemm: json["gemm-gflops"].as_f64()? * 1e9,
            seconds,
        })
    }

    /// Operations of one decoding step of all sequences, half-way.
    fn step_flops(&self) -> f64 {
        let pairs = self.batch * (self.context - NEW / 2);
        Flops::forward(&self.architecture, self.batch, pairs, self.batch).total()
    }

    pub(super) fn to_json(&self, outcome: &Outcome) -> Value {
        let mut json = json!({
            "work": self.work.name(),
            "factor": self.factor.name(),
            "threads": self.threads,
            "batch": self.batch,
            "context": self.context,
            "parameters": self.parameters(),
        });
        match outcome {
            Outcome::Skipped(reason) => json["skipped"] = json!(reason),
            Outcome::Measured(measured) => {
                json["tokens-per-second"] = json!(measured.tokens_per_second);
                json["peak-bytes"] = json!(measured.peak_bytes);
                json["gflops"] = json!(measured.flops / 1e9);
                json["gemm-share"] = json!(measured.flops / measured.gemm);
            }
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Preset;

    fn base(work: Work) -> Point {
        let arguments = BenchScale {
            preset: Preset::Tiny,
            vocabulary: 100,
            threads: 0,
            budget: 1.0,
            out: None,
            json: false,
        };
        Point::base(work, &arguments, 6)
    }

    #[test]
    fn a_curve_changes_one_factor_and_passes_the_base_point() {
        let base = base(Work::Train);
        let values = |factor: Factor| -> Vec<usize> {
            let points = factor.points(&base, 100, 6);
            points.iter().map(Point::value).collect()
        };
        assert_eq!(values(Factor::Threads), [1, 2, 4, 6]);
        assert_eq!(values(Factor::Batch), [1, 2, 4, 8, 16, 32, 64]);
        assert_eq!(
            values(Factor::Context),
            [256, 512, 1024, 2048, 4096, 8192, 16_384]
        );
        for factor in [Factor::Threads, Factor::Batch, Factor::Context] {
            let points = factor.points(&base, 100, 6);
            assert!(
                points.iter().any(|point| point.is_same_work(&base)),
                "{factor:?}"
            );
        }
    }

    #[test]
    fn models_grow_from_a_million_to_six_hundred_million_parameters() {
        let sizes = Factor::Model.points(&base(Work::Decode), 4096, 1);
        let millions: Vec<f64> = sizes
            .iter()
            .map(|it| it.parameters() as f64 / 1e6)
            .collect();
        assert!((1.0..2.0).contains(&millions[0]), "{millions:?}");
        assert!((550.0..650.0).contains(&millions[5]), "{millions:?}");
        assert!(millions.is_sorted());
    }

    #[test]
    fn what_does_not_fit_the_memory_says_what_it_needs() {
        let mut machine = Machine {
            bandwidth: 1.0,
            memory: Some(1 << 20),
            threads: 1,
        };
        let point = base(Work::Train);
        let reason = point.too_large(&machine).expect("a megabyte is little");
        assert!(
            reason.starts_with("needs 0.") && reason.ends_with("of 0.0"),
            "{reason}"
        );
        machine.memory = None;
        assert_eq!(point.too_large(&machine), None);
    }
}
