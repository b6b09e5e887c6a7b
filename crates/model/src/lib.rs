//! Token trees in, log-probabilities out; and back. Weights, sampling, optimisers.
//! Knows no message, no tool and no reward.
//!
//! Two rollouts of one prompt share what they have in common:
//!
//! ```
//! use model::TokenTree;
//!
//! let prompt = [1, 2, 3, 4];
//! let (first, second) = ([&prompt[..], &[5, 6]].concat(), [&prompt[..], &[7]].concat());
//! let (tree, places) = TokenTree::from_sequences(&[&first, &second]);
//!
//! assert_eq!(tree.len(), 7, "of eleven tokens");
//! assert_eq!(places[0][..4], places[1][..4]);
//! // Positions count along the path, so that both go on from the prompt's end.
//! assert_eq!(tree.position(places[0][4]), 4);
//! assert_eq!(tree.position(places[1][4]), 4);
//! ```

mod adapter;
mod architecture;
mod attention;
mod backend;
mod buffers;
#[cfg(feature = "cuda")]
mod card;
mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod device;
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
mod operations;
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
pub use device::{Gradient, Pass, Place};
pub use error::{DeviceMemory, ModelError};
pub use flops::{Flops, attended_pairs};
pub use folder::{load, load_architecture, load_frozen, save};
pub use footprint::{Footprint, cached_numbers, optimizer_numbers, packed_numbers};
pub use generator::{CacheStats, Generator, Sampled};
pub use instructions::Instructions;
pub use machine::{measure_bandwidth, measure_gemm};
pub use model::{Coefficient, Keep, Model};
pub use operations::Checked;
pub use optimizer::{Optimizer, OptimizerConfig, OptimizerKind, OptimizerState, StepStats};
pub use parameters::{LayerOffsets, Layout, ParameterKind, ParameterSpec, Parameters, init};
pub use profile::{start_profile, take_profile};
pub use sampling::{Sampling, rng, sample};
pub use schedule::{Schedule, ScheduleKind};
pub use shard::Precision;
pub use tree::{Node, TokenTree};
pub use weights::{Rounded, Weights};
