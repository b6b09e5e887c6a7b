//! Shows bytes to `fuzz::traces`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::traces(bytes));
