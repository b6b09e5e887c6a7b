//! Work that is recorded once and then asked for again and again by one call: a decode step is
//! hundreds of launches, which cost more time to ask for than to do.
#![expect(unsafe_code, reason = "a library of C")]

use std::mem::take;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys::{CUgraphInstantiate_flags_enum, CUstreamCaptureMode};
use cudarc::driver::{CudaGraph, DriverError};

use super::Device;
use super::failure::failed;
use super::memory::Reserve;
use crate::ModelError;

/// Recorded work, on the arrays that it was recorded with: those from outside must be kept as
/// long as this.
pub struct Graph {
    work: CudaGraph,
    _memory: Arc<Kept>,
}

// SAFETY: CUDA's graphs may go from thread to thread, as long as no two use one at a time; this
// one is not `Sync`.
unsafe impl Send for Graph {}

/// Records work, all of which shares the memory of the arrays that are made in it: graphs of one
/// recorder run one after another.
#[derive(Clone)]
pub struct Recorder(Arc<Kept>);

struct Kept {
    device: Device,
    reserve: Mutex<Reserve>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let reserve = self.reserve.get_mut();
        let reserve = take(reserve.unwrap_or_else(PoisonError::into_inner));
        self.device.memory_of().give_all(reserve);
    }
}

impl Recorder {
    /// Of work on this card.
    pub fn new(device: &Device) -> Self {
        Self(Arc::new(Kept {
            device: device.clone(),
            reserve: Mutex::default(),
        }))
    }

    /// Records the work that `work` asks for, and does not do it. In `work`, no array is written
    /// from the host or downloaded, and none that is made outlives it. The same work should have
    /// been done once before: drivers load a kernel when it is first used, which cannot always be
    /// recorded. No other thread asks for work meanwhile.
    ///
    /// # Errors
    /// Those of `work`, and if it asked for what cannot be recorded.
    ///
    /// # Panics
    /// If an array that was made in `work` is left.
    pub fn record(
        &self,
        work: impl FnOnce() -> Result<(), ModelError>,
    ) -> Result<Graph, ModelError> {
        let recording = Recording::begin(&self.0)?;
        let asked = work();
        let graph = recording.end();
        asked?;
        Ok(Graph {
            work: graph?,
            _memory: Arc::clone(&self.0),
        })
    }
}

/// From the begin of a record to its end, also where that is a panic.
struct Recording<'r> {
    kept: &'r Kept,
    ended: bool,
}

impl<'r> Recording<'r> {
    fn begin(kept: &'r Kept) -> Result<Self, ModelError> {
        let device = &kept.device;
        // Memory may be taken meanwhile, which other modes forbid.
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        let begun = device.0.stream.begin_capture(mode);
        begun.map_err(failed("record work"))?;
        device.0.recording.store(true, Ordering::Relaxed);
        device.memory_of().recording = Some(take(&mut *kept.reserve()));
        Ok(Self { kept, ended: false })
    }

    fn end(mut self) -> Result<CudaGraph, ModelError> {
        self.ended = true;
        let graph = self.finish().map_err(failed("record this work"))?;
        Ok(graph.expect("work was recorded from its begin to its end"))
    }

    fn finish(&self) -> Result<Option<CudaGraph>, DriverError> {
        let flags = CUgraphInstantiate_flags_enum(0);
        self.kept.device.0.stream.end_capture(flags)
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        let device = &self.kept.device;
        device.0.recording.store(false, Ordering::Relaxed);
        if !self.ended {
            // What was recorded is not wanted any more, whole or not.
            let _ = self.finish();
        }
        let reserve = device.memory_of().recording.take();
        let reserve = reserve.expect("it was put there at the begin");
        let left = reserve.taken;
        *self.kept.reserve() = reserve;
        assert!(
            left == 0 || std::thread::panicking(),
            "{left} arrays that were made in recorded work outlive it"
        );
    }
}

impl Kept {
    fn reserve(&self) -> MutexGuard<'_, Reserve> {
        self.reserve.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Graph {
    /// Asks for the recorded work.
    ///
    /// # Errors
    /// If work before this has failed.
    pub fn launch(&self) -> Result<(), ModelError> {
        self.work.launch().map_err(failed("do recorded work"))
    }
}
