//! Writes things; holds `tidy`.
fn main() {}
