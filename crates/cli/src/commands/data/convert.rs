//! `pact data convert`: tasks from one form into another, and what that form does not hold.

use anyhow::Result;
use env::convert::{self, Form};

use crate::args::{DataConvert, FormName};
use crate::exit::{Exit, UsageError};

pub(super) fn run(arguments: &DataConvert) -> Result<Exit> {
    let DataConvert {
        file,
        from,
        to,
        out,
        prefixes,
    } = arguments;
    let rows = match prefixes {
        None => convert::read(Form::from(*from), file)?,
        Some(traces) if *from == FormName::Ftrl => convert::read_prefixes(file, traces)?,
        Some(_) => {
            let message = "`--prefixes` is for FTRL's rows\nhint: add `--from ftrl`";
            return Err(UsageError(message.to_owned()).into());
        }
    };
    let done = convert::write(Form::from(*to), out, &rows)?;
    for lost in &done.lost {
        eprintln!("left out of {lost}");
    }
    eprintln!("{} tasks in `{}`", done.rows, out.display());
    Ok(Exit::Done)
}
