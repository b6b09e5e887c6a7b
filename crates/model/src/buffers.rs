//! Buffers that live from pass to pass, so that a training step allocates nothing new.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Numbers behind the end of every buffer, which products may read.
pub(crate) const MARGIN: usize = 16;

/// Spare vectors of numbers. A clone shares them.
#[derive(Clone, Default)]
pub struct Buffers {
    spare: Arc<Mutex<Vec<Vec<f32>>>>,
}

/// Numbers that go back to where they came from when they are dropped.
pub(crate) struct Buffer {
    numbers: Vec<f32>,
    home: Buffers,
}

impl Buffers {
    /// A buffer of `len` numbers, whichever they are: the smallest spare one that is large enough
    /// if there is any.
    pub(crate) fn take(&self, len: usize) -> Buffer {
        let len = len + MARGIN;
        let mut numbers = self.with(|spare| {
            let fitting = (0..spare.len())
                .filter(|&i| spare[i].capacity() >= len)
                .min_by_key(|&i| spare[i].capacity());
            fitting.map_or_else(|| Vec::with_capacity(len), |i| spare.swap_remove(i))
        });
        numbers.resize(len, 0.0);
        let home = self.clone();
        Buffer { numbers, home }
    }

    /// A buffer of zeros.
    pub(crate) fn zeros(&self, len: usize) -> Buffer {
        let mut buffer = self.take(len);
        buffer.fill(0.0);
        buffer
    }

    /// Numbers that there is room for in what is spare.
    #[cfg(test)]
    pub(crate) fn numbers(&self) -> usize {
        self.with(|spare| spare.iter().map(Vec::capacity).sum())
    }

    fn with<R>(&self, change: impl FnOnce(&mut Vec<Vec<f32>>) -> R) -> R {
        change(&mut self.spare.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Buffer {
    /// Its numbers, and [`MARGIN`] more.
    pub(crate) fn with_margin(&self) -> &[f32] {
        &self.numbers
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.numbers[..self.numbers.len() - MARGIN]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        let len = self.numbers.len() - MARGIN;
        &mut self.numbers[..len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let numbers = std::mem::take(&mut self.numbers);
        self.home.with(|spare| spare.push(numbers));
    }
}
