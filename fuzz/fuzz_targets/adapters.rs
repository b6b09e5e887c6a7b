//! Shows bytes to `fuzz::adapters`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::adapters(bytes));
