//! A GPU by CUDA: the card, its memory, kernels compiled for it when the program runs, and matrix
//! products by cuBLASLt. Knows no layer and no model.
//!
//! Nothing of CUDA is needed to build this. The driver, NVRTC and cuBLASLt are looked for when a
//! [`Device`] is opened, and what is missing is an error that says where it comes from.
//! All work of a device goes to one stream, in the order of the calls, and nothing waits for it
//! but [`Array::download`].
//!
//! What a kernel does with its memory no compiler checks. Launching is safe all the same, since
//! the kernels are our own: `tests/emulated` runs them on the CPU, where each access is checked.

mod cubins;
mod device;
mod failure;
mod gemm;
mod graph;
pub mod kernels;
mod libraries;
mod memory;
mod program;
mod signature;

pub use device::Device;
pub use gemm::{Product, Side};
pub use graph::{Graph, Recorder};
pub use memory::{Address, Array, Number};
pub use program::{Arg, Grid, Program, Source};

/// Arguments of a kernel, in its order: arrays, addresses within arrays, and numbers.
#[macro_export]
macro_rules! args {
    ($($arg:expr),* $(,)?) => { &[$($crate::cuda::Arg::from($arg)),*] };
}
