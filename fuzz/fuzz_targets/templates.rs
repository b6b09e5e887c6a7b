//! Shows bytes to `fuzz::templates`.

#![no_main]

libfuzzer_sys::fuzz_target!(
    init: {
        // The library's own panics are caught where it is called; those that nobody catches
        // still end the fuzzer.
        std::panic::set_hook(Box::new(|_| {}));
    },
    |bytes: &[u8]| fuzz::templates(bytes)
);
