//! The libraries that a GPU needs, looked for before anything calls them, so that one that is
//! missing or too old is an error here and no panic further in.
#![expect(unsafe_code, reason = "libraries of C")]

use std::ffi::c_int;

use cudarc::{cublaslt, driver, nvrtc};

use super::failure::{failed, gpu};
use crate::ModelError;

/// The oldest CUDA that has all that is called, as CUDA writes its versions.
const OLDEST: c_int = 12_000;

/// Finds the driver's library.
/// Returns the CUDA version that the driver is for, as CUDA writes it.
pub(super) fn driver() -> Result<c_int, ModelError> {
    // SAFETY: loading the driver's library runs nothing but its own initialisation.
    if !unsafe { driver::sys::is_culib_present() } {
        return Err(gpu(
            format!(
                "there is no NVIDIA driver: {} cannot be loaded",
                names("cuda", 1)
            ),
            "install the driver of the card (`nvidia-smi` then lists it), or run on the CPU; a \
             container needs the host's driver (`docker run --gpus all`)",
        ));
    }
    let mut version = 0;
    // SAFETY: every version of the library has this function, which writes one number.
    unsafe { driver::sys::cuDriverGetVersion(&raw mut version) }
        .result()
        .map_err(failed("ask the driver for its version"))?;
    match version {
        OLDEST.. => Ok(version),
        _ => Err(gpu(
            format!(
                "the NVIDIA driver is for CUDA {}, expected {} or newer",
                written(version),
                written(OLDEST)
            ),
            "update the driver, to 525.60 or newer",
        )),
    }
}

/// Finds NVRTC, which compiles kernels.
/// Returns its version.
pub(super) fn compiler() -> Result<c_int, ModelError> {
    // SAFETY: loading NVRTC runs nothing but its own initialisation.
    if !unsafe { nvrtc::sys::is_culib_present() } {
        return Err(missing("NVRTC, which compiles the kernels", "nvrtc"));
    }
    let (mut major, mut minor) = (0, 0);
    // SAFETY: every version of the library has this function, which writes two numbers.
    unsafe { nvrtc::sys::nvrtcVersion(&raw mut major, &raw mut minor) }
        .result()
        .map_err(|error| gpu(format!("NVRTC does not answer: {:?}", error.0), INSTALL))?;
    new_enough("NVRTC", major * 1000 + minor * 10)
}

/// Finds cuBLASLt, which multiplies matrices.
pub(super) fn products() -> Result<c_int, ModelError> {
    // SAFETY: loading cuBLASLt runs nothing but its own initialisation.
    if !unsafe { cublaslt::sys::is_culib_present() } {
        return Err(missing("cuBLASLt, which multiplies matrices", "cublasLt"));
    }
    // SAFETY: every version of the library has this function.
    let version = unsafe { cublaslt::sys::cublasLtGetVersion() };
    // 12.1.3 is written as 120103, and 11.5.1 as 11501.
    let (version, major) = (
        version as c_int,
        if version >= 100_000 { 10_000 } else { 1000 },
    );
    let minor = version % major / 100;
    new_enough("cuBLASLt", version / major * 1000 + minor * 10)
}

/// Where both come from without a toolkit.
const INSTALL: &str = "`pip install nvidia-cuda-nvrtc-cu12 nvidia-cublas-cu12` has both NVRTC and \
                       cuBLASLt; put their folders, `…/site-packages/nvidia/cuda_nvrtc/lib` and \
                       `…/site-packages/nvidia/cublas/lib`, into LD_LIBRARY_PATH";

fn missing(what: &str, library: &str) -> ModelError {
    gpu(
        format!(
            "{what}, is not found: {} cannot be loaded",
            names(library, 12)
        ),
        INSTALL,
    )
}

fn new_enough(what: &str, version: c_int) -> Result<c_int, ModelError> {
    match version {
        OLDEST.. => Ok(version),
        _ => Err(gpu(
            format!(
                "{what} is version {}, expected {} or newer",
                written(version),
                written(OLDEST)
            ),
            INSTALL,
        )),
    }
}

/// Two of the names under which a library is looked for: as it is linked to, and as it is installed.
fn names(library: &str, version: u32) -> String {
    format!("`lib{library}.so`, `lib{library}.so.{version}`")
}

/// A version as people write it: 12.4 of 12040.
pub(super) fn written(version: c_int) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}
