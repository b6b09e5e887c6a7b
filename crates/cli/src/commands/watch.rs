//! `pact watch`: a run as it stands, from its folder alone.

use std::time::Duration;

use anyhow::Result;

use crate::args::Watch;
use crate::exit::{Exit, UsageError};
use crate::screen::{self, Key, Screen};
use crate::watching::Watching;

const KEYS: [(&str, &str); 1] = [("q", "quit: the run goes on")];

pub(crate) fn run(arguments: &Watch) -> Result<Exit> {
    let mut watching = Watching::open(&arguments.run, &KEYS)?;
    if arguments.once {
        let (width, height) = screen::size();
        super::print(&watching.page(width, height))?;
        return Ok(Exit::Done);
    }
    if !screen::is_there() {
        let problem = "this is no terminal that can be drawn on\n\
                       hint: `--once` prints how the run stands as plain text";
        return Err(UsageError(problem.to_owned()).into());
    }
    let mut screen = Screen::open()?;
    loop {
        watching.look();
        screen.draw(|frame| watching.draw(frame))?;
        let Some(key) = screen.key(Duration::from_millis(250))? else {
            continue;
        };
        if !watching.obey(key) && matches!(key, Key::Letter('q') | Key::Escape | Key::Interrupt) {
            return Ok(Exit::Done);
        }
    }
}
