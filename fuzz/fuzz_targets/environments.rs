//! Shows bytes to `fuzz::environments`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::environments(bytes));
