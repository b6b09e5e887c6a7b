//! Shows bytes to `fuzz::tables`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::tables(bytes));
