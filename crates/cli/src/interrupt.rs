//! The first interrupt asks a run to stop after its step; the second ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::screen;

/// Whether somebody asked to stop.
#[derive(Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Watches for SIGINT and SIGTERM from now on.
    pub(crate) fn watch() -> Result<Self> {
        let interrupt = Self::default();
        let of_thread = interrupt.clone();
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        std::thread::spawn(move || {
            for _ in signals.forever() {
                if of_thread.0.swap(true, Ordering::Relaxed) {
                    end();
                }
            }
        });
        Ok(interrupt)
    }

    /// Asks as an interrupt does.
    pub(crate) fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Ends the process at once, with the terminal as it was found.
pub(crate) fn end() -> ! {
    screen::restore();
    signal_hook::low_level::exit(130)
}
