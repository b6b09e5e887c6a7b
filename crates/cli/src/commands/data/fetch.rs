//! `pact data fetch`: data sets from where their owners publish them. Reads the environment
//! variables that Hugging Face's own tools read.

use std::path::PathBuf;

use anyhow::Result;
use remote::hub::{self, Fetched, Hubs};

use crate::args::DataFetch;
use crate::commands::print;
use crate::exit::{Exit, UsageError};

pub(super) fn run(arguments: &DataFetch) -> Result<Exit> {
    let set = arguments.set.into();
    let hubs = hubs(arguments.python.clone(), variable)?;
    if arguments.plan {
        for file in hub::plan(set, &arguments.out, &hubs) {
            let hash = file
                .checksum
                .map_or("no hash is known".to_owned(), |known| {
                    format!("{} {}", known.kind(), known.text())
                });
            print(&format!(
                "{}\n  to {}\n  {hash}\n",
                file.url,
                file.path.display()
            ))?;
        }
        return Ok(Exit::Done);
    }
    hub::fetch(set, &arguments.out, &hubs, &mut tell)?;
    Ok(Exit::Done)
}

fn tell(file: &Fetched) {
    let origin = if file.was_there {
        "was there"
    } else {
        "fetched"
    };
    let checked = match file.checked {
        Some(checksum) => format!("its {} is right", checksum.kind()),
        None => "not checked, since no hash of it is known".to_owned(),
    };
    eprintln!("`{}`: {origin}, {checked}", file.path.display());
}

/// Hugging Face's own names and defaults.
fn hubs(python: String, variable: impl Fn(&str) -> Option<String>) -> Result<Hubs, UsageError> {
    let folder = |name: &str| variable(name).map(PathBuf::from);
    let home = folder("HF_HOME")
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("huggingface")))
        .or_else(|| Some(folder("HOME")?.join(".cache/huggingface")));
    let cache = folder("HF_HUB_CACHE").or_else(|| Some(home?.join("hub")));
    let Some(cache) = cache else {
        let message = "no folder for Hugging Face's files\nhint: set HF_HOME to one";
        return Err(UsageError(message.to_owned()));
    };
    let known = Hubs::new(cache);
    Ok(Hubs {
        hugging_face: variable("HF_ENDPOINT").unwrap_or(known.hugging_face),
        token: variable("HF_TOKEN"),
        python,
        ..known
    })
}

/// An environment variable that says something.
#[expect(
    clippy::disallowed_methods,
    reason = "the environment enters through the binary"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_variables_of_hugging_face_say_where_files_come_from_and_lie() {
        let check = |set: &[(&str, &str)], cache: &str, endpoint: &str| {
            let find = |name: &str| set.iter().find(|(known, _)| *known == name);
            let variable = |name: &str| find(name).map(|(_, value)| (*value).to_owned());
            let hubs = hubs("python3".to_owned(), variable).expect("a folder");
            assert_eq!(hubs.cache, Path::new(cache));
            assert_eq!(hubs.hugging_face, endpoint);
        };
        let own = "https://huggingface.co";
        check(&[("HOME", "/h")], "/h/.cache/huggingface/hub", own);
        check(
            &[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")],
            "/x/huggingface/hub",
            own,
        );
        check(&[("HF_HOME", "/f"), ("HOME", "/h")], "/f/hub", own);
        check(
            &[("HF_HUB_CACHE", "/c"), ("HF_ENDPOINT", "http://mirror")],
            "/c",
            "http://mirror",
        );
        assert!(hubs("python3".to_owned(), |_| None).is_err());
    }
}
