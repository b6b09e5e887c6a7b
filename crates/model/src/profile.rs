//! Where the time of passes and steps goes, by phase, for the whole process. Measured only after
//! [`start_profile`]; before, a lap costs one look at a flag.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Declares the phases with the names that people read.
macro_rules! phases {
    ($($phase:ident $name:literal)*) => {
        /// A part of a pass or of a step.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Phase {
            $($phase),*
        }

        impl Phase {
            const NAMES: &[&'static str] = &[$($name),*];
        }
    };
}

phases! {
    Packing "packing weights"
    Embedding "embedding"
    Norm "norms"
    Qkv "query, key, value"
    Layout "rotary, layout"
    Attention "attention"
    Output "attention output"
    GateUp "gate, up"
    Swiglu "swiglu"
    Down "down"
    Head "head"
    Sampling "sampling"
    HeadBackward "head, backward"
    DownBackward "down, backward"
    SwigluBackward "swiglu, backward"
    GateUpBackward "gate, up, backward"
    OutputBackward "attention output, backward"
    LayoutBackward "rotary, layout, backward"
    AttentionBackward "attention, backward"
    QkvBackward "query, key, value, backward"
    NormBackward "norms, backward"
    WeightGradient "weight gradients"
    EmbeddingBackward "embedding, backward"
    Optimizer "optimizer"
}

struct Profile {
    clock: Arc<dyn Fn() -> Duration + Send + Sync>,
    /// Nanoseconds of all threads together, by phase.
    spent: [AtomicU64; Phase::NAMES.len()],
}

static PROFILE: OnceLock<Profile> = OnceLock::new();

/// From now on this process measures; `clock` is time since some fixed moment.
pub fn start_profile(clock: Arc<dyn Fn() -> Duration + Send + Sync>) {
    PROFILE.get_or_init(|| Profile {
        clock,
        spent: std::array::from_fn(|_| AtomicU64::new(0)),
    });
}

/// Seconds of all threads together that each phase took since the last call, in the order of a
/// step; those that took none are left out.
pub fn take_profile() -> Vec<(&'static str, f64)> {
    let spent = PROFILE.get().map_or(&[][..], |profile| &profile.spent);
    (Phase::NAMES.iter().zip(spent))
        .map(|(name, spent)| (*name, spent.swap(0, Ordering::Relaxed) as f64 / 1e9))
        .filter(|(_, seconds)| *seconds > 0.0)
        .collect()
}

/// Counts the time from its start, or its last lap, to the next.
pub(crate) struct Stopwatch {
    /// The last lap's end, if anything is measured.
    last: Option<Duration>,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        let last = PROFILE.get().map(|profile| (profile.clock)());
        Self { last }
    }

    /// What came since the last lap was this phase, on the calling thread.
    pub(crate) fn lap(&mut self, phase: Phase) {
        self.add(phase, 1);
    }

    /// What came since the last lap was this phase, on all threads.
    pub(crate) fn lap_on_all(&mut self, phase: Phase) {
        self.add(phase, rayon::current_num_threads() as u64);
    }

    fn add(&mut self, phase: Phase, threads: u64) {
        if let (Some(last), Some(profile)) = (&mut self.last, PROFILE.get()) {
            let now = (profile.clock)();
            let spent = (now - *last).as_nanos() as u64 * threads;
            profile.spent[phase as usize].fetch_add(spent, Ordering::Relaxed);
            *last = now;
        }
    }
}
