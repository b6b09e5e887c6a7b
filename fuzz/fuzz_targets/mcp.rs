//! Shows bytes to `fuzz::mcp`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::mcp(bytes));
