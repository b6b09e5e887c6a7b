//! The layer between this program and a GPU, on an emulated one.

#[path = "../emulated/mod.rs"]
mod emulated;

mod compiled;
mod device;
mod generator;
mod pass;
mod products;
mod refused;
