//! Token trees in, log-probabilities out; and back. Weights, sampling, optimisers.
//! Knows no message, no tool and no reward.

mod adapter;
mod architecture;
mod attention;
mod buffers;
mod error;
mod flops;
mod folder;
mod footprint;
mod generator;
mod instructions;
mod machine;
mod model;
mod muon;
mod numeric;
mod optimizer;
mod parameters;
mod pass;
mod product;
mod profile;
mod rotary;
mod sampling;
mod schedule;
mod shard;
mod tree;
mod weights;

pub use adapter::{Adapter, AdapterFolder, LoraConfig, Target};
pub use architecture::{Architecture, Family, Preset, RopeScaling};
pub use buffers::Buffers;
pub use error::ModelError;
pub use flops::{Flops, attended_pairs};
pub use folder::{load, load_architecture, load_frozen, save};
pub use footprint::{Footprint, cached_numbers, optimizer_numbers, packed_numbers};
pub use generator::{CacheStats, Generator, Sampled};
pub use instructions::Instructions;
pub use machine::{measure_bandwidth, measure_gemm};
pub use model::{Coefficient, Keep, Model};
pub use optimizer::{
    Optimizer, OptimizerConfig, OptimizerKind, OptimizerState, StepStats, gradient_norm,
};
pub use parameters::{LayerOffsets, Layout, ParameterKind, ParameterSpec, Parameters, init};
pub use pass::Pass;
pub use profile::{start_profile, take_profile};
pub use sampling::{Sampling, rng, sample};
pub use schedule::{Schedule, ScheduleKind};
pub use shard::Precision;
pub use tree::{Node, TokenTree};
pub use weights::{Rounded, Weights};
