//! `pact view`: a run's episodes in a browser.

use std::path::Path;

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
    super::print(&format!("http://{}/\n", listener.local_addr()?))?;
    viewer.serve(listener, || interrupt.is_asked())?;
    Ok(Exit::Done)
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
