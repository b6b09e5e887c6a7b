//! The kernels on a CPU: against references in double precision, under several orders of a block's
//! threads, and under sanitizers, which see each race and whoever leaves its buffers.

use std::path::Path;
use std::process::Command;

const ORDERS: &str = "-DORDERS=1";
const RACES: &str = "-fsanitize=thread";
const BOUNDS: &str = "-fsanitize=address,alignment";

/// Builds one of the programs beside the emulated GPU, which say what they find, and runs it.
fn check(program: &str, flags: &[&str]) {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let emulated = package.join("tests/emulated");
    let folder = tempfile::tempdir().unwrap();
    let built = folder.path().join(program);
    let output = Command::new("g++")
        .args(["-std=c++17", "-DEMULATED", "-I"])
        .arg(package.join("src/cuda/kernels"))
        .arg("-I")
        .arg(&emulated)
        .args(flags)
        .arg(emulated.join(program).with_extension("cpp"))
        .arg("-o")
        .arg(&built)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {flags:?}:\n{said}");
    let output = Command::new(&built).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{program} {flags:?}:\n{said}"
    );
}

/// Whether this machine builds and runs programs with these flags; says so aloud where not.
fn can_build(flags: &[&str]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let (source, built) = (folder.path().join("empty.cpp"), folder.path().join("empty"));
    std::fs::write(&source, "int main() {}").unwrap();
    let mut gcc = Command::new("g++");
    gcc.args(flags).arg(&source).arg("-o").arg(&built);
    let runs = |mut command: Command| command.output().is_ok_and(|output| output.status.success());
    let can = runs(gcc) && runs(Command::new(&built));
    if !can {
        println!("skipped: no `g++` that builds programs with {flags:?}");
    }
    can
}

#[test]
fn kernels_over_rows_agree_with_plain_references() {
    if can_build(&[]) {
        check("rows_check", &["-O2"]);
        check("sampling_check", &["-O2"]);
    }
}

#[test]
fn kernels_over_heads_agree_with_plain_references_whatever_the_width() {
    if can_build(&[]) {
        for width in ["-DHEAD_DIM=16", "-DHEAD_DIM=64", "-DHEAD_DIM=128"] {
            check("heads_check", &["-O2", width]);
            check("cached_check", &["-O2", width]);
        }
    }
}

#[test]
fn no_kernel_has_a_race() {
    if can_build(&[RACES]) {
        for program in [
            "rows_check",
            "sampling_check",
            "heads_check",
            "cached_check",
        ] {
            check(program, &["-O1", RACES, ORDERS, "-DHEAD_DIM=32"]);
        }
    }
}

#[test]
fn no_kernel_leaves_its_buffers_or_loads_what_is_not_aligned() {
    if can_build(&[BOUNDS]) {
        for program in [
            "rows_check",
            "sampling_check",
            "heads_check",
            "cached_check",
        ] {
            check(program, &["-O1", BOUNDS, ORDERS, "-DHEAD_DIM=32"]);
        }
    }
}
