//! The viewer as a command: its address, and a browser that is opened at it. What it serves is
//! tested in crate `view`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use super::{Place, pact};

/// Begins `pact view` with an opener of this text; what it printed, and its standard error.
fn viewed_by(place: &Place, opener: Option<&str>, awaited: &str) -> (String, String) {
    let folder = place.path("openers");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).expect("a folder");
    if let Some(text) = opener {
        for name in ["xdg-open", "open"] {
            let file = folder.join(name);
            fs::write(&file, text).expect("a file");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("its mode");
        }
    }
    let errors = place.path("errors");
    let mut viewer = pact()
        .args(["view", "out", "--port", "0", "--open"])
        .env("PATH", &folder)
        .current_dir(place.folder.path())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&errors).expect("a file"))
        .spawn()
        .expect("the binary starts");
    let stdout = viewer.stdout.take().expect("its output");
    let address = BufReader::new(stdout).lines().next().expect("a line");
    let awaited = place.path(awaited);
    let is_there = || fs::read_to_string(&awaited).is_ok_and(|text| text.ends_with('\n'));
    for _ in 0..600 {
        if is_there() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    viewer.kill().expect("it still serves");
    viewer.wait().expect("it ends");
    let errors = fs::read_to_string(errors).expect("a text");
    (address.expect("a text"), errors)
}

#[test]
fn a_viewed_run_is_opened_in_a_browser_where_there_is_one() {
    let place = Place::new();
    place.write("out/config.toml", "");
    let opener = "#!/bin/sh\necho \"$*\" > opened\n";
    let (address, errors) = viewed_by(&place, Some(opener), "opened");
    assert_eq!(place.read("opened"), format!("{address}\n"));
    assert_eq!(errors, "");

    let (address, errors) = viewed_by(&place, Some("#!/bin/sh\nexit 3\n"), "errors");
    let hint = format!("exit status: 3\nhint: open {address} yourself\n");
    assert!(
        errors.starts_with("warning: no browser was opened: "),
        "{errors}"
    );
    assert!(errors.ends_with(&hint), "{errors}");

    let (_, errors) = viewed_by(&place, None, "errors");
    assert!(errors.contains("No such file or directory"), "{errors}");
}
