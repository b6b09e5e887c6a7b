//! One step from a gradient: AdamW over the flat buffer, or Muon for its hidden matrices. The
//! same inputs give the same bits, and the state can be taken out and put back. Knows no
//! schedule and no loss.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::device::Moments;
use crate::error::ModelError;
use crate::muon::orthogonalise;
use crate::parameters::ParameterSpec;
use crate::profile::{Phase, Stopwatch};
use crate::shard::{Precision, Shard, Staged, Tensor};

/// Which rule updates the hidden matrices; all else is AdamW's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// AdamW (Loshchilov & Hutter 2019, algorithm 2, <https://arxiv.org/abs/1711.05101>).
    #[default]
    Adamw,
    /// Muon (Jordan et al. 2024, <https://kellerjordan.github.io/posts/muon/>).
    Muon,
}

/// The optimiser's settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct OptimizerConfig {
    /// Which rule updates the hidden matrices.
    pub kind: OptimizerKind,
    /// AdamW's learning rate.
    pub learning_rate: f32,
    /// Decay of the first and of the second moment.
    pub betas: [f32; 2],
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Share of a weight, times the learning rate, taken off each step; never off norms and
    /// biases.
    pub weight_decay: f32,
    /// Largest norm of the whole gradient; a longer one is shortened to it. 0 shortens none.
    pub grad_clip: f32,
    /// How a graphics card holds AdamW's moments: `bf16` takes 4 bytes a parameter less, and is
    /// rounded at random, so that small changes still count on average.
    pub moments: Precision,
    /// Muon's learning rate.
    pub muon_learning_rate: f32,
    /// Muon's momentum.
    pub muon_momentum: f32,
    /// Whether Muon looks ahead by one more momentum step.
    pub nesterov: bool,
    /// Muon's Newton-Schulz iterations.
    pub ns_steps: usize,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            kind: OptimizerKind::Adamw,
            learning_rate: 3e-4,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.0,
            grad_clip: 1.0,
            moments: Precision::F32,
            muon_learning_rate: 0.02,
            muon_momentum: 0.95,
            nesterov: true,
            ns_steps: 5,
        }
    }
}

impl OptimizerConfig {
    /// Refuses settings that mean nothing.
    pub fn check(&self) -> Result<(), ModelError> {
        let from_zero = "a number from 0 up";
        let below_one = "a number from 0 up to, not including, 1";
        let positive = |number: f32| number >= 0.0 && number.is_finite();
        let decay = |number: f32| (0.0..1.0).contains(&number);
        [
            (
                positive(self.learning_rate),
                "learning-rate",
                self.learning_rate,
                from_zero,
            ),
            (
                positive(self.muon_learning_rate),
                "muon-learning-rate",
                self.muon_learning_rate,
                from_zero,
            ),
            (
                positive(self.weight_decay),
                "weight-decay",
                self.weight_decay,
                from_zero,
            ),
            (
                positive(self.grad_clip),
                "grad-clip",
                self.grad_clip,
                from_zero,
            ),
            (positive(self.eps), "eps", self.eps, from_zero),
            (decay(self.betas[0]), "betas", self.betas[0], below_one),
            (decay(self.betas[1]), "betas", self.betas[1], below_one),
            (
                decay(self.muon_momentum),
                "muon-momentum",
                self.muon_momentum,
                below_one,
            ),
        ]
        .into_iter()
        .try_for_each(|(good, key, found, expected)| match good {
            true => Ok(()),
            false => Err(ModelError::setting(key, found, expected)),
        })
    }
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StepStats {
    /// Norm of the whole gradient before it was shortened.
    pub grad_norm: f32,
    /// What the gradient was multiplied by: below 1 when shortened.
    pub grad_scale: f32,
    /// False when the gradient was not finite: the weights and the state are then as before.
    pub applied: bool,
}

/// Everything that a resumed run needs to go on to the last bit.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizerState<'a> {
    /// Steps taken.
    pub step: u64,
    /// The moments, by name.
    pub buffers: Vec<(String, Cow<'a, [f32]>)>,
}

/// AdamW's share of the buffer, in pieces small enough to spread over threads. Their bounds
/// depend on the layout only.
pub(crate) struct Piece {
    pub(crate) range: Range<usize>,
    /// Where its second moments lie: they are kept for AdamW's share alone.
    packed: Range<usize>,
    pub(crate) decays: bool,
}

/// A matrix that Muon updates.
struct HiddenMatrix {
    range: Range<usize>,
    rows: usize,
    columns: usize,
}

const PIECE: usize = 1 << 15;
const FIRST: &str = "first-moment";
const SECOND: &str = "second-moment";

/// The rule and its moments.
pub struct Optimizer {
    config: OptimizerConfig,
    pub(crate) pieces: Vec<Piece>,
    matrices: Vec<HiddenMatrix>,
    pub(crate) moments: Moments,
    len: usize,
    step: u64,
}

impl Optimizer {
    /// An optimiser that has taken no step, of a buffer that `specs` fill one after another.
    pub fn new(config: OptimizerConfig, specs: &[ParameterSpec]) -> Self {
        Self::with(config, specs, |first, second| {
            Ok(Moments::Cpu {
                first: vec![0.0; first],
                second: vec![0.0; second],
            })
        })
        .expect("memory here is not counted")
    }

    /// An optimiser whose moments, of so many numbers, are made elsewhere.
    pub(crate) fn with(
        config: OptimizerConfig,
        specs: &[ParameterSpec],
        moments: impl FnOnce(usize, usize) -> Result<Moments, ModelError>,
    ) -> Result<Self, ModelError> {
        let by_muon = |spec: &&ParameterSpec| {
            config.kind == OptimizerKind::Muon && spec.kind.is_hidden_matrix()
        };
        let (muon, adamw): (Vec<_>, Vec<_>) = specs.iter().partition(by_muon);
        let pieces = pieces(&adamw);
        let matrix = |spec: &ParameterSpec| HiddenMatrix {
            range: spec.range(),
            rows: spec.shape[0],
            columns: spec.shape[1],
        };
        let len = specs.last().map_or(0, |spec| spec.range().end);
        Ok(Self {
            config,
            matrices: muon.into_iter().map(matrix).collect(),
            moments: moments(len, pieces.last().map_or(0, |piece| piece.packed.end))?,
            len,
            pieces,
            step: 0,
        })
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// Moves `parameters` against `gradient`, both in the order of the specs. `rate` is the
    /// schedule's factor on every learning rate.
    pub fn step(&mut self, parameters: &mut [f32], gradient: &[f32], rate: f32) -> StepStats {
        assert!(
            parameters.len() == self.len && gradient.len() == self.len,
            "parameters and gradient follow the specs"
        );
        let mut watch = Stopwatch::start();
        let stats = self.begin(gradient_norm(gradient));
        if stats.applied {
            self.adamw(parameters, gradient, stats.grad_scale, rate);
            self.muon(parameters, gradient, stats.grad_scale, rate);
        }
        watch.lap_on_all(Phase::Optimizer);
        stats
    }

    /// Counts a step along a gradient of this norm, unless it is not to be made.
    pub(crate) fn begin(&mut self, grad_norm: f64) -> StepStats {
        let applied = grad_norm.is_finite();
        self.step += u64::from(applied);
        StepStats {
            grad_norm: grad_norm as f32,
            grad_scale: self.clip(grad_norm),
            applied,
        }
    }

    /// The state to keep; borrowed where it is here.
    pub fn state(&self) -> Result<OptimizerState<'_>, ModelError> {
        let [first, second] = self.moments.numbers()?;
        Ok(OptimizerState {
            step: self.step,
            buffers: vec![(FIRST.into(), first), (SECOND.into(), second)],
        })
    }

    /// Puts a kept state back.
    pub fn restore(&mut self, state: OptimizerState<'_>) -> Result<(), ModelError> {
        let mut buffers = state.buffers;
        let mut take = |name: &str, len: usize| {
            let position = buffers.iter().position(|(found, _)| found == name);
            let values = position.map(|position| buffers.swap_remove(position).1);
            match values {
                Some(values) if values.len() == len => Ok(values.into_owned()),
                Some(values) => Err(ModelError::OptimizerState {
                    what: format!("`{name}` has {} values, expected {len}", values.len()),
                }),
                None => Err(ModelError::OptimizerState {
                    what: format!("`{name}` is missing"),
                }),
            }
        };
        let first = take(FIRST, self.len)?;
        let second = take(
            SECOND,
            self.pieces.last().map_or(0, |piece| piece.packed.end),
        )?;
        self.moments.replace(first, second)?;
        self.step = state.step;
        Ok(())
    }

    fn clip(&self, norm: f64) -> f32 {
        let limit = f64::from(self.config.grad_clip);
        if limit > 0.0 && norm > limit {
            (limit / norm) as f32
        } else {
            1.0
        }
    }

    /// The numbers of the step that was begun.
    pub(crate) fn rule(&self, grad_scale: f32, rate: f32) -> Adamw {
        let [beta1, beta2] = self.config.betas;
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(self.step as f64);
        let learning_rate = self.config.learning_rate * rate;
        Adamw {
            beta1,
            beta2,
            eps: self.config.eps,
            grad_scale,
            step_size: (f64::from(learning_rate) / correction(beta1)) as f32,
            second_scale: (1.0 / correction(beta2).sqrt()) as f32,
            shrink: 1.0 - learning_rate * self.config.weight_decay,
        }
    }

    fn adamw(&mut self, parameters: &mut [f32], gradient: &[f32], grad_scale: f32, rate: f32) {
        let rule = self.rule(grad_scale, rate);
        let (first, second) = self.moments.cpu();
        let ranges = || self.pieces.iter().map(|piece| piece.range.clone());
        let packed = self.pieces.iter().map(|piece| piece.packed.clone());
        let parameters = split(parameters, ranges());
        let first = split(first, ranges());
        let second = split(second, packed);
        (self.pieces.par_iter(), parameters, first, second)
            .into_par_iter()
            .for_each(|(piece, parameters, first, second)| {
                let gradient = &gradient[piece.range.clone()];
                rule.apply(parameters, gradient, first, second, piece.decays);
            });
    }

    /// Momentum, orthogonalised, scaled by sqrt(max(1, rows / columns)) so that a tall matrix
    /// moves its outputs as far.
    fn muon(&mut self, parameters: &mut [f32], gradient: &[f32], grad_scale: f32, rate: f32) {
        let config = &self.config;
        let learning_rate = config.muon_learning_rate * rate;
        let (momenta, _) = self.moments.cpu();
        for matrix in &self.matrices {
            let momentum = &mut momenta[matrix.range.clone()];
            let gradient = &gradient[matrix.range.clone()];
            let mut update = Vec::with_capacity(gradient.len());
            for (momentum, &gradient) in momentum.iter_mut().zip(gradient) {
                let gradient = gradient * grad_scale;
                *momentum = config.muon_momentum * *momentum + gradient;
                update.push(match config.nesterov {
                    true => config.muon_momentum * *momentum + gradient,
                    false => *momentum,
                });
            }
            orthogonalise(&mut update, matrix.rows, matrix.columns, config.ns_steps);
            let aspect = matrix.rows as f32 / matrix.columns as f32;
            let step_size = learning_rate * aspect.max(1.0).sqrt();
            let shrink = 1.0 - learning_rate * config.weight_decay;
            for (parameter, update) in parameters[matrix.range.clone()].iter_mut().zip(&update) {
                *parameter = *parameter * shrink - step_size * update;
            }
        }
    }
}

impl OptimizerState<'_> {
    /// Writes the state as one safetensors file; a failure leaves the file that was there.
    pub fn save(&self, path: &Path) -> Result<(), ModelError> {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a state is saved to a named file");
        let mut staged = Staged::new(path.parent().expect("a file is in a folder"))?;
        let lengths: Vec<_> = self
            .buffers
            .iter()
            .map(|(_, values)| [values.len()])
            .collect();
        let named = self.buffers.iter().zip(&lengths);
        let tensors = named.map(|((name, values), length)| {
            let tensor = Tensor {
                shape: length,
                values,
                precision: Precision::F32,
            };
            (name.as_str(), tensor)
        });
        staged.tensors(name, tensors.collect(), ("step", self.step.to_string()))?;
        staged.commit()
    }

    /// Reads what [`save`](Self::save) wrote.
    pub fn load(path: &Path) -> Result<OptimizerState<'static>, ModelError> {
        let mut file = Shard::open(path)?;
        let step = file.note("step").and_then(|step| step.parse().ok());
        let mut buffers = Vec::new();
        for name in file.names() {
            let mut values = vec![0.0; file.shape(&name).iter().product()];
            file.read(&name, &mut values)?;
            buffers.push((name, Cow::Owned(values)));
        }
        Ok(OptimizerState {
            step: step.ok_or_else(|| ModelError::Shard {
                path: path.into(),
                what: "its metadata has no `step`".into(),
            })?,
            buffers,
        })
    }
}

/// The numbers of one AdamW step.
pub(crate) struct Adamw {
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    pub(crate) eps: f32,
    pub(crate) grad_scale: f32,
    /// The learning rate over the first moment's bias correction.
    pub(crate) step_size: f32,
    /// What the second moment's root is multiplied by, for its bias.
    pub(crate) second_scale: f32,
    /// What a decaying weight keeps.
    pub(crate) shrink: f32,
}

impl Adamw {
    fn apply(
        &self,
        parameters: &mut [f32],
        gradient: &[f32],
        first: &mut [f32],
        second: &mut [f32],
        decays: bool,
    ) {
        let shrink = if decays { self.shrink } else { 1.0 };
        let moments = first.iter_mut().zip(second.iter_mut());
        for ((parameter, &gradient), (first, second)) in
            parameters.iter_mut().zip(gradient).zip(moments)
        {
            let gradient = gradient * self.grad_scale;
            *first += (1.0 - self.beta1) * (gradient - *first);
            *second = self.beta2 * *second + (1.0 - self.beta2) * gradient * gradient;
            let root = second.sqrt() * self.second_scale + self.eps;
            *parameter = *parameter * shrink - self.step_size * *first / root;
        }
    }
}

fn pieces(specs: &[&ParameterSpec]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut packed = 0;
    for spec in specs {
        let range = spec.range();
        for start in range.clone().step_by(PIECE) {
            let end = range.end.min(start + PIECE);
            let len = end - start;
            pieces.push(Piece {
                range: start..end,
                packed: packed..packed + len,
                decays: spec.kind.decays(),
            });
            packed += len;
        }
    }
    pieces
}

/// The given ranges of a slice, which ascend and do not overlap.
fn split(mut rest: &mut [f32], ranges: impl Iterator<Item = Range<usize>>) -> Vec<&mut [f32]> {
    let mut position = 0;
    ranges
        .map(|range| {
            let (_, from_start) = std::mem::take(&mut rest).split_at_mut(range.start - position);
            let (part, after) = from_start.split_at_mut(range.len());
            position = range.end;
            rest = after;
            part
        })
        .collect()
}

/// The Euclidean norm, in f64, summed in the same order whatever the threads.
pub(crate) fn gradient_norm(gradient: &[f32]) -> f64 {
    let sums: Vec<f64> = gradient.par_chunks(PIECE).map(sum_of_squares).collect();
    sums.iter().sum::<f64>().sqrt()
}

fn sum_of_squares(values: &[f32]) -> f64 {
    let mut lanes = [0.0; 8];
    for chunk in values.chunks(8) {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(value) * f64::from(value);
        }
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests;
