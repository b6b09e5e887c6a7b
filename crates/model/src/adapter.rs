//! LoRA (Hu et al. 2021, section 4.1, <https://arxiv.org/abs/2106.09685>): beside a weight `W`
//! that stands still, two thin matrices that are trained.
//!
//! ```text
//! y = x W^T + s (x A^T) B^T        s = alpha / rank
//! x [rows, in]   W [out, in]   A [rank, in]   B [out, rank]   y [rows, out]
//! ```
//!
//! The two are never added to `W` while training or sampling, so that both compute the same.
//! Weights that one product multiplies (queries, keys, values; gate, up) have their `A`s one
//! after another: one product for all of them.

mod folder;

use std::collections::HashMap;

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::parameters::{Layout, ParameterKind, ParameterSpec, Parameters, Writer};
use crate::product::{Matrix, MatrixMut, Store, product, product_on_all};
use crate::sampling::rng;
use crate::{Architecture, Weights};

pub use folder::AdapterFolder;

/// LoRA: thin matrices beside the weights are trained, and the weights stand still.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LoraConfig {
    /// Rank of the matrices; 0 trains all weights instead.
    pub rank: usize,
    /// What they add counts `alpha / rank` times.
    pub alpha: f32,
    /// The weights of each layer that have them: `q_proj`, `k_proj`, `v_proj`, `o_proj`,
    /// `gate_proj`, `up_proj`, `down_proj`.
    pub targets: Vec<Target>,
    /// Share of inputs that training drops; only 0 is implemented.
    pub dropout: f32,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            rank: 0,
            alpha: 16.0,
            targets: Target::ALL.to_vec(),
            dropout: 0.0,
        }
    }
}

impl LoraConfig {
    /// Refuses settings that mean nothing or are not implemented.
    pub fn check(&self) -> Result<(), ModelError> {
        if !(self.alpha > 0.0 && self.alpha.is_finite()) {
            return Err(ModelError::setting("alpha", self.alpha, "a number above 0"));
        }
        if self.dropout != 0.0 {
            let expected = "0: dropout is not implemented";
            return Err(ModelError::setting("dropout", self.dropout, expected));
        }
        if self.targets.is_empty() {
            return Err(ModelError::NoTargets);
        }
        Ok(())
    }
}

/// A weight of each layer that an adapter can be put on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Queries.
    QProj,
    /// Keys.
    KProj,
    /// Values.
    VProj,
    /// Attention's output.
    OProj,
    /// The feed-forward's gate.
    GateProj,
    /// The feed-forward's input.
    UpProj,
    /// The feed-forward's output.
    DownProj,
}

impl Target {
    /// Every target, in the order of a layer.
    pub const ALL: [Self; 7] = [
        Self::QProj,
        Self::KProj,
        Self::VProj,
        Self::OProj,
        Self::GateProj,
        Self::UpProj,
        Self::DownProj,
    ];

    /// Its name, as files and configs have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::QProj => "q_proj",
            Self::KProj => "k_proj",
            Self::VProj => "v_proj",
            Self::OProj => "o_proj",
            Self::GateProj => "gate_proj",
            Self::UpProj => "up_proj",
            Self::DownProj => "down_proj",
        }
    }

    /// Its path inside a layer.
    fn path(self) -> String {
        let block = match self {
            Self::QProj | Self::KProj | Self::VProj | Self::OProj => "self_attn",
            Self::GateProj | Self::UpProj | Self::DownProj => "mlp",
        };
        format!("{block}.{}", self.name())
    }
}

/// What is trained of a decoder whose weights stand still.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// Rank, alpha, targets.
    pub config: LoraConfig,
    /// Whether `s` is `alpha / sqrt(rank)` (Kalajdzievski 2023, <https://arxiv.org/abs/2312.03732>).
    pub rank_stabilised: bool,
    /// Name or path of the model whose weights it belongs to.
    pub base: String,
    /// Its matrices, laid out as [`specs`](Self::specs) say.
    pub values: Vec<f32>,
    /// [`Weights::digest`] of these weights, once it is known.
    digest: Option<u64>,
    specs: Vec<ParameterSpec>,
    /// What is added to the product of the weight that begins at a place of the base's layout.
    pub(crate) deltas: HashMap<usize, Delta>,
}

/// What an adapter adds to one product.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Delta {
    /// Where the `A`s of all parts begin, `[parts * rank, inputs]`.
    pub(crate) a: usize,
    pub(crate) inputs: usize,
    /// Columns of the product.
    outputs: usize,
    pub(crate) parts: Vec<Part>,
}

/// The columns of a product that are one target's.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) first: usize,
    pub(crate) columns: usize,
    /// Where its `B` begins, `[columns, rank]`.
    pub(crate) b: usize,
}

impl Adapter {
    /// A fresh adapter, the same for the same seed: `A` uniform in ±1/sqrt(in), which is PEFT's
    /// Kaiming initialisation with a = sqrt(5); `B` 0, so that nothing changes yet.
    pub fn new(
        config: &LoraConfig,
        architecture: &Architecture,
        base: &str,
        seed: u64,
    ) -> Result<Self, ModelError> {
        let mut adapter = Self::zeros(config, false, architecture, base)?;
        let mut random = rng(seed);
        for spec in adapter.specs.iter().filter(|spec| is_a(spec)) {
            let bound = 1.0 / (spec.shape[1] as f64).sqrt();
            for value in &mut adapter.values[spec.range()] {
                *value = (bound * (2.0 * random.random::<f64>() - 1.0)) as f32;
            }
        }
        Ok(adapter)
    }

    fn zeros(
        config: &LoraConfig,
        rank_stabilised: bool,
        architecture: &Architecture,
        base: &str,
    ) -> Result<Self, ModelError> {
        config.check()?;
        assert!(config.rank > 0, "an adapter has a rank");
        let (specs, deltas) = lay_out(config, &Layout::new(architecture))?;
        let len = specs.last().map_or(0, |spec| spec.range().end);
        Ok(Self {
            config: config.clone(),
            rank_stabilised,
            base: base.into(),
            values: vec![0.0; len],
            digest: None,
            specs,
            deltas,
        })
    }

    /// Numbers that an adapter would have.
    pub fn len(config: &LoraConfig, architecture: &Architecture) -> Result<usize, ModelError> {
        let (specs, _) = lay_out(config, &Layout::new(architecture))?;
        Ok(specs.last().map_or(0, |spec| spec.range().end))
    }

    /// Its matrices, in the order of the buffer, without gaps.
    pub fn specs(&self) -> &[ParameterSpec] {
        &self.specs
    }

    /// What `x A^T B^T` is multiplied by.
    pub fn scale(&self) -> f32 {
        let rank = self.config.rank as f32;
        match self.rank_stabilised {
            true => self.config.alpha / rank.sqrt(),
            false => self.config.alpha / rank,
        }
    }

    /// Adds what it adds to the weights themselves, which then do alone what both did.
    pub fn merge(&self, weights: &mut Parameters) {
        let rank = self.config.rank;
        for (&weight, delta) in &self.deltas {
            for (i, part) in delta.parts.iter().enumerate() {
                let at = weight + part.first * delta.inputs;
                let merged = &mut weights.data[at..at + part.columns * delta.inputs];
                let a = &self.values[delta.a + i * rank * delta.inputs..];
                product_on_all(
                    MatrixMut::new(merged, part.columns, delta.inputs),
                    Store::Add,
                    self.scale(),
                    self.b(part),
                    Matrix::new(a, rank, delta.inputs),
                );
            }
        }
    }

    /// Remembers which weights it belongs to, and refuses others.
    pub(crate) fn settle(&mut self, weights: &Weights) -> Result<(), ModelError> {
        let found = weights.digest();
        match self.digest.replace(found) {
            Some(expected) if expected != found => Err(ModelError::OtherBase {
                base: self.base.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Adds to `out` `[rows, out]`, the product of `x` `[rows, in]` with the weight that begins
    /// at `weight`, what the adapter adds to it. On the calling thread.
    pub(crate) fn add(&self, weight: usize, x: &[f32], out: &mut [f32]) {
        let Some(delta) = self.deltas.get(&weight) else {
            return;
        };
        let (rank, rows) = (self.config.rank, x.len() / delta.inputs);
        let width = delta.parts.len() * rank;
        let mut inner = vec![0.0; rows * width];
        product(
            MatrixMut::new(&mut inner, rows, width),
            Store::Overwrite,
            1.0,
            Matrix::new(x, rows, delta.inputs),
            self.a(delta).t(),
        );
        for (i, part) in delta.parts.iter().enumerate() {
            product(
                MatrixMut::strided(&mut out[part.first..], rows, part.columns, delta.outputs),
                Store::Add,
                self.scale(),
                Matrix::strided(&inner[i * rank..], rows, rank, width),
                self.b(part).t(),
            );
        }
    }

    /// Adds to `dx` `[rows, in]` what the gradient `dout` `[rows, out]` of the product with the
    /// weight at `weight` gives through the adapter. On the calling thread.
    pub(crate) fn input_gradient(&self, weight: usize, dout: &[f32], dx: &mut [f32]) {
        let Some(delta) = self.deltas.get(&weight) else {
            return;
        };
        let (rank, rows) = (self.config.rank, dx.len() / delta.inputs);
        let width = delta.parts.len() * rank;
        let mut dinner = vec![0.0; rows * width];
        for (i, part) in delta.parts.iter().enumerate() {
            product(
                MatrixMut::strided(&mut dinner[i * rank..], rows, rank, width),
                Store::Overwrite,
                self.scale(),
                Matrix::strided(&dout[part.first..], rows, part.columns, delta.outputs),
                self.b(part),
            );
        }
        product(
            MatrixMut::new(dx, rows, delta.inputs),
            Store::Add,
            1.0,
            Matrix::new(&dinner, rows, width),
            self.a(delta),
        );
    }

    /// Adds the gradients of the matrices beside the weight at `weight`, from the product's
    /// input `x` `[rows, in]` and its gradient `dout` `[rows, out]`: `dA = s (dout B)^T x` and
    /// `dB = s dout^T (x A^T)`. On all threads; sums over rows are taken in their order.
    pub(crate) fn weight_gradient(
        &self,
        weight: usize,
        dout: &[f32],
        x: &[f32],
        gradient: &mut [f32],
    ) {
        let Some(delta) = self.deltas.get(&weight) else {
            return;
        };
        let (rank, rows) = (self.config.rank, x.len() / delta.inputs);
        let width = delta.parts.len() * rank;
        let x = Matrix::new(x, rows, delta.inputs);
        let mut inner = vec![0.0; rows * width];
        let whole = MatrixMut::new(&mut inner, rows, width);
        product_on_all(whole, Store::Overwrite, 1.0, x, self.a(delta).t());
        let mut dinner = vec![0.0; rows * width];
        for (i, part) in delta.parts.iter().enumerate() {
            let dout = Matrix::strided(&dout[part.first..], rows, part.columns, delta.outputs);
            product_on_all(
                MatrixMut::strided(&mut dinner[i * rank..], rows, rank, width),
                Store::Overwrite,
                self.scale(),
                dout,
                self.b(part),
            );
            let db = &mut gradient[part.b..part.b + part.columns * rank];
            product_on_all(
                MatrixMut::new(db, part.columns, rank),
                Store::Add,
                self.scale(),
                dout.t(),
                Matrix::strided(&inner[i * rank..], rows, rank, width),
            );
        }
        let da = &mut gradient[delta.a..delta.a + width * delta.inputs];
        product_on_all(
            MatrixMut::new(da, width, delta.inputs),
            Store::Add,
            1.0,
            Matrix::new(&dinner, rows, width).t(),
            x,
        );
    }

    /// The `A`s of all parts, `[parts * rank, inputs]`.
    fn a(&self, delta: &Delta) -> Matrix<'_> {
        let width = delta.parts.len() * self.config.rank;
        Matrix::new(&self.values[delta.a..], width, delta.inputs)
    }

    /// `[columns, rank]`.
    fn b(&self, part: &Part) -> Matrix<'_> {
        Matrix::new(&self.values[part.b..], part.columns, self.config.rank)
    }
}

fn is_a(spec: &ParameterSpec) -> bool {
    spec.name.ends_with(".lora_A.weight")
}

/// The matrices beside each target of each layer, and what each product of the base gets.
fn lay_out(
    config: &LoraConfig,
    base: &Layout,
) -> Result<(Vec<ParameterSpec>, HashMap<usize, Delta>), ModelError> {
    use Target::{DownProj, GateProj, KProj, OProj, QProj, UpProj, VProj};
    let weights: HashMap<&str, &ParameterSpec> = (base.specs().iter())
        .map(|spec| (spec.name.as_str(), spec))
        .collect();
    let rank = config.rank;
    check_rank(config, &weights)?;
    let mut writer = Writer::default();
    let mut deltas = HashMap::new();
    for (layer, at) in base.layers.iter().enumerate() {
        let products: [(usize, &[Target]); 4] = [
            (at.qkv, &[QProj, KProj, VProj]),
            (at.o, &[OProj]),
            (at.gate_up, &[GateProj, UpProj]),
            (at.down, &[DownProj]),
        ];
        for (product, members) in products {
            let members = members.iter().map(|target| {
                let name = format!("model.layers.{layer}.{}", target.path());
                (*target, weights[format!("{name}.weight").as_str()], name)
            });
            let members: Vec<_> = members.collect();
            let outputs = members.iter().map(|(_, weight, _)| weight.shape[0]).sum();
            let inputs = members[0].1.shape[1];
            let chosen: Vec<_> = (members.iter())
                .filter(|(target, ..)| config.targets.contains(target))
                .collect();
            let mut add = |name: &str, matrix: &str, shape: [usize; 2]| {
                let name = format!("base_model.model.{name}.lora_{matrix}.weight");
                writer.add(name, &shape, ParameterKind::Adapter)
            };
            let firsts: Vec<usize> = (chosen.iter())
                .map(|(.., name)| add(name, "A", [rank, inputs]))
                .collect();
            let Some(&a) = firsts.first() else { continue };
            let part = |(_, weight, name): &&(Target, &ParameterSpec, String)| Part {
                first: (weight.offset - product) / inputs,
                columns: weight.shape[0],
                b: add(name, "B", [weight.shape[0], rank]),
            };
            let delta = Delta {
                a,
                inputs,
                outputs,
                parts: chosen.iter().map(part).collect(),
            };
            deltas.insert(product, delta);
        }
    }
    Ok((writer.specs, deltas))
}

/// No matrix has a rank above its rows or columns; those of the first layer stand for all.
fn check_rank(
    config: &LoraConfig,
    weights: &HashMap<&str, &ParameterSpec>,
) -> Result<(), ModelError> {
    let shape = |target: Target| {
        let spec = weights[format!("model.layers.0.{}.weight", target.path()).as_str()];
        (spec.shape[0], spec.shape[1])
    };
    let shapes = config.targets.iter().map(|&target| (target, shape(target)));
    let smallest = shapes.min_by_key(|(_, (rows, columns))| *rows.min(columns));
    match smallest {
        Some((target, (rows, columns))) if config.rank > rows.min(columns) => {
            Err(ModelError::Rank {
                rank: config.rank,
                target: target.name(),
                rows,
                columns,
            })
        }
        _ => Ok(()),
    }
}
