//! The whole terminal as one picture, and the keys that are pressed meanwhile. Whatever happens,
//! the terminal is left as it was found.

use std::io::{self, IsTerminal, Stderr};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Frame, Terminal};

/// Whether the terminal shows the picture at this moment.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal, until this is dropped.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Stderr>>,
}

/// What was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Letter(char),
    Left,
    Right,
    Up,
    Down,
    PageUp,
    PageDown,
    Escape,
    /// Ctrl-C, which is no signal while the picture is shown.
    Interrupt,
}

/// Whether somebody sits before a terminal that can show a picture, and it is ours: not that of
/// another process in whose background we run, which must neither be drawn on nor read.
pub(crate) fn is_there() -> bool {
    let are_terminals =
        io::stdin().is_terminal() && io::stdout().is_terminal() && io::stderr().is_terminal();
    are_terminals && !is_dumb() && is_ours()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the environment enters through the binary"
)]
fn is_dumb() -> bool {
    std::env::var("TERM").is_ok_and(|term| term.is_empty() || term == "dumb")
}

fn is_ours() -> bool {
    rustix::termios::tcgetpgrp(io::stdin()).is_ok_and(|group| group == rustix::process::getpgrp())
}

/// Columns and lines of the terminal; of what is none, enough to read.
pub(crate) fn size() -> (u16, u16) {
    let size = io::stdout()
        .is_terminal()
        .then(ratatui::crossterm::terminal::size);
    match size {
        Some(Ok((width, height))) if width > 0 && height > 0 => (width, height),
        _ => (100, 40),
    }
}

impl Screen {
    pub(crate) fn open() -> io::Result<Self> {
        restore_at_panic();
        enable_raw_mode()?;
        IS_TAKEN.store(true, Ordering::Relaxed);
        let opened = || {
            // Cleared here: `Terminal::clear` asks where the cursor is, and not all terminals say.
            execute!(io::stderr(), EnterAlternateScreen, Clear(ClearType::All))?;
            let terminal = Terminal::new(CrosstermBackend::new(io::stderr()))?;
            Ok(Self { terminal })
        };
        opened().inspect_err(|_| restore())
    }

    /// Draws, unless somebody has given the terminal back already.
    pub(crate) fn draw(&mut self, picture: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        if IS_TAKEN.load(Ordering::Relaxed) {
            self.terminal.draw(picture)?;
        }
        Ok(())
    }

    /// The key that is pressed within this time.
    pub(crate) fn key(&self, wait: Duration) -> io::Result<Option<Key>> {
        if !event::poll(wait)? {
            return Ok(None);
        }
        let Event::Key(key) = event::read()? else {
            return Ok(None);
        };
        if key.kind == KeyEventKind::Release {
            return Ok(None);
        }
        Ok(match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                Some(Key::Interrupt)
            }
            KeyCode::Char(letter) => Some(Key::Letter(letter)),
            KeyCode::Left => Some(Key::Left),
            KeyCode::Right => Some(Key::Right),
            KeyCode::Up => Some(Key::Up),
            KeyCode::Down => Some(Key::Down),
            KeyCode::PageUp => Some(Key::PageUp),
            KeyCode::PageDown => Some(Key::PageDown),
            KeyCode::Esc => Some(Key::Escape),
            _ => None,
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back if it is taken. What fails on the way is of no help to anybody: the
/// terminal may be gone.
pub(crate) fn restore() {
    if IS_TAKEN.swap(false, Ordering::Relaxed) {
        let _ = execute!(io::stderr(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// A panic's message is for the terminal as it was.
fn restore_at_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
    });
}
