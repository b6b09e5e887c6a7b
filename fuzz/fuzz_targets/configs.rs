//! Shows bytes to `fuzz::configs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::configs(bytes));
