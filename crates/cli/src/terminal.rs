//! What people watch while work is under way: a bar on a terminal, plain lines elsewhere.
//! Everything goes to the standard error; results go to the standard output.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Counts what is done of a known total.
pub(crate) struct Progress {
    bar: ProgressBar,
    is_terminal: bool,
}

impl Progress {
    /// Says nothing: the whole terminal shows something else.
    pub(crate) fn silent() -> Self {
        let bar = ProgressBar::hidden();
        let is_terminal = true;
        Self { bar, is_terminal }
    }

    /// `what` names the things that are counted.
    pub(crate) fn new(total: u64, what: &'static str) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        if !is_terminal {
            let bar = ProgressBar::hidden();
            return Self { bar, is_terminal };
        }
        let bar = ProgressBar::new(total)
            .with_style(style())
            .with_message(what);
        // The time goes on while a step takes long.
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { bar, is_terminal }
    }

    pub(crate) fn set(&self, done: u64) {
        self.bar.set_position(done);
    }

    pub(crate) fn advance(&self) {
        self.bar.inc(1);
    }

    /// A line that stays, above the bar.
    pub(crate) fn line(&self, text: &str) {
        self.speaker()(text);
    }

    /// What writes such lines from another thread.
    pub(crate) fn speaker(&self) -> impl Fn(&str) + Send + 'static {
        let (bar, is_terminal) = (self.bar.clone(), self.is_terminal);
        move |text| match is_terminal {
            true => bar.println(text),
            false => eprintln!("{text}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:32} {pos}/{len} {msg}, {elapsed} gone, {eta} to go")
        .expect("the template is well formed")
}

/// Whether the standard output takes colour: a terminal, and no `NO_COLOR`.
pub(crate) fn stdout_has_colour() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
}

/// An error's message, with what it is and its hint set off.
pub(crate) fn print_error(message: &str) {
    let bold_red = anstyle::AnsiColor::Red.on_default().bold();
    let cyan = anstyle::AnsiColor::Cyan.on_default();
    let message = message.replace("\nhint:", &format!("\n{cyan}hint:{cyan:#}"));
    anstream::eprintln!("{bold_red}error:{bold_red:#} {message}");
}

/// How this binary was called, for commands that people are to type.
#[expect(
    clippy::disallowed_methods,
    reason = "arguments enter through the binary"
)]
pub(crate) fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "pact".to_owned())
}

/// The command line of this process.
#[expect(
    clippy::disallowed_methods,
    reason = "arguments enter through the binary"
)]
pub(crate) fn command_line() -> Vec<String> {
    std::env::args().collect()
}
