//! Which of the processor's vector instructions the loops of this crate run with: found out once
//! at run time, so that one binary is fast on any machine.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::ModelError;

/// A set of vector instructions that the loops are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Instructions {
    /// What every processor of the architecture has: SSE2, or NEON.
    Baseline = 1,
    /// AVX2 with fused multiply-add: x86-64-v3.
    Avx2,
    /// AVX-512 F, BW, DQ and VL: x86-64-v4.
    Avx512,
}

static CHOSEN: AtomicU8 = AtomicU8::new(0);

impl Instructions {
    /// Worst first.
    pub const ALL: [Self; 3] = [Self::Baseline, Self::Avx2, Self::Avx512];

    /// The set in use: what [`choose`](Self::choose) chose, or the best that this machine has.
    pub fn current() -> Self {
        match CHOSEN.load(Ordering::Relaxed) {
            0 => {
                let best = Self::best();
                CHOSEN.store(best as u8, Ordering::Relaxed);
                best
            }
            1 => Self::Baseline,
            2 => Self::Avx2,
            _ => Self::Avx512,
        }
    }

    /// From now on the whole process uses the set of this name. Results differ between sets in
    /// the last bits, so choose before the first pass.
    pub fn choose(name: &str) -> Result<(), ModelError> {
        let set = (Self::ALL.into_iter().find(|set| set.name() == name)).filter(|set| set.exists());
        let Some(set) = set else {
            let names: Vec<&str> = (Self::ALL.iter().filter(|set| set.exists()))
                .map(|set| set.name())
                .collect();
            return Err(ModelError::Instructions {
                found: name.into(),
                expected: names.join(", "),
            });
        };
        CHOSEN.store(set as u8, Ordering::Relaxed);
        Ok(())
    }

    /// Its name, as [`choose`](Self::choose) takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Baseline if cfg!(target_arch = "aarch64") => "neon",
            Self::Baseline => "baseline",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Whether this machine has it.
    pub fn exists(self) -> bool {
        self <= Self::best()
    }

    #[cfg(target_arch = "x86_64")]
    fn best() -> Self {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        match (avx2, avx512) {
            (true, true) => Self::Avx512,
            (true, false) => Self::Avx2,
            _ => Self::Baseline,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn best() -> Self {
        Self::Baseline
    }
}

/// Compiles a function once for every set of instructions and calls the chosen one. Its body
/// sees two constants: `FMA`, whether the set has a fused multiply-add (without, it is a slow
/// call into the C library: write [`fma::<FMA>`](crate::numeric::fma)), and `WIDE`, whether it
/// has 32 registers of 16 numbers. What the body calls must be `inline(always)`.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident $([$generic:ident: $bound:path])?
        ($($argument:ident: $type:ty),* $(,)?) $(-> $out:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name $(<$generic: $bound>)? ($($argument: $type),*) $(-> $out)? {
            #[inline(always)]
            fn body<$($generic: $bound,)? const FMA: bool, const WIDE: bool>(
                $($argument: $type),*
            ) $(-> $out)? $body
            #[cfg(target_arch = "x86_64")]
            {
                use $crate::instructions::Instructions;
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512 $(<$generic: $bound>)? ($($argument: $type),*) $(-> $out)? {
                    body::<$($generic,)? true, true>($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2 $(<$generic: $bound>)? ($($argument: $type),*) $(-> $out)? {
                    body::<$($generic,)? true, false>($($argument),*)
                }
                #[expect(unsafe_code, reason = "the compiler cannot see what the machine has")]
                match Instructions::current() {
                    // SAFETY: `current` returns a set only if this machine has it.
                    Instructions::Avx512 => unsafe { avx512($($argument),*) },
                    // SAFETY: as above.
                    Instructions::Avx2 => unsafe { avx2($($argument),*) },
                    Instructions::Baseline => body::<$($generic,)? false, false>($($argument),*),
                }
            }
            #[cfg(not(target_arch = "x86_64"))]
            body::<$($generic,)? { cfg!(target_arch = "aarch64") }, false>($($argument),*)
        }
    };
}
pub(crate) use vectorised;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_set_is_refused_with_those_that_exist() {
        let error = Instructions::choose("sse9").unwrap_err().to_string();
        let worst = Instructions::Baseline.name();
        assert!(
            error.contains("sse9") && error.contains(worst),
            "the message was: {error}"
        );
    }
}
