//! Work that is recorded once and then asked for again and again by one call: a decode step is
//! hundreds of launches, which cost more time to ask for than to do.
#![expect(unsafe_code, reason = "a library of C")]

use std::sync::atomic::Ordering;

use cudarc::driver::CudaGraph;
use cudarc::driver::sys::{CUgraphInstantiate_flags_enum, CUstreamCaptureMode};

use super::Device;
use super::failure::failed;
use crate::ModelError;

/// Recorded work, on the arrays that it was recorded with: they must be kept as long as this.
pub struct Graph(CudaGraph);

// SAFETY: CUDA's graphs may go from thread to thread, as long as no two use one at a time; this
// one is not `Sync`.
unsafe impl Send for Graph {}

impl Device {
    /// Records the work that `work` asks for, and does not do it. In `work`, no array is made,
    /// written from the host or downloaded.
    ///
    /// # Errors
    /// Those of `work`, and if it asked for what cannot be recorded.
    pub fn capture(
        &self,
        work: impl FnOnce() -> Result<(), ModelError>,
    ) -> Result<Graph, ModelError> {
        self.0
            .stream
            .begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
            .map_err(failed("record work"))?;
        self.0.recording.store(true, Ordering::Relaxed);
        let asked = work();
        self.0.recording.store(false, Ordering::Relaxed);
        let graph = self.0.stream.end_capture(CUgraphInstantiate_flags_enum(0));
        asked?;
        let graph = graph.map_err(failed("record this work"))?;
        Ok(Graph(
            graph.expect("work was recorded from its begin to its end"),
        ))
    }
}

impl Graph {
    /// Asks for the recorded work.
    ///
    /// # Errors
    /// If work before this has failed.
    pub fn launch(&self) -> Result<(), ModelError> {
        self.0.launch().map_err(failed("do recorded work"))
    }
}
