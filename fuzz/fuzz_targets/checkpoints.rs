//! Shows bytes to `fuzz::checkpoints`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::checkpoints(bytes));
