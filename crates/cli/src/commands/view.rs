//! `pact view`: a run's episodes in a browser.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;
use view::{TokenBytes, Viewer};

use crate::args::View;
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::tokenizer;

pub(crate) fn run(arguments: &View) -> Result<Exit> {
    let bytes = token_bytes(&arguments.run, arguments.tokenizer.as_deref())?;
    let viewer = Viewer::open(&arguments.run, bytes)?;
    let listener = view::listen(arguments.port)?;
    let interrupt = Interrupt::watch()?;
    let address = format!("http://{}/", listener.local_addr()?);
    super::print(&format!("{address}\n"))?;
    if arguments.open {
        open_in_browser(address);
    }
    viewer.serve(listener, || interrupt.is_asked())?;
    Ok(Exit::Done)
}

/// Opens an address by the system's opener, whose end nobody waits for: some stay as long as their
/// browser. Where there is none, the page is served all the same.
fn open_in_browser(address: String) {
    let opener = match cfg!(target_os = "macos") {
        true => "open",
        false => "xdg-open",
    };
    let mut command = Command::new(opener);
    command.arg(&address).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    std::thread::spawn(move || {
        let problem = match command.status() {
            Ok(status) if status.success() => return,
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        eprintln!(
            "warning: no browser was opened: `{opener}`: {problem}\nhint: open {address} yourself"
        );
    });
}

/// The bytes of a token. A tokenizer that was asked for must be there; without that of the run
/// its texts can still be read.
fn token_bytes(run: &Path, given: Option<&Path>) -> Result<Option<TokenBytes>> {
    let file = match run.is_dir() {
        true => run.join("episodes.jsonl"),
        false => run.to_owned(),
    };
    let chat = super::show::tokenizer_folder(&file, given)
        .and_then(|folder| tokenizer::load_chat(folder.as_deref(), chat::Config::default()));
    match chat {
        Ok(chat) => Ok(Some(Box::new(move |token| {
            chat.token_bytes(token).to_vec()
        }))),
        Err(error) if given.is_some() => Err(error),
        Err(error) => {
            eprintln!(
                "warning: the run's tokenizer cannot be read, so single tokens are not shown: {error}"
            );
            Ok(None)
        }
    }
}
