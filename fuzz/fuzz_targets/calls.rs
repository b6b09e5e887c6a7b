//! Shows bytes to `fuzz::calls`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::calls(bytes));
