//! BFCL's data out of the package that its authors publish: fetched by pip, laid out by a
//! script that reads the package's sources and runs none of them.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{Checksum, Fetched, HubError, Hubs, Planned, check, file_error};

/// The package, and the hash that it is held to, by pip and by us.
const PACKAGE: &str = "bfcl-eval==2026.3.23";
const CHECKSUM: Checksum =
    Checksum::Sha256("3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a");
const PAGE: &str = "https://pypi.org/project/bfcl-eval/2026.3.23/#files";
const WHEEL: &str = "bfcl_eval-2026.3.23-py3-none-any.whl";
const LAYOUT: &str = include_str!("bfcl.py");

/// The wheel, which may be put into the folder by hand.
pub(super) fn plan_bfcl(folder: &Path) -> Planned {
    Planned {
        url: PAGE.to_owned(),
        path: folder.join(WHEEL),
        checksum: Some(CHECKSUM),
    }
}

/// A wheel that lies in the folder was fetched by hand, and is taken if it is the right one.
pub(super) fn fetch_bfcl(
    folder: &Path,
    hubs: &Hubs,
    told: &mut dyn FnMut(&Fetched),
) -> Result<Vec<Fetched>, HubError> {
    std::fs::create_dir_all(folder).map_err(|source| file_error(folder, source))?;
    let scratch = tempfile::tempdir().map_err(|source| file_error(folder, source))?;
    let by_hand = folder.join(WHEEL);
    let wheel = match by_hand.exists() {
        true => by_hand,
        false => {
            download(scratch.path(), folder, &hubs.python)?;
            scratch.path().join(WHEEL)
        }
    };
    check(CHECKSUM, &wheel, &wheel, PAGE)?;
    lay_out(&wheel, folder, &hubs.python)?;
    let fetched = Fetched {
        path: folder.to_owned(),
        was_there: false,
        checked: Some(CHECKSUM),
    };
    told(&fetched);
    Ok(vec![fetched])
}

fn download(to: &Path, folder: &Path, python: &str) -> Result<(), HubError> {
    let requirements = to.join("requirements.txt");
    let pinned = format!("{PACKAGE} --hash=sha256:{}\n", CHECKSUM.text());
    std::fs::write(&requirements, pinned).map_err(|source| file_error(&requirements, source))?;
    let mut pip = Command::new(python);
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
    ])
    .args(["--no-deps", "--only-binary", ":all:", "--require-hashes"])
    .arg("--dest")
    .arg(to)
    .arg("--requirement")
    .arg(&requirements);
    run(pip).map_err(|problem| HubError::Package {
        doing: format!("`{python} -m pip download {PACKAGE}`"),
        problem,
        by_hand: format!(
            "put `{WHEEL}` of <{PAGE}> into `{}` and run the command again",
            folder.display()
        ),
    })
}

fn lay_out(wheel: &Path, folder: &Path, python: &str) -> Result<(), HubError> {
    let mut script = Command::new(python);
    script.args(["-I", "-c", LAYOUT]).arg(wheel).arg(folder);
    run(script).map_err(|problem| HubError::Package {
        doing: format!("`{}`", wheel.display()),
        problem,
        by_hand: format!("it is to be the wheel of {PACKAGE}, and `{python}` Python 3.9 or later"),
    })
}

/// Runs a command to its end; what it said last where it failed.
fn run(mut command: Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = lines[lines.len().saturating_sub(3)..].join("\n");
    Err(format!("{}\n{last}", output.status))
}
