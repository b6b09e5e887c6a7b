//! BFCL's recorded calls and draws, made again, where the machine has them.

mod fuzz;
mod gold;
mod records;
mod throughput;
mod twister;
