//! The binary `pact`.
fn main() {}
