//! Shows bytes to `fuzz::parquet`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::parquet(bytes));
