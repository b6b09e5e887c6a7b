//! The kernels by the real NVRTC, for the cards of today. It needs no GPU: the driver beside it
//! is the emulated one.

use std::ffi::OsString;

use model::cuda::kernels::SOURCES;
use model::cuda::{Device, Source};

use crate::emulated::{LIBRARIES, again, cubins, emulated, folder, inside};

/// A folder with NVIDIA's own `libnvrtc.so.12`.
const VARIABLE: &str = "PACT_NVRTC";

/// Widths of a head: those of models, and those of tests.
const HEADS: [usize; 4] = [128, 64, 32, 16];

fn compiles_for(name: &str, capability: &str) {
    if inside() {
        return compile_all();
    }
    let (Some(emulated), Some(real)) = (folder(), std::env::var_os(VARIABLE)) else {
        println!("skipped: no NVRTC (`{VARIABLE}=…/nvidia/cuda_nvrtc/lib`)");
        return;
    };
    let chosen = tempfile::tempdir().unwrap();
    for library in LIBRARIES
        .into_iter()
        .filter(|&library| library != "libnvrtc.so")
    {
        std::os::unix::fs::symlink(emulated.join(library), chosen.path().join(library)).unwrap();
    }
    let mut libraries = OsString::from(chosen.path());
    libraries.push(":");
    libraries.push(real);
    let (done, said) = again(
        name,
        &libraries,
        &[("EMULATED_CUDA_CAPABILITY", capability)],
    );
    assert!(done, "{said}");
}

/// Every source, once with each width of a head that makes a difference.
fn all() -> impl Iterator<Item = (Source, usize)> {
    SOURCES.iter().flat_map(|&source| {
        let heads = if source.text.contains("HEAD_DIM") {
            &HEADS[..]
        } else {
            &HEADS[..1]
        };
        heads.iter().map(move |&head| (source, head))
    })
}

fn compile_all() {
    let device = Device::open(0, &cubins().with_extension("real")).unwrap();
    for (source, head) in all() {
        let cubin = device.compile(source, &[("HEAD_DIM", head)]);
        let cubin = cubin.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(&cubin[..4], b"\x7fELF", "what a card executes");
    }
}

#[test]
fn all_kernels_compile_for_an_a100() {
    compiles_for("compiled::all_kernels_compile_for_an_a100", "80");
}

#[test]
fn all_kernels_compile_for_an_h200() {
    compiles_for("compiled::all_kernels_compile_for_an_h200", "90");
}

#[test]
fn all_kernels_load_on_the_emulated_card() {
    emulated(&[], || {
        let device = Device::open(0, &cubins()).unwrap();
        for (source, head) in all() {
            let program = device.program(source, &[("HEAD_DIM", head)]);
            assert!(
                program.unwrap().names().count() > 0,
                "{} has no kernel",
                source.name
            );
        }
    });
}
