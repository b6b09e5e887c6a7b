//! Buffers that live from pass to pass, so that a training step allocates nothing new.

/// Spare vectors of numbers. What a taken buffer holds is unspecified.
#[derive(Default)]
pub struct Buffers {
    spare: Vec<Vec<f32>>,
}

impl Buffers {
    /// A buffer of `len` numbers, the smallest spare one that is large enough if there is any.
    pub(crate) fn take(&mut self, len: usize) -> Vec<f32> {
        let fitting = (0..self.spare.len())
            .filter(|&i| self.spare[i].capacity() >= len)
            .min_by_key(|&i| self.spare[i].capacity());
        let mut buffer = match fitting {
            Some(i) => self.spare.swap_remove(i),
            None => Vec::with_capacity(len),
        };
        buffer.resize(len, 0.0);
        buffer
    }

    /// A buffer of zeros.
    pub(crate) fn zeros(&mut self, len: usize) -> Vec<f32> {
        let mut buffer = self.take(len);
        buffer.fill(0.0);
        buffer
    }

    /// Numbers that there is room for in what is spare.
    #[cfg(test)]
    pub(crate) fn numbers(&self) -> usize {
        self.spare.iter().map(Vec::capacity).sum()
    }

    pub(crate) fn give(&mut self, buffer: Vec<f32>) {
        self.spare.push(buffer);
    }
}
