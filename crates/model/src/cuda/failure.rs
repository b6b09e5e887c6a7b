//! What CUDA reports, as errors for the person who must act.

use cudarc::driver::DriverError;
use cudarc::driver::sys::CUresult;

use crate::ModelError;

/// What was found and expected, and the way out.
pub(super) fn gpu(what: impl Into<String>, hint: &'static str) -> ModelError {
    ModelError::Gpu {
        what: what.into(),
        hint,
    }
}

/// A closure for `map_err` that says what was tried.
pub(super) fn failed(trying: &str) -> impl FnOnce(DriverError) -> ModelError {
    move |error| {
        let name = error.error_name().ok().and_then(|name| name.to_str().ok());
        let meaning = error
            .error_string()
            .ok()
            .and_then(|text| text.to_str().ok());
        gpu(
            format!(
                "CUDA cannot {trying}: {} ({})",
                name.unwrap_or("an error without a name"),
                meaning.unwrap_or("no more is known"),
            ),
            hint(error.0),
        )
    }
}

fn hint(code: CUresult) -> &'static str {
    match code {
        CUresult::CUDA_ERROR_NO_DEVICE => {
            "`nvidia-smi` lists the cards of this machine; CUDA_VISIBLE_DEVICES may hide them, and \
             a container sees none unless it is started with them"
        }
        CUresult::CUDA_ERROR_STUB_LIBRARY => {
            "the library that was found is the CUDA toolkit's stub, which is for linking only: \
             take its folder out of LD_LIBRARY_PATH"
        }
        CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH => {
            "the driver was updated while it was loaded: restart the machine"
        }
        CUresult::CUDA_ERROR_DEVICE_UNAVAILABLE => {
            "another process has this card for itself: `nvidia-smi` says which"
        }
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
            "other processes have this card's memory: `nvidia-smi` says which"
        }
        CUresult::CUDA_ERROR_ILLEGAL_ADDRESS
        | CUresult::CUDA_ERROR_MISALIGNED_ADDRESS
        | CUresult::CUDA_ERROR_LAUNCH_FAILED
        | CUresult::CUDA_ERROR_ILLEGAL_INSTRUCTION => {
            "a kernel of this program is wrong: report it, with what CUDA_LAUNCH_BLOCKING=1 in the \
             environment says; nothing more can be done with the card in this process"
        }
        CUresult::CUDA_ERROR_ECC_UNCORRECTABLE => {
            "the card's memory is damaged: `nvidia-smi -q -d ECC` says how much of it"
        }
        _ => "`nvidia-smi` says what state the card is in; go on from the last checkpoint",
    }
}
