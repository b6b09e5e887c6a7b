//! The view of a run under way: a thread that watches its folder as anybody could, and hands on
//! what is asked of the run.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;

use super::controls::Controls;
use crate::interrupt;
use crate::screen::{Key, Screen};
use crate::watching::Watching;

const KEYS: [(&str, &str); 4] = [
    ("p", "pause: after this step, until `p` again"),
    ("c", "checkpoint: after this step"),
    (
        "s",
        "stop: after this step, with a checkpoint to resume from",
    ),
    ("q", "quit: as `s`; once more ends the process at once"),
];

/// The terminal shows the run until this is dropped.
pub(super) struct View {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl View {
    pub(super) fn begin(run: &Path, controls: Arc<Controls>) -> Result<Self> {
        let watching = Watching::open(run, &KEYS)?;
        let screen = Screen::open()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let of_thread = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || show(screen, watching, &controls, &of_thread));
        Ok(Self {
            is_over,
            thread: Some(thread),
        })
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // A thread that panicked has said so, and the run went on.
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("warning: the view of this run ended early: {error}");
        }
    }
}

fn show(
    mut screen: Screen,
    mut watching: Watching,
    controls: &Controls,
    is_over: &AtomicBool,
) -> io::Result<()> {
    while !is_over.load(Ordering::Relaxed) {
        watching.look();
        watching.notice = controls.notice();
        screen.draw(|frame| watching.draw(frame))?;
        let Some(key) = screen.key(Duration::from_millis(100))? else {
            continue;
        };
        if watching.obey(key) {
            continue;
        }
        match key {
            Key::Letter('p') => controls.toggle_pause(),
            Key::Letter('c') => controls.ask_for_checkpoint(),
            Key::Letter('s') => controls.stop(),
            Key::Letter('q') | Key::Interrupt if controls.is_stopped() => interrupt::end(),
            Key::Letter('q') | Key::Interrupt => controls.stop(),
            _ => (),
        }
    }
    Ok(())
}
