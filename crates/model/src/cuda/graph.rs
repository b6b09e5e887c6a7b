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
    /// written from the host or downloaded. The same work should have been done once before:
    /// drivers load a kernel when it is first used, which cannot always be recorded.
    ///
    /// # Errors
    /// Those of `work`, and if it asked for what cannot be recorded.
    pub fn capture(
        &self,
        work: impl FnOnce() -> Result<(), ModelError>,
    ) -> Result<Graph, ModelError> {
        let recording = Recording::begin(self)?;
        let asked = work();
        let graph = recording.end();
        asked?;
        graph
    }
}

/// From the begin of a record to its end, also where that is a panic.
struct Recording<'d> {
    device: &'d Device,
    ended: bool,
}

impl<'d> Recording<'d> {
    fn begin(device: &'d Device) -> Result<Self, ModelError> {
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        let begun = device.0.stream.begin_capture(mode);
        begun.map_err(failed("record work"))?;
        device.0.recording.store(true, Ordering::Relaxed);
        Ok(Self {
            device,
            ended: false,
        })
    }

    fn end(mut self) -> Result<Graph, ModelError> {
        self.ended = true;
        let flags = CUgraphInstantiate_flags_enum(0);
        let graph = self.device.0.stream.end_capture(flags);
        let graph = graph.map_err(failed("record this work"))?;
        let graph = graph.expect("work was recorded from its begin to its end");
        Ok(Graph(graph))
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        self.device.0.recording.store(false, Ordering::Relaxed);
        if !self.ended {
            let flags = CUgraphInstantiate_flags_enum(0);
            // What was recorded is not wanted any more, whole or not.
            let _ = self.device.0.stream.end_capture(flags);
        }
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
