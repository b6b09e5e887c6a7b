//! What this machine does at best, measured: what the speed of everything else is a share of.

use std::time::Duration;

use rayon::prelude::*;

use crate::product::{Matrix, MatrixMut, Store, product_on_all};

/// Times that each thing is measured; the fastest counts, since only others can slow it down.
const TIMES: usize = 5;

/// Shapes of products, `[m, k] x [k, n]`, at which matrix products come near their best.
const SHAPES: [[usize; 3]; 3] = [[2048, 256, 1024], [2048, 512, 2048], [2048, 1024, 1024]];

/// Floating-point operations a second of this crate's own matrix products, on all threads of
/// the pool, at the best of a few shapes. `clock` is time since some fixed moment.
pub fn measure_gemm(clock: &dyn Fn() -> Duration) -> f64 {
    let rate = |[m, k, n]: [usize; 3]| {
        let (a, b) = (vec![0.5; m * k], vec![0.25; n * k]);
        let mut out = vec![0.0; m * n];
        let seconds = fastest(clock, || {
            product_on_all(
                MatrixMut::new(&mut out, m, n),
                Store::Overwrite,
                1.0,
                Matrix::new(&a, m, k),
                Matrix::new(&b[..], n, k).t(),
            );
        });
        2.0 * (m * k * n) as f64 / seconds
    };
    SHAPES.into_iter().map(rate).fold(0.0, f64::max)
}

/// Bytes a second that all threads of the pool together read from memory, out of a buffer that
/// no cache holds.
pub fn measure_bandwidth(clock: &dyn Fn() -> Duration) -> f64 {
    let numbers = vec![1.0_f32; 1 << 26];
    let mut sum = 0.0;
    let seconds = fastest(clock, || {
        sum += numbers.par_chunks(1 << 16).map(lane_sums).sum::<f32>();
    });
    assert!(sum > 0.0, "what is summed is read");
    size_of_val(&numbers[..]) as f64 / seconds
}

/// A sum that waits for memory and not for the addition before.
fn lane_sums(numbers: &[f32]) -> f32 {
    let mut lanes = [0.0; 64];
    for chunk in numbers.as_chunks::<64>().0 {
        for (lane, number) in lanes.iter_mut().zip(chunk) {
            *lane += number;
        }
    }
    lanes.iter().sum()
}

fn fastest(clock: &dyn Fn() -> Duration, mut work: impl FnMut()) -> f64 {
    let times = (0..TIMES).map(|_| {
        let began = clock();
        work();
        (clock() - began).as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min).max(1e-9)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_rate_is_what_was_done_over_what_the_clock_says() {
        // Every look at the clock is one second after the last.
        let seconds = Cell::new(0);
        let clock = || {
            seconds.set(seconds.get() + 1);
            Duration::from_secs(seconds.get())
        };
        assert_eq!(measure_gemm(&clock), 2.0 * 2048.0 * 512.0 * 2048.0);
        assert_eq!(measure_bandwidth(&clock), (1_u64 << 28) as f64);
    }
}
