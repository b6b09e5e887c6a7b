//! Shows bytes to `fuzz::replies`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::replies(bytes));
