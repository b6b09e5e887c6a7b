//! Tests on the emulated GPU. Which libraries are loaded is decided when a process starts, so a
//! test that needs them runs itself again in a process of its own.

mod libraries;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

pub(crate) use libraries::{LIBRARIES, folder};

/// Says to a test that it is in the process that was started for it.
const INSIDE: &str = "EMULATED_CUDA";

/// Where tests keep what was compiled for the emulated card, for each other.
pub(crate) fn cubins() -> PathBuf {
    let folder = folder().expect("a test that asks has an emulated GPU");
    folder.join("cubins")
}

/// Runs the test whose closure this is on an emulated GPU. Settings are those of `libcuda.cpp`.
pub(crate) fn emulated<F: FnOnce()>(settings: &[(&str, &str)], test: F) {
    emulated_with(&LIBRARIES, settings, test);
}

/// As `emulated`, where only these libraries can be found.
pub(crate) fn emulated_with<F: FnOnce()>(libraries: &[&str], settings: &[(&str, &str)], test: F) {
    if inside() {
        return test();
    }
    let Some(folder) = folder() else { return };
    let chosen = tempfile::tempdir().unwrap();
    for library in libraries {
        std::os::unix::fs::symlink(folder.join(library), chosen.path().join(library)).unwrap();
    }
    // A closure's type is named after the function that it stands in, and the crate.
    let name = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
    let (_, name) = name.split_once("::").unwrap();
    let (done, said) = again(name, chosen.path().as_os_str(), settings);
    assert!(done, "{said}");
}

/// Whether this is a process that was started for a test.
pub(crate) fn inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs a test in another process, which finds libraries in these folders.
/// Returns whether it passed, and what it said.
pub(crate) fn again(name: &str, libraries: &OsStr, settings: &[(&str, &str)]) -> (bool, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env("LD_LIBRARY_PATH", libraries)
        .env(INSIDE, "1")
        .envs(settings.iter().copied())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(
        said.contains("running 1 test"),
        "`{name}` is no test: {said}"
    );
    (output.status.success(), said)
}
