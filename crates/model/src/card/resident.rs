//! A model's numbers on a card, and the programs that compute with them.

use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use half::bf16;

use crate::backend::Done;
use crate::cuda::{Array, Device, Program, kernels};
use crate::error::ModelError;
use crate::rotary::Rotary;
use crate::{Architecture, Model, Weights};

const WEIGHTS: &str = "weights";

/// A model on a card.
pub(crate) struct Resident {
    pub(crate) device: Device,
    /// What passes read, laid out as the model's layout says.
    pub(super) weights: Array<bf16>,
    /// What an optimiser moves: the weights before rounding, or the adapter's matrices. Put there
    /// when it is first asked for, since many models stand still.
    masters: OnceLock<Array<f32>>,
    /// Whether the model's own numbers are what is trained.
    trains: bool,
    /// The adapter's matrices as passes read them.
    adapter: Option<Array<bf16>>,
    turning: Mutex<Option<Turning>>,
    programs: Arc<Programs>,
}

/// All kernels, for one width of heads.
pub(crate) struct Programs {
    pub(super) rows: Program,
    pub(super) norm: Program,
    pub(super) swiglu: Program,
    pub(super) rotary: Program,
    pub(super) attention: Program,
    pub(super) cached: Program,
    pub(super) head: Program,
    pub(super) sampling: Program,
    pub(super) optimizer: Program,
    pub(super) shared: SharedMemory,
}

impl Deref for Resident {
    type Target = Programs;

    fn deref(&self) -> &Programs {
        &self.programs
    }
}

impl Programs {
    fn new(device: &Device, head_dim: usize) -> Done<Self> {
        let plain = |source| device.program(source, &[]);
        let per_head = |source| device.program(source, &[("HEAD_DIM", head_dim)]);
        Ok(Self {
            rows: plain(kernels::ROWS)?,
            norm: plain(kernels::NORM)?,
            swiglu: plain(kernels::SWIGLU)?,
            rotary: per_head(kernels::ROTARY)?,
            attention: per_head(kernels::ATTENTION)?,
            cached: per_head(kernels::CACHED)?,
            head: plain(kernels::HEAD)?,
            sampling: plain(kernels::SAMPLING)?,
            optimizer: plain(kernels::OPTIMIZER)?,
            shared: SharedMemory::of(head_dim),
        })
    }
}

/// Bytes of shared memory of attention's kernels.
#[derive(Clone, Copy)]
pub(crate) struct SharedMemory {
    pub(super) forward: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) cached: usize,
}

impl SharedMemory {
    /// As `kernels/attention.cu` and `kernels/cached.cu` say of each kernel.
    fn of(head_dim: usize) -> Self {
        Self {
            forward: 512 * head_dim + 512,
            queries: 640 * head_dim + 512,
            keys: 512 * head_dim + 512,
            cached: 512 * head_dim,
        }
    }
}

/// cos and sin of every angle, `[positions, head_dim / 2]` each.
#[derive(Clone)]
pub(super) struct Turning {
    positions: usize,
    pub(super) cos: Arc<Array<f32>>,
    pub(super) sin: Arc<Array<f32>>,
}

impl Resident {
    /// Puts a model's weights, and those of its adapter, on a card.
    pub(crate) fn new(device: Device, model: &Model) -> Done<Self> {
        let a = &model.architecture;
        check(a)?;
        let adapter = model.adapter.as_ref().map(|it| &it.values[..]);
        Ok(Self {
            weights: match &model.weights {
                Weights::F32(exact) => device.upload(WEIGHTS, &rounded(&exact.data))?,
                Weights::Bf16(rounded) | Weights::Mixed { rounded, .. } => {
                    device.upload(WEIGHTS, &rounded.data)?
                }
            },
            adapter: (adapter.map(|it| device.upload(WEIGHTS, &rounded(it)))).transpose()?,
            masters: OnceLock::new(),
            trains: true,
            programs: Arc::new(Programs::new(&device, a.head_dim)?),
            turning: Mutex::new(None),
            device,
        })
    }

    /// The same numbers once more, of which none is trained.
    pub(crate) fn copy(&self) -> Done<Self> {
        let copied = |from: &Array<bf16>| -> Done<Array<bf16>> {
            let to = self.device.uninitialised(WEIGHTS, from.len())?;
            to.copy(0, from, 0, from.len())?;
            Ok(to)
        };
        Ok(Self {
            device: self.device.clone(),
            weights: copied(&self.weights)?,
            masters: OnceLock::new(),
            trains: false,
            adapter: self.adapter.as_ref().map(copied).transpose()?,
            turning: Mutex::new(None),
            programs: Arc::clone(&self.programs),
        })
    }

    /// The adapter's matrices as passes read them.
    pub(super) fn adapter_values(&self) -> &Array<bf16> {
        self.adapter
            .as_ref()
            .expect("a model with an adapter has it on its card")
    }

    /// What is trained of `model`, whose numbers these are, and how passes read it.
    pub(super) fn trained(&self, model: &Model) -> Done<(&Array<f32>, &Array<bf16>)> {
        assert!(self.trains, "a copy stands still");
        let exact = || match &model.adapter {
            Some(adapter) => &adapter.values[..],
            None => {
                &(model.weights.masters())
                    .expect("what is trained has f32 masters")
                    .data
            }
        };
        Ok((self.masters_or(exact)?, self.read_as()))
    }

    /// The masters, which begin as `exact`.
    fn masters_or<'a>(&self, exact: impl FnOnce() -> &'a [f32]) -> Done<&Array<f32>> {
        Ok(match self.masters.get() {
            Some(masters) => masters,
            None => {
                let masters = self.device.upload(WEIGHTS, exact())?;
                self.masters.get_or_init(|| masters)
            }
        })
    }

    /// What passes read of what is trained.
    fn read_as(&self) -> &Array<bf16> {
        self.adapter.as_ref().unwrap_or(&self.weights)
    }

    /// What an optimiser moves, brought here.
    pub(crate) fn masters(&self, model: &Model) -> Done<Vec<f32>> {
        self.trained(model)?.0.download()
    }

    /// Takes on what is trained.
    pub(crate) fn write(&self, values: &[f32]) -> Done {
        self.masters_or(|| values)?.write(0, values)?;
        self.read_as().write(0, &rounded(values))
    }

    /// Angles of at least so many positions.
    pub(super) fn turning(&self, architecture: &Architecture, positions: usize) -> Done<Turning> {
        let mut known = self.turning.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turning) = known.as_ref().filter(|it| it.positions >= positions) {
            return Ok(turning.clone());
        }
        // Room to grow, so that longer and longer texts do not make it anew each time.
        let positions = positions.next_power_of_two();
        let Rotary { cos, sin, .. } = Rotary::new(architecture, positions);
        let turning = Turning {
            positions,
            cos: Arc::new(self.device.upload("activations", &cos)?),
            sin: Arc::new(self.device.upload("activations", &sin)?),
        };
        Ok(known.insert(turning).clone())
    }
}

pub(super) fn rounded(values: &[f32]) -> Vec<bf16> {
    values.iter().map(|&value| bf16::from_f32(value)).collect()
}

/// Refuses shapes that the kernels do not cover.
fn check(a: &Architecture) -> Result<(), ModelError> {
    let wrong = match a {
        _ if ![16, 32, 64, 128].contains(&a.head_dim) => {
            format!("`head_dim` is {}, expected 16, 32, 64 or 128", a.head_dim)
        }
        _ if !a.hidden_size.is_multiple_of(8) => {
            format!(
                "`hidden_size` is {}, expected a multiple of 8",
                a.hidden_size
            )
        }
        _ if !a.intermediate_size.is_multiple_of(8) => {
            let found = a.intermediate_size;
            format!("`intermediate_size` is {found}, expected a multiple of 8")
        }
        _ => return Ok(()),
    };
    Err(ModelError::Gpu {
        what: format!("the model's {wrong} on a GPU"),
        hint: "train it with `engine.device = \"cpu\"`",
    })
}
