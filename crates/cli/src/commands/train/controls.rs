//! What whoever watches a run asks of it, and what the run obeys between two steps. Neither knows
//! of the other.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::interrupt::Interrupt;

/// Wishes, from one thread to another.
pub(super) struct Controls {
    interrupt: Interrupt,
    is_paused: AtomicBool,
    wants_checkpoint: AtomicBool,
}

impl Controls {
    /// With the interrupts of the process, which stop a run too.
    pub(super) fn new(interrupt: Interrupt) -> Self {
        Self {
            interrupt,
            is_paused: AtomicBool::new(false),
            wants_checkpoint: AtomicBool::new(false),
        }
    }

    /// Asks to stop after this step, with a checkpoint.
    pub(super) fn stop(&self) {
        self.interrupt.ask();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.interrupt.is_asked()
    }

    /// Asks to pause after this step, or to go on.
    pub(super) fn toggle_pause(&self) {
        self.is_paused.fetch_xor(true, Ordering::Relaxed);
    }

    /// Whether to wait. Whoever is asked to stop does not.
    pub(super) fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Relaxed) && !self.is_stopped()
    }

    /// Asks for a checkpoint after this step.
    pub(super) fn ask_for_checkpoint(&self) {
        self.wants_checkpoint.store(true, Ordering::Relaxed);
    }

    pub(super) fn wants_checkpoint(&self) -> bool {
        self.wants_checkpoint.load(Ordering::Relaxed)
    }

    /// Whether a checkpoint was asked for, which is granted now.
    pub(super) fn take_checkpoint(&self) -> bool {
        self.wants_checkpoint.swap(false, Ordering::Relaxed)
    }

    /// What was asked for and is still to come, for whoever asked.
    pub(super) fn notice(&self) -> Option<&'static str> {
        if self.is_stopped() {
            return Some(
                "stops after this step with a checkpoint; once more ends the process at once",
            );
        }
        match (self.wants_checkpoint(), self.is_paused()) {
            (true, _) => Some("writes a checkpoint after this step"),
            (false, true) => Some("held after this step, until `p`"),
            (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_told_until_it_is_granted_and_who_stops_does_not_wait() {
        let controls = Controls::new(Interrupt::default());
        assert_eq!(controls.notice(), None);
        controls.toggle_pause();
        assert!(controls.is_paused());
        controls.ask_for_checkpoint();
        assert!(
            controls
                .notice()
                .is_some_and(|it| it.contains("checkpoint"))
        );
        assert!(controls.take_checkpoint() && !controls.take_checkpoint());
        assert!(controls.notice().is_some_and(|it| it.starts_with("held")));
        controls.stop();
        assert!(controls.is_stopped() && !controls.is_paused());
        assert!(controls.notice().is_some_and(|it| it.starts_with("stops")));
    }
}
