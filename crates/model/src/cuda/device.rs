//! One card: whether it can be used, what it is, and the stream that all its work goes to.
#![expect(unsafe_code, reason = "libraries of C")]

use std::ffi::c_int;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use cudarc::driver::sys::{CUdevice_attribute, CUstream};
use cudarc::driver::{CudaContext, CudaStream, result};

use super::failure::{failed, gpu};
use super::gemm::Products;
use super::libraries;
use super::memory::Memory;
use crate::ModelError;

/// The oldest compute capability with bf16 in its tensor cores: Ampere's.
const OLDEST: (u32, u32) = (8, 0);

/// A card, opened. Clones are the same card.
#[derive(Clone)]
pub struct Device(pub(super) Arc<Card>);

pub(super) struct Card {
    pub(super) context: Arc<CudaContext>,
    pub(super) stream: Arc<CudaStream>,
    facts: Facts,
    pub(super) compiler: c_int,
    pub(super) cubins: PathBuf,
    memory: Mutex<Memory>,
    products: Mutex<Products>,
    /// Whether work is being recorded instead of done.
    pub(super) recording: AtomicBool,
}

/// What a card says of itself.
struct Facts {
    name: String,
    capability: (u32, u32),
    multiprocessors: u32,
    shared_memory: usize,
    driver: c_int,
}

impl Device {
    /// Opens card `ordinal`, as `nvidia-smi` counts them. Compiled kernels are kept in the folder
    /// `cubins`, which is made when it is needed.
    ///
    /// # Errors
    /// If there is no such card, it cannot do what is needed, or a library is missing.
    pub fn open(ordinal: usize, cubins: &Path) -> Result<Self, ModelError> {
        let driver = libraries::driver()?;
        result::init().map_err(failed("start"))?;
        let facts = facts(ordinal, driver)?;
        if facts.capability < OLDEST {
            return Err(too_old(&facts));
        }
        let compiler = libraries::compiler()?;
        libraries::products()?;
        let trying = format!("open GPU {ordinal} ({})", facts.name);
        let context = CudaContext::new(ordinal).map_err(failed(&trying))?;
        let stream = context.new_stream().map_err(failed(&trying))?;
        let device = Self(Arc::new(Card {
            context,
            stream,
            facts,
            compiler,
            cubins: cubins.to_path_buf(),
            memory: Mutex::default(),
            products: Mutex::new(Products::new()?),
            recording: AtomicBool::new(false),
        }));
        device.take_workspace()?;
        Ok(device)
    }

    /// What the card is called.
    pub fn name(&self) -> &str {
        &self.0.facts.name
    }

    /// Its compute capability, (9, 0) of an H200.
    pub fn capability(&self) -> (u32, u32) {
        self.0.facts.capability
    }

    /// How many multiprocessors share the blocks of a grid.
    pub fn multiprocessors(&self) -> usize {
        self.0.facts.multiprocessors as usize
    }

    /// Bytes of shared memory that one block can have.
    pub fn shared_memory(&self) -> usize {
        self.0.facts.shared_memory
    }

    /// Bytes of memory, free and in all. What is free is what the driver says: spare memory of
    /// the pool counts as taken.
    ///
    /// # Errors
    /// If work before this has failed.
    pub fn memory(&self) -> Result<(usize, usize), ModelError> {
        self.0
            .context
            .mem_get_info()
            .map_err(failed("say how much memory is free"))
    }

    /// The card in one line, for people.
    ///
    /// # Errors
    /// If work before this has failed.
    pub fn describe(&self) -> Result<String, ModelError> {
        let gib = |bytes: usize| bytes as f64 / f64::from(1 << 30);
        let ((free, total), (major, minor)) = (self.memory()?, self.capability());
        Ok(format!(
            "{}, compute capability {major}.{minor}, {:.1} GiB of memory of which {:.1} are free, \
             driver for CUDA {}",
            self.name(),
            gib(total),
            gib(free),
            libraries::written(self.0.facts.driver),
        ))
    }

    /// The stream, with the card's context as this thread's.
    pub(super) fn bound_stream(&self) -> Result<CUstream, ModelError> {
        self.0
            .context
            .bind_to_thread()
            .map_err(failed("take up work from this thread"))?;
        Ok(self.0.stream.cu_stream())
    }

    /// As `bound_stream`, for what no graph can hold.
    pub(super) fn stream_outside_graph(&self) -> Result<CUstream, ModelError> {
        assert!(
            !self.0.recording.load(Ordering::Relaxed),
            "while a graph is recorded, no memory is taken, read or written by the host"
        );
        self.bound_stream()
    }

    pub(super) fn memory_of(&self) -> MutexGuard<'_, Memory> {
        self.0
            .memory
            .lock()
            .expect("no thread panics over memory's lists")
    }

    pub(super) fn products(&self) -> MutexGuard<'_, Products> {
        self.0
            .products
            .lock()
            .expect("no thread panics over a product")
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        // Failures here are those that calls before have told of, and nothing is left to do.
        if self.context.bind_to_thread().is_err() {
            return;
        }
        if let (Ok(memory), Ok(products)) = (self.memory.get_mut(), self.products.get_mut()) {
            products.close(memory);
            memory.free_spare();
        }
    }
}

fn facts(ordinal: usize, driver: c_int) -> Result<Facts, ModelError> {
    let count = result::device::get_count().map_err(failed("count the GPUs"))?;
    let device = match c_int::try_from(ordinal) {
        Ok(ordinal) if ordinal < count => {
            result::device::get(ordinal).map_err(failed("find the GPU"))?
        }
        _ => return Err(beyond(ordinal, count)),
    };
    let attribute = |which| {
        // SAFETY: `device` was just got from the driver.
        unsafe { result::device::get_attribute(device, which) }
            .map(|value| value.try_into().expect("an attribute is not negative"))
            .map_err(failed("say what it is"))
    };
    Ok(Facts {
        name: result::device::get_name(device).map_err(failed("say its name"))?,
        capability: (
            attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        multiprocessors: attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        shared_memory: attribute(
            CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
        )? as usize,
        driver,
    })
}

fn beyond(ordinal: usize, count: c_int) -> ModelError {
    let there_are = match count {
        0 => "the driver sees no GPU".to_owned(),
        1 => "the driver sees one GPU, 0".to_owned(),
        _ => format!("the driver sees GPUs 0 to {}", count - 1),
    };
    gpu(
        format!("there is no GPU {ordinal}: {there_are}"),
        "choose one of those; CUDA_VISIBLE_DEVICES in the environment hides all but those that it \
         lists",
    )
}

fn too_old(facts: &Facts) -> ModelError {
    let ((major, minor), (needed_major, needed_minor)) = (facts.capability, OLDEST);
    gpu(
        format!(
            "{} cannot multiply bf16: its compute capability is {major}.{minor}, expected \
             {needed_major}.{needed_minor} or higher",
            facts.name
        ),
        "use an NVIDIA card of 2020 or newer (A100, RTX 30, L4, H100 and later), or run on the CPU",
    )
}
