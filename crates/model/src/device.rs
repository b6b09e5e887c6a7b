//! Where a model's numbers are and who computes with them: the one place that knows how many
//! answers there are to that.

use std::borrow::Cow;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

#[cfg(feature = "cuda")]
use crate::OptimizerKind;
use crate::backend::Done;
use crate::buffers::Buffers;
#[cfg(feature = "cuda")]
use crate::card::{self, Card, Resident};
use crate::cpu::Cpu;
#[cfg(feature = "cuda")]
use crate::cuda::{Array, Device};
use crate::error::ModelError;
use crate::generator::{self, Decode};
use crate::operations::{self, Checked};
use crate::optimizer::gradient_norm;
use crate::pass::Forward;
use crate::{
    Adapter, Coefficient, Keep, Model, Optimizer, OptimizerConfig, Parameters, Precision,
    StepStats, TokenTree, Weights,
};

/// What computes: `cpu`, or the graphics card `cuda:0`, as `nvidia-smi` counts them; `cuda` is
/// the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Place {
    /// This machine's processors.
    #[default]
    Cpu,
    /// A card by its number.
    Cuda(usize),
}

impl FromStr for Place {
    type Err = ModelError;

    fn from_str(name: &str) -> Result<Self, ModelError> {
        let number = match name {
            "cpu" => return Ok(Self::Cpu),
            "cuda" => Some(0),
            _ => name.strip_prefix("cuda:").and_then(|it| it.parse().ok()),
        };
        (number.map(Self::Cuda)).ok_or_else(|| ModelError::Place { name: name.into() })
    }
}

impl TryFrom<String> for Place {
    type Error = ModelError;

    fn try_from(name: String) -> Result<Self, ModelError> {
        name.parse()
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        match place {
            Place::Cpu => "cpu".into(),
            Place::Cuda(number) => format!("cuda:{number}"),
        }
    }
}

impl Place {
    /// What the card is and has left, in bytes; nothing of the CPU.
    pub fn look(self, cubins: &Path) -> Result<Option<(String, u64)>, ModelError> {
        match self {
            Self::Cpu => Ok(None),
            #[cfg(feature = "cuda")]
            Self::Cuda(number) => {
                let device = Device::open(number, cubins)?;
                let (free, _) = device.memory()?;
                Ok(Some((device.describe()?, free as u64)))
            }
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => {
                let _ = cubins;
                Err(ModelError::NoCuda)
            }
        }
    }
}

/// Where a model's numbers are.
#[derive(Default)]
pub(crate) enum Home {
    /// In the weights and the adapter themselves.
    #[default]
    Cpu,
    /// On a card; the weights and the adapter are as they were when they were put there.
    #[cfg(feature = "cuda")]
    Card(Box<Resident>),
}

impl Home {
    /// Takes on what is trained, where that is not the model's own to do.
    pub(crate) fn take_on(&self, trained: &[f32]) -> Done {
        match (self, trained) {
            (Self::Cpu, _) => Ok(()),
            #[cfg(feature = "cuda")]
            (Self::Card(resident), trained) => resident.write(trained),
        }
    }
}

/// The forward pass over one tree, with what its backward needs.
pub struct Pass<'m> {
    /// Log-probability of each target token, natural log, at the model's temperature.
    pub logprobs: Vec<f32>,
    /// Entropy of the distribution that each target was predicted with, in nats.
    pub entropies: Vec<f32>,
    on: On<'m>,
}

/// A pass on its device.
enum On<'m> {
    Cpu(Cpu<'m>, Box<Forward<Cpu<'m>>>),
    #[cfg(feature = "cuda")]
    Card(Card<'m>, Box<Forward<Card<'m>>>),
}

/// The gradient of everything that is trained, in f32 and in one buffer, laid out as
/// [`Model::trained`] says.
pub struct Gradient(Numbers);

/// Numbers on their device.
enum Numbers {
    Cpu(Vec<f32>),
    #[cfg(feature = "cuda")]
    Card(Array<f32>),
}

/// An optimiser's moments on their device.
pub(crate) enum Moments {
    Cpu {
        /// AdamW's first moment, or Muon's momentum: `[parameters]`.
        first: Vec<f32>,
        /// AdamW's second moment: `[AdamW's share]`.
        second: Vec<f32>,
    },
    #[cfg(feature = "cuda")]
    Card(card::Moments),
}

impl<'m> Pass<'m> {
    pub(crate) fn forward(
        model: &'m Model,
        tree: &TokenTree,
        targets: &[usize],
        keep: Keep,
        buffers: &Buffers,
    ) -> Done<Self> {
        match &model.home {
            Home::Cpu => {
                let buffers = buffers.clone();
                let mut cpu = Cpu { model, buffers };
                let mut forward = Forward::new(&mut cpu, tree, targets, keep)?;
                Ok(Self {
                    logprobs: std::mem::take(&mut forward.logprobs),
                    entropies: forward.entropies.clone(),
                    on: On::Cpu(cpu, Box::new(forward)),
                })
            }
            #[cfg(feature = "cuda")]
            Home::Card(resident) => {
                let mut card = Card { model, resident };
                let mut forward = Forward::new(&mut card, tree, targets, keep)?;
                Ok(Self {
                    logprobs: std::mem::take(&mut forward.logprobs),
                    entropies: forward.entropies.clone(),
                    on: On::Card(card, Box::new(forward)),
                })
            }
        }
    }

    /// Adds the gradient of `sum_i c_i.logprob * logprob_i + c_i.entropy * entropy_i` to
    /// `gradient`. One coefficient for each target.
    pub fn backward(self, coefficients: &[Coefficient], gradient: &mut Gradient) -> Done {
        match (self.on, &mut gradient.0) {
            (On::Cpu(mut cpu, forward), Numbers::Cpu(gradient)) => {
                check_length(cpu.model, gradient.len());
                forward.backward(&mut cpu, coefficients, gradient)
            }
            #[cfg(feature = "cuda")]
            (On::Card(mut card, forward), Numbers::Card(gradient)) => {
                check_length(card.model, gradient.len());
                forward.backward(&mut card, coefficients, gradient)
            }
            #[cfg(feature = "cuda")]
            _ => elsewhere(),
        }
    }
}

fn check_length(model: &Model, found: usize) {
    assert_eq!(
        found,
        model.trained_len(),
        "a gradient is laid out as what is trained"
    );
}

#[cfg(feature = "cuda")]
fn elsewhere() -> ! {
    panic!("a model, its gradient and its optimiser are on one device")
}

impl Gradient {
    pub(crate) fn zeros(model: &Model) -> Done<Self> {
        let len = model.trained_len();
        Ok(Self(match &model.home {
            Home::Cpu => Numbers::Cpu(vec![0.0; len]),
            #[cfg(feature = "cuda")]
            Home::Card(resident) => Numbers::Card(resident.gradient(len)?),
        }))
    }

    /// Back to zeros.
    pub fn clear(&mut self) -> Done {
        match &mut self.0 {
            Numbers::Cpu(numbers) => {
                numbers.fill(0.0);
                Ok(())
            }
            #[cfg(feature = "cuda")]
            Numbers::Card(numbers) => numbers.clear(),
        }
    }

    /// Its numbers, brought here if they are elsewhere.
    pub fn numbers(&self) -> Done<Cow<'_, [f32]>> {
        Ok(match &self.0 {
            Numbers::Cpu(numbers) => Cow::Borrowed(numbers),
            #[cfg(feature = "cuda")]
            Numbers::Card(numbers) => Cow::Owned(numbers.download()?),
        })
    }
}

impl Moments {
    /// Both moments, brought here if they are elsewhere.
    pub(crate) fn numbers(&self) -> Done<[Cow<'_, [f32]>; 2]> {
        Ok(match self {
            Self::Cpu { first, second } => [Cow::Borrowed(first), Cow::Borrowed(second)],
            #[cfg(feature = "cuda")]
            Self::Card(moments) => moments.download()?.map(Cow::Owned),
        })
    }

    /// Takes on others of the same lengths.
    pub(crate) fn replace(&mut self, to_first: Vec<f32>, to_second: Vec<f32>) -> Done {
        match self {
            Self::Cpu { first, second } => (*first, *second) = (to_first, to_second),
            #[cfg(feature = "cuda")]
            Self::Card(moments) => moments.write(&to_first, &to_second)?,
        }
        Ok(())
    }

    /// Both moments, which are here.
    pub(crate) fn cpu(&mut self) -> (&mut [f32], &mut [f32]) {
        match self {
            Self::Cpu { first, second } => (first, second),
            #[cfg(feature = "cuda")]
            Self::Card(_) => elsewhere(),
        }
    }
}

impl Model {
    /// Zeros for the gradient of what is trained.
    pub fn gradient(&self) -> Result<Gradient, ModelError> {
        Gradient::zeros(self)
    }

    /// Euclidean norm of a gradient.
    pub fn gradient_norm(&self, gradient: &Gradient) -> Result<f64, ModelError> {
        match (&self.home, &gradient.0) {
            (Home::Cpu, Numbers::Cpu(numbers)) => Ok(gradient_norm(numbers)),
            #[cfg(feature = "cuda")]
            (Home::Card(resident), Numbers::Card(numbers)) => resident.norm_of(numbers),
            #[cfg(feature = "cuda")]
            _ => elsewhere(),
        }
    }

    /// An optimiser of what is trained, that has taken no step. On a card, AdamW alone; moments
    /// in bfloat16, there alone.
    pub fn optimizer(&self, config: OptimizerConfig) -> Result<Optimizer, ModelError> {
        match &self.home {
            Home::Cpu if config.moments == Precision::Bf16 => Err(ModelError::Gpu {
                what: "`optimizer.moments` is `bf16`, which is for a graphics card alone".into(),
                hint: "set `optimizer.moments = \"f32\"`, or `engine.device = \"cuda\"`",
            }),
            Home::Cpu => Ok(Optimizer::new(config, self.trained())),
            #[cfg(feature = "cuda")]
            Home::Card(_) if config.kind == OptimizerKind::Muon => Err(ModelError::Gpu {
                what: "`optimizer.kind` is `muon`, which is computed on the CPU alone".into(),
                hint: "set `optimizer.kind = \"adamw\"`, or `engine.device = \"cpu\"`",
            }),
            #[cfg(feature = "cuda")]
            Home::Card(resident) => Optimizer::with(config, self.trained(), |len, _| {
                Ok(Moments::Card(resident.moments(
                    self,
                    config.moments,
                    len,
                )?))
            }),
        }
    }

    /// Lets the optimiser move what is trained; `rate` is the schedule's factor.
    pub fn step(
        &mut self,
        optimizer: &mut Optimizer,
        gradient: &Gradient,
        rate: f32,
    ) -> Result<StepStats, ModelError> {
        match (&self.home, &gradient.0) {
            (Home::Cpu, Numbers::Cpu(gradient)) => Ok(match &mut self.adapter {
                Some(adapter) => optimizer.step(&mut adapter.values, gradient, rate),
                None => (self.weights).change(|masters| optimizer.step(masters, gradient, rate)),
            }),
            #[cfg(feature = "cuda")]
            (Home::Card(resident), Numbers::Card(gradient)) => {
                let stats = optimizer.begin(resident.norm_of(gradient)?);
                if stats.applied {
                    let Moments::Card(moments) = &optimizer.moments else {
                        elsewhere()
                    };
                    let rule = optimizer.rule(stats.grad_scale, rate);
                    let step = (optimizer.steps(), &rule);
                    resident.adamw(self, step, &optimizer.pieces, gradient, moments)?;
                }
                Ok(stats)
            }
            #[cfg(feature = "cuda")]
            _ => elsewhere(),
        }
    }

    /// What is trained of the weights themselves, exact, brought here if it is elsewhere.
    pub fn masters(&self) -> Result<Option<Cow<'_, Parameters>>, ModelError> {
        let Some(masters) = self.weights.masters() else {
            return Ok(None);
        };
        Ok(Some(match &self.home {
            #[cfg(feature = "cuda")]
            Home::Card(resident) if self.adapter.is_none() => Cow::Owned(Parameters {
                layout: masters.layout.clone(),
                data: resident.masters(self)?,
            }),
            _ => Cow::Borrowed(masters),
        }))
    }

    /// The adapter as it is now, brought here if it is elsewhere.
    pub fn current_adapter(&self) -> Result<Option<Cow<'_, Adapter>>, ModelError> {
        let Some(adapter) = &self.adapter else {
            return Ok(None);
        };
        Ok(Some(match &self.home {
            Home::Cpu => Cow::Borrowed(adapter),
            #[cfg(feature = "cuda")]
            Home::Card(resident) => {
                let mut now = adapter.clone();
                now.values = resident.masters(self)?;
                Cow::Owned(now)
            }
        }))
    }

    /// Takes on weights to be trained further.
    pub fn restore(&mut self, masters: Parameters) -> Result<(), ModelError> {
        self.home.take_on(&masters.data)?;
        self.weights = Weights::trained(masters, self.weights.precision());
        Ok(())
    }

    /// Puts `other`, of the same shape, in the adapter's place, and the adapter in its.
    pub fn swap_adapter(&mut self, other: &mut Adapter) -> Result<(), ModelError> {
        let now = self
            .current_adapter()?
            .expect("there is one to swap")
            .into_owned();
        self.home.take_on(&other.values)?;
        self.adapter = Some(std::mem::replace(other, now));
        Ok(())
    }

    /// The same model once more, which stands still: a copy of what is trained is not made for it.
    pub fn copy(&self) -> Result<Self, ModelError> {
        Ok(Self {
            architecture: self.architecture.clone(),
            weights: self.weights.clone(),
            adapter: self.adapter.clone(),
            temperature: self.temperature,
            home: match &self.home {
                Home::Cpu => Home::Cpu,
                #[cfg(feature = "cuda")]
                Home::Card(resident) => Home::Card(Box::new(resident.copy()?)),
            },
        })
    }

    /// Puts the model where it then computes. On a card its weights are read in bfloat16, and
    /// what is trained has f32 masters there; kernels that were compiled before are found in the
    /// folder `cubins`.
    pub fn move_to(&mut self, place: Place, cubins: &Path) -> Result<(), ModelError> {
        match place {
            Place::Cpu => Ok(()),
            #[cfg(feature = "cuda")]
            Place::Cuda(number) => {
                let device = Device::open(number, cubins)?;
                self.home = Home::Card(Box::new(Resident::new(device, self)?));
                Ok(())
            }
            #[cfg(not(feature = "cuda"))]
            Place::Cuda(_) => {
                let _ = cubins;
                Err(ModelError::NoCuda)
            }
        }
    }

    /// Every operation of a pass in one place, on random numbers, held to the same in f64. On the
    /// CPU the errors are those of f32, on a card those of bfloat16.
    pub fn check_operations(place: Place, cubins: &Path) -> Result<Vec<Checked>, ModelError> {
        let mut model = operations::model();
        model.move_to(place, cubins)?;
        let mut gradient = model.gradient()?;
        match (&model.home, &mut gradient.0) {
            (Home::Cpu, Numbers::Cpu(gradient)) => {
                let buffers = Buffers::default();
                let mut cpu = Cpu {
                    model: &model,
                    buffers,
                };
                operations::check(&mut cpu, &mut gradient[..], &|it| Ok(it.to_vec()))
            }
            #[cfg(feature = "cuda")]
            (Home::Card(resident), Numbers::Card(gradient)) => {
                let mut card = Card {
                    model: &model,
                    resident,
                };
                operations::check(&mut card, gradient, &|it| it.download())
            }
            #[cfg(feature = "cuda")]
            _ => elsewhere(),
        }
    }

    /// Whole passes in one place, on random tokens: on a card held to those of the CPU over the
    /// same weights; and anywhere, texts that share a prefix to the same texts alone, and tokens
    /// as they are sampled to how they are scored.
    pub fn check_passes(place: Place, cubins: &Path) -> Result<Vec<Checked>, ModelError> {
        let mut model = operations::model();
        model.move_to(place, cubins)?;
        let here = model.is_on_card().then(operations::model);
        operations::check_passes(&model, here.as_ref())
    }

    /// Whether it is on a card.
    pub fn is_on_card(&self) -> bool {
        !matches!(self.home, Home::Cpu)
    }

    /// The card that the model is on, in a line; nothing of the CPU.
    pub fn card(&self) -> Result<Option<String>, ModelError> {
        match &self.home {
            Home::Cpu => Ok(None),
            #[cfg(feature = "cuda")]
            Home::Card(resident) => resident.device.describe().map(Some),
        }
    }

    /// The most bytes that the model's card had in use at a time, since the last
    /// [`forget_card_peak`](Self::forget_card_peak); nothing of the CPU.
    pub fn card_peak(&self) -> Option<u64> {
        match &self.home {
            Home::Cpu => None,
            #[cfg(feature = "cuda")]
            Home::Card(resident) => Some(resident.device.peak() as u64),
        }
    }

    /// Begins [`card_peak`](Self::card_peak) anew.
    pub fn forget_card_peak(&self) {
        match &self.home {
            Home::Cpu => {}
            #[cfg(feature = "cuda")]
            Home::Card(resident) => resident.device.forget_peak(),
        }
    }

    /// What samples where the model is, sequences of at most `positions` tokens.
    pub(crate) fn decoder(&self, positions: usize) -> Done<Box<dyn Decode + '_>> {
        Ok(match &self.home {
            Home::Cpu => Box::new(generator::Decoder::new(self, positions)),
            #[cfg(feature = "cuda")]
            Home::Card(resident) => {
                let card = Card {
                    model: self,
                    resident,
                };
                Box::new(card::Decoder::new(card, positions)?)
            }
        })
    }

    /// Whether everything that is trained is a finite number.
    pub fn is_finite(&self) -> Result<bool, ModelError> {
        match &self.home {
            Home::Cpu => Ok(self.is_finite_here()),
            #[cfg(feature = "cuda")]
            Home::Card(resident) => resident.is_finite(self),
        }
    }
}
