//! A GPU that is none: NVIDIA's libraries, written anew for the CPU and built by `g++`, so that
//! all code for GPUs, kernels included, runs where there is none. A process whose
//! `LD_LIBRARY_PATH` is their folder uses them.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// All that the libraries are built from.
const FILES: [(&str, &str); 8] = [
    ("card.h", include_str!("card.h")),
    ("emulated.h", include_str!("emulated.h")),
    ("runtime.h", include_str!("runtime.h")),
    ("instructions.h", include_str!("instructions.h")),
    ("libcuda.cpp", include_str!("libcuda.cpp")),
    ("libcuda_work.cpp", include_str!("libcuda_work.cpp")),
    ("libnvrtc.cpp", include_str!("libnvrtc.cpp")),
    ("libcublasLt.cpp", include_str!("libcublasLt.cpp")),
];

/// The libraries, each after what it needs.
pub(crate) const LIBRARIES: [&str; 3] = ["libcuda.so", "libnvrtc.so", "libcublasLt.so"];

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
        .args(["-std=c++17", "-O3", "-fPIC", "-shared"])
        .arg(format!("-DEMULATED_FOLDER=\"{}\"", folder.display()))
        .arg(format!("-Wl,-soname,{library},-rpath,$ORIGIN"))
        .args(sources_of(library))
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

fn sources_of(library: &str) -> impl Iterator<Item = &str> {
    let stem = library.trim_end_matches(".so");
    let names = FILES.iter().map(|(name, _)| *name);
    names.filter(move |name| name.starts_with(stem) && name.ends_with(".cpp"))
}
