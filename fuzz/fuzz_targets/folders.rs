//! Shows bytes to `fuzz::folders`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::folders(bytes));
