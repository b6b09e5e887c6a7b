//! A card's memory: arrays of numbers, and the pool that gives and takes back what they stand in.
//!
//! All work is in one stream, so memory that was freed can be taken again at once: what still
//! uses it was asked for before, and is done before.
#![expect(unsafe_code, reason = "memory that Rust does not see")]

use std::collections::BTreeMap;
use std::marker::PhantomData;

use cudarc::driver::result;
use cudarc::driver::sys::CUresult;
use half::bf16;

use super::Device;
use super::failure::failed;
use crate::ModelError;
use crate::error::DeviceMemory;

/// What an array is of. Of each, any bits are a value.
pub trait Number: Copy + Default + Send + Sync + 'static {
    /// The type as kernels write it.
    const NAME: &'static str;
}

impl Number for f32 {
    const NAME: &'static str = "float";
}

impl Number for f64 {
    const NAME: &'static str = "double";
}

impl Number for i32 {
    const NAME: &'static str = "int";
}

impl Number for u32 {
    const NAME: &'static str = "unsigned";
}

impl Number for bf16 {
    const NAME: &'static str = "bf16";
}

/// A place in a card's memory, and the type of the numbers there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub(super) value: u64,
    pub(super) number: &'static str,
}

impl Address {
    /// No place, for arguments that a kernel can do without.
    pub const NONE: Self = Self {
        value: 0,
        number: "",
    };
}

/// What memory is called that stays with recorded work.
const RECORDED: &str = "recorded work";

/// Numbers in a card's memory, which go back to its pool when this is dropped.
pub struct Array<T: Number> {
    device: Device,
    block: Block,
    begin: u64,
    label: &'static str,
    len: usize,
    number: PhantomData<T>,
}

impl<T: Number> Array<T> {
    /// How many numbers.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where number `offset` is, for kernels and products.
    ///
    /// # Panics
    /// If it is past the end.
    pub fn at(&self, offset: usize) -> Address {
        assert!(
            offset <= self.len,
            "{offset} is past an array of {}",
            self.len
        );
        Address {
            value: self.begin + (offset * size_of::<T>()) as u64,
            number: T::NAME,
        }
    }

    /// Puts `values` at `offset`. They may be dropped at once.
    ///
    /// # Errors
    /// If work before this has failed.
    ///
    /// # Panics
    /// If they go past the end.
    pub fn write(&self, offset: usize, values: &[T]) -> Result<(), ModelError> {
        let to = self.part(offset, values.len());
        let stream = self.device.stream_outside_graph()?;
        // SAFETY: the range was checked to be the array's. The driver has read ordinary host
        // memory when it returns, so that `values` need not outlive this call.
        unsafe { result::memcpy_htod_async(to, values, stream) }
            .map_err(failed("copy numbers to the card"))
    }

    /// Copies numbers of another array of the same card, or of other places of this one.
    ///
    /// # Errors
    /// If work before this has failed.
    ///
    /// # Panics
    /// If they go past the end of either.
    pub fn copy(
        &self,
        offset: usize,
        from: &Self,
        from_offset: usize,
        len: usize,
    ) -> Result<(), ModelError> {
        let (to, from) = (self.part(offset, len), from.part(from_offset, len));
        let stream = self.device.bound_stream()?;
        // SAFETY: both ranges were checked to be their arrays'.
        unsafe { result::memcpy_dtod_async(to, from, len * size_of::<T>(), stream) }
            .map_err(failed("copy numbers within the card"))
    }

    /// Sets all numbers to zero.
    ///
    /// # Errors
    /// If work before this has failed.
    pub fn clear(&self) -> Result<(), ModelError> {
        self.fill(0)
    }

    fn fill(&self, byte: u8) -> Result<(), ModelError> {
        let stream = self.device.bound_stream()?;
        // SAFETY: these are the array's bytes.
        unsafe { result::memset_d8_async(self.begin, byte, self.len * size_of::<T>(), stream) }
            .map_err(failed("set numbers to zero"))
    }

    /// All numbers, once all work that was asked for is done. The one wait of this module.
    ///
    /// # Errors
    /// If work before this has failed.
    pub fn download(&self) -> Result<Vec<T>, ModelError> {
        self.download_part(0, self.len)
    }

    /// `len` numbers from `offset` on, once all work that was asked for is done.
    ///
    /// # Errors
    /// If work before this has failed.
    ///
    /// # Panics
    /// If they go past the end.
    pub fn download_part(&self, offset: usize, len: usize) -> Result<Vec<T>, ModelError> {
        let from = self.part(offset, len);
        let stream = self.device.stream_outside_graph()?;
        let mut values = vec![T::default(); len];
        // SAFETY: the range was checked to be the array's; `values` lives until the stream has
        // run, which is waited for below.
        unsafe { result::memcpy_dtoh_async(&mut values, from, stream) }
            .and_then(|()| self.device.0.stream.synchronize())
            .map_err(failed("finish its work"))?;
        Ok(values)
    }

    fn part(&self, offset: usize, len: usize) -> u64 {
        assert!(
            offset <= self.len && len <= self.len - offset,
            "{len} numbers at {offset} are past an array of {}",
            self.len
        );
        self.begin + (offset * size_of::<T>()) as u64
    }
}

impl Array<i32> {
    /// As [`at`](Self::at), for a kernel that puts floats there, whose bits are downloaded.
    pub fn floats_at(&self, offset: usize) -> Address {
        Address {
            number: f32::NAME,
            ..self.at(offset)
        }
    }
}

impl<T: Number> Drop for Array<T> {
    fn drop(&mut self) {
        self.device.memory_of().give(self.label, self.block);
    }
}

impl Device {
    /// An array whose numbers are whatever was there before. `label` says what it is for, to
    /// whoever runs out of memory.
    ///
    /// # Errors
    /// If the card has not so much memory left.
    pub fn uninitialised<T: Number>(
        &self,
        label: &'static str,
        len: usize,
    ) -> Result<Array<T>, ModelError> {
        let block = self.take(label, len * size_of::<T>())?;
        let array = Array {
            device: self.clone(),
            block,
            begin: block.begin(len * size_of::<T>()),
            label,
            len,
            number: PhantomData,
        };
        if cfg!(debug_assertions) {
            array.fill(0xFF)?;
        }
        Ok(array)
    }

    /// An array of zeros.
    ///
    /// # Errors
    /// If the card has not so much memory left.
    pub fn zeros<T: Number>(
        &self,
        label: &'static str,
        len: usize,
    ) -> Result<Array<T>, ModelError> {
        let array = self.uninitialised(label, len)?;
        array.clear()?;
        Ok(array)
    }

    /// An array of these numbers.
    ///
    /// # Errors
    /// If the card has not so much memory left.
    pub fn upload<T: Number>(
        &self,
        label: &'static str,
        values: &[T],
    ) -> Result<Array<T>, ModelError> {
        let array = self.uninitialised(label, values.len())?;
        array.write(0, values)?;
        Ok(array)
    }

    /// The most bytes that arrays had at a time, since the last [`forget_peak`](Self::forget_peak).
    pub fn peak(&self) -> usize {
        self.memory_of().peak
    }

    /// Begins [`peak`](Self::peak) anew, with what arrays have now.
    pub fn forget_peak(&self) {
        let mut memory = self.memory_of();
        memory.peak = memory.in_use;
    }

    /// Memory that nobody has, spare or fresh. When the card has none left, spare memory of
    /// other sizes goes back to it first. While work is recorded, memory that stays with it.
    pub(super) fn take(&self, label: &'static str, bytes: usize) -> Result<Block, ModelError> {
        let bytes = size_class(bytes);
        self.bound_stream()?;
        let mut memory = self.memory_of();
        if let Some(block) = (memory.recording.as_mut()).and_then(|reserve| reserve.take(bytes)) {
            return Ok(block);
        }
        if let Some(block) = memory.take_spare(label, bytes) {
            return Ok(block);
        }
        for last_try in [false, true] {
            // SAFETY: the memory is read by nobody who minds what is in it.
            match unsafe { result::malloc_sync(bytes) } {
                Ok(address) => return Ok(memory.hold(label, address, bytes)),
                Err(error) if error.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY && !last_try => {
                    memory.free_spare();
                }
                Err(error) if error.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY => break,
                Err(error) => return Err(failed("take memory")(error)),
            }
        }
        let held = memory.held.clone();
        drop(memory);
        let (free, total) = self.memory()?;
        Err(ModelError::DeviceMemory(Box::new(DeviceMemory {
            device: self.name().to_owned(),
            label,
            asked: bytes,
            free,
            total,
            held: held.into_iter().filter(|&(_, bytes)| bytes > 0).collect(),
        })))
    }
}

/// A piece of a card's memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) address: u64,
    bytes: usize,
    /// Whether it stays with the work that was being recorded when it was taken.
    reserved: bool,
}

impl Block {
    /// Where so many bytes begin in it. In debug builds they end where it ends, as far as 16-byte
    /// loads allow, so that emulation sees every access past them; and what is uninitialised
    /// there is NaN.
    fn begin(&self, bytes: usize) -> u64 {
        match cfg!(debug_assertions) {
            true => self.address + (self.bytes - bytes.next_multiple_of(16)) as u64,
            false => self.address,
        }
    }
}

/// Who has a card's memory.
#[derive(Default)]
pub(super) struct Memory {
    /// Addresses of what nobody has, by size.
    spare: BTreeMap<usize, Vec<u64>>,
    /// Bytes that are in use, by what for.
    held: BTreeMap<&'static str, usize>,
    /// Bytes of it all, and the most that there ever were.
    in_use: usize,
    peak: usize,
    /// While work is recorded, what its arrays stand in.
    pub(super) recording: Option<Reserve>,
}

/// Memory of arrays that are made and dropped within recorded work. It stays with the records,
/// which run one after another and so can all have the same.
#[derive(Default)]
pub(super) struct Reserve {
    spare: Vec<Block>,
    /// Blocks that arrays have.
    pub(super) taken: usize,
}

impl Reserve {
    /// The smallest spare block that is large enough.
    fn take(&mut self, bytes: usize) -> Option<Block> {
        let fitting = self.spare.iter().enumerate();
        let fitting = fitting.filter(|(_, block)| block.bytes >= bytes);
        let (at, _) = fitting.min_by_key(|(_, block)| block.bytes)?;
        self.taken += 1;
        Some(self.spare.swap_remove(at))
    }
}

impl Memory {
    /// The smallest spare block that is large enough, and not much larger. Batches differ in size,
    /// and what lives for a pass may have room that it does not need until the next; what stays
    /// for a run may not.
    fn take_spare(&mut self, label: &'static str, bytes: usize) -> Option<Block> {
        let most = match label {
            "activations" | "logits" => 2 * bytes,
            _ => bytes + bytes / 8,
        };
        let (&bytes, addresses) = self.spare.range_mut(bytes..=most).next()?;
        let address = addresses
            .pop()
            .expect("sizes without a spare block are not kept");
        if addresses.is_empty() {
            self.spare.remove(&bytes);
        }
        Some(self.hold(label, address, bytes))
    }

    fn hold(&mut self, label: &'static str, address: u64, bytes: usize) -> Block {
        let reserved = self.recording.is_some();
        if let Some(reserve) = &mut self.recording {
            reserve.taken += 1;
        }
        let label = if reserved { RECORDED } else { label };
        *self.held.entry(label).or_default() += bytes;
        self.in_use += bytes;
        self.peak = self.peak.max(self.in_use);
        Block {
            address,
            bytes,
            reserved,
        }
    }

    pub(super) fn give(&mut self, label: &'static str, block: Block) {
        if block.reserved {
            let reserve = self.recording.as_mut();
            let reserve = reserve.expect("an array of recorded work is dropped within it");
            reserve.taken -= 1;
            reserve.spare.push(block);
            return;
        }
        self.free(label, block);
    }

    /// Takes back what stayed with recorded work.
    pub(super) fn give_all(&mut self, reserve: Reserve) {
        for block in reserve.spare {
            self.free(RECORDED, block);
        }
    }

    fn free(&mut self, label: &'static str, block: Block) {
        *self.held.entry(label).or_default() -= block.bytes;
        self.in_use -= block.bytes;
        self.spare
            .entry(block.bytes)
            .or_default()
            .push(block.address);
    }

    /// Gives the card back what nobody has. The card's context is the thread's.
    pub(super) fn free_spare(&mut self) {
        for address in std::mem::take(&mut self.spare).into_values().flatten() {
            // SAFETY: the address came of an allocation and is nobody's. The driver itself waits
            // for work that still uses it.
            // It can only fail as whatever failed before did, of which the next call will tell.
            let _ = unsafe { result::free_sync(address) };
        }
    }
}

/// What is asked of the card for so many bytes: sizes that recur, so that what was freed fits
/// again, and that waste no more than a sixteenth.
fn size_class(bytes: usize) -> usize {
    const SMALLEST: usize = 512;
    const COARSEST: usize = 32 << 20;
    let step = (bytes.max(1).next_power_of_two() / 32).clamp(SMALLEST, COARSEST);
    bytes.max(1).next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use super::size_class;

    #[test]
    fn sizes_recur_and_waste_little() {
        for (bytes, expected) in [
            (0, 512),
            (512, 512),
            (513, 1024),
            (100_000, 102_400),
            (1 << 20, 1 << 20),
            ((1 << 20) + 1, (1 << 20) + (1 << 16)),
            ((16 << 30) + 1, (16 << 30) + (32 << 20)),
        ] {
            assert_eq!(size_class(bytes), expected, "{bytes}");
        }
    }
}
