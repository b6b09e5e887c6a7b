//! A run that somebody watches: its folder as a frame, and the keys that choose what is shown.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use chat::Chat;
use live::{Moment, Page, RunState, View};
use ratatui::Frame;
use rustix::process::{Pid, test_kill_process};

use crate::screen::Key;
use crate::{clock, terminal, tokenizer};

/// The time between looks at the folder, within which no key waits.
const BETWEEN: Duration = Duration::from_millis(500);

/// Keys that work wherever a run is watched.
pub(crate) const KEYS: [(&str, &str); 4] = [
    ("e", "episode: on a page of its own, and back"),
    (
        "←→",
        "choose: the episode before or after; after the last, the newest",
    ),
    ("↑↓", "scroll: by a line; by ten with page up and page down"),
    ("?", "help: these keys"),
];

pub(crate) struct Watching {
    run: RunState,
    view: View,
    /// `None` where the run's tokenizer is not at hand.
    chat: Option<Chat>,
    keys: Vec<(&'static str, &'static str)>,
    /// What was asked of the run and is still to come.
    pub(crate) notice: Option<&'static str>,
    clock: train::Clock,
    /// When the folder was looked at last, by `clock`.
    looked: Duration,
}

impl Watching {
    /// `keys` are the watcher's own beside [`KEYS`].
    pub(crate) fn open(folder: &Path, keys: &[(&'static str, &'static str)]) -> Result<Self> {
        Ok(Self {
            run: RunState::open(folder)?,
            view: View::default(),
            chat: tokenizer::of_run(folder).ok(),
            keys: keys.iter().chain(&KEYS).copied().collect(),
            notice: None,
            clock: clock::start(),
            looked: Duration::ZERO,
        })
    }

    /// Takes in what the run has written, if it is time.
    pub(crate) fn look(&mut self) {
        let now = (self.clock)();
        if now - self.looked >= BETWEEN {
            self.run.poll();
            self.looked = now;
        }
    }

    /// Whether the key was one of [`KEYS`], and is obeyed.
    pub(crate) fn obey(&mut self, key: Key) -> bool {
        match key {
            Key::Left => self.view.older(),
            Key::Right => self.view.newer(),
            Key::Up => self.view.scroll(-1),
            Key::Down => self.view.scroll(1),
            Key::PageUp => self.view.scroll(-10),
            Key::PageDown => self.view.scroll(10),
            Key::Letter('e') => self.view.toggle(Page::Episode),
            Key::Letter('?' | 'h') => self.view.toggle(Page::Help),
            Key::Escape if self.view.page != Page::Run => self.view.page = Page::Run,
            Key::Letter(_) | Key::Escape | Key::Interrupt => return false,
        }
        true
    }

    pub(crate) fn draw(&mut self, frame: &mut Frame<'_>) {
        self.with_moment(|run, view, moment| live::draw(frame, run, view, moment));
    }

    /// One frame as text.
    pub(crate) fn page(&mut self, width: u16, height: u16) -> String {
        let mut page = String::new();
        self.with_moment(|run, view, moment| page = live::page(run, view, moment, width, height));
        page
    }

    fn with_moment(&mut self, show: impl FnOnce(&RunState, &mut View, &Moment<'_>)) {
        let chat = self.chat.as_ref();
        let decode = chat.map(|chat| |tokens: &[u32]| chat.decode(tokens));
        let moment = Moment {
            now: clock::since_1970(),
            is_here: self.run.status().is_some_and(|it| is_alive(it.process)),
            decode: decode.as_ref().map(|decode| decode as live::Decode<'_>),
            notice: self.notice,
            colour: terminal::stdout_has_colour(),
            keys: &self.keys,
        };
        show(&self.run, &mut self.view, &moment);
    }
}

/// Whether a process of this number is on this machine.
fn is_alive(process: u32) -> bool {
    let number = i32::try_from(process).ok().and_then(Pid::from_raw);
    // A process that we may not signal is there.
    number.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}
