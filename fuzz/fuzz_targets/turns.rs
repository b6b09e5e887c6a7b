//! Shows bytes to `fuzz::turns`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::turns(bytes));
