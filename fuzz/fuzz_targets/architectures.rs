//! Shows bytes to `fuzz::architectures`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::architectures(bytes));
