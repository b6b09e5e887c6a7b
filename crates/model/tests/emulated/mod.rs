//! A GPU that is none: NVIDIA's libraries, written anew for the CPU and built by `g++`, so that
//! all code for GPUs, kernels included, runs where there is none. What is loaded is decided when
//! a process starts, so a test that needs them runs itself again in a process of its own.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsStr;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// All that the libraries are built from.
const FILES: [(&str, &str); 5] = [
    ("emulated.h", include_str!("emulated.h")),
    ("runtime.h", include_str!("runtime.h")),
    ("libcuda.cpp", include_str!("libcuda.cpp")),
    ("libnvrtc.cpp", include_str!("libnvrtc.cpp")),
    ("libcublasLt.cpp", include_str!("libcublasLt.cpp")),
];

/// The libraries, each after what it needs.
pub(crate) const LIBRARIES: [&str; 3] = ["libcuda.so", "libnvrtc.so", "libcublasLt.so"];

/// Says to a test that it is in the process that was started for it.
const INSIDE: &str = "EMULATED_CUDA";

/// The folder of the emulated libraries, or none, said aloud, where there is no `g++`.
pub(crate) fn folder() -> Option<PathBuf> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOLDER.get_or_init(built).clone()
}

fn built() -> Option<PathBuf> {
    let mut hash = DefaultHasher::new();
    FILES.hash(&mut hash);
    let name = format!("emulated-{:016x}", hash.finish());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    if Command::new("g++").arg("--version").output().is_err() {
        println!("skipped: no `g++`, which builds the emulated GPU");
        return None;
    }
    // Built beside and renamed, since other processes do the same at the same time.
    let beside = folder.with_extension(std::process::id().to_string());
    fs::create_dir_all(&beside).unwrap();
    for (name, text) in FILES {
        fs::write(beside.join(name), text).unwrap();
    }
    for library in LIBRARIES {
        build(library, &beside, &folder);
    }
    if fs::rename(&beside, &folder).is_err() {
        fs::remove_dir_all(&beside).unwrap();
    }
    assert!(folder.is_dir(), "{} is not there", folder.display());
    Some(folder)
}

fn build(library: &str, beside: &Path, folder: &Path) {
    let mut gcc = Command::new("g++");
    gcc.current_dir(beside)
        .args([
            "-std=c++17",
            "-O3",
            "-fPIC",
            "-shared",
            "-Wall",
            "-Wextra",
            "-Werror",
        ])
        .arg(format!("-DEMULATED_FOLDER=\"{}\"", folder.display()))
        .arg(format!("-Wl,-soname,{library},-rpath,$ORIGIN"))
        .arg(library.replace(".so", ".cpp"))
        .args(["-o", library]);
    if library == "libcublasLt.so" {
        gcc.args(["-L.", "-lcuda"]);
    }
    let output = gcc.output().unwrap();
    assert!(
        output.status.success(),
        "{library}:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Where tests keep what was compiled for the emulated card, for each other.
pub(crate) fn cubins() -> PathBuf {
    folder()
        .expect("a test that asks has an emulated GPU")
        .join("cubins")
}

/// Runs the test whose closure this is on an emulated GPU. Settings are those of `libcuda.cpp`.
pub(crate) fn emulated<F: FnOnce()>(settings: &[(&str, &str)], test: F) {
    emulated_with(&LIBRARIES, settings, test);
}

/// As `emulated`, where only these libraries can be found.
pub(crate) fn emulated_with<F: FnOnce()>(libraries: &[&str], settings: &[(&str, &str)], test: F) {
    if std::env::var_os(INSIDE).is_some() {
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
    let output = again(name, chosen.path().as_os_str(), settings);
    assert!(output.status.success(), "{}", said(&output));
}

/// As `emulated`, for a test whose process is ended by the emulated GPU.
/// Returns what it said.
pub(crate) fn ended_by_emulation<F: FnOnce()>(test: F) -> Option<String> {
    if std::env::var_os(INSIDE).is_some() {
        test();
        return None;
    }
    let folder = folder()?;
    let name = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
    let (_, name) = name.split_once("::").unwrap();
    let output = again(name, folder.as_os_str(), &[]);
    assert!(
        !output.status.success(),
        "it was not ended: {}",
        said(&output)
    );
    Some(said(&output))
}

fn again(name: &str, libraries: &OsStr, settings: &[(&str, &str)]) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env("LD_LIBRARY_PATH", libraries)
        .env(INSIDE, "1")
        .envs(settings.iter().copied())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}
