//! Shows bytes to `fuzz::runs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::runs(bytes));
