//! The sources of the kernels. Each is compiled behind `prelude.cuh`, for the card that is there.

use super::Source;

/// What every source may use: our own bf16, and what the hardware offers beyond C++.
pub(super) const PRELUDE: &str = include_str!("kernels/prelude.cuh");

macro_rules! sources {
    ($($name:ident = $file:literal),* $(,)?) => {
        $(
            #[doc = concat!("`kernels/", $file, "`.")]
            pub const $name: Source = Source { name: $file, text: include_str!(concat!("kernels/", $file)) };
        )*
        /// All of them.
        pub const SOURCES: &[Source] = &[$($name),*];
    };
}

sources! {
    ATTENTION = "attention.cu",
    CACHED = "cached.cu",
    HEAD = "head.cu",
    NORM = "norm.cu",
    OPTIMIZER = "optimizer.cu",
    ROTARY = "rotary.cu",
    ROWS = "rows.cu",
    SAMPLING = "sampling.cu",
    SWIGLU = "swiglu.cu",
}
