//! Loops over plain numbers that the compiler vectorises. What is `inline(always)` is meant to
//! be called from a `vectorised!` function alone.

use crate::instructions::vectorised;

/// `a * b + c`, rounded once where the instructions can.
#[inline(always)]
pub(crate) fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// e^x for finite x, within 2 units in the last place (Cephes' polynomial); tiny instead of 0
/// below -87. Branch-free, so that loops over it vectorise.
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer
    let x = x.clamp(-87.0, 88.0);
    let shifted = fma::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = fma::<FMA>(n, -0.693_359_4, x);
    let r = fma::<FMA>(n, 2.121_944_4e-4, r);
    let p = 1.987_569_1e-4_f32;
    let p = fma::<FMA>(p, r, 1.398_2e-3);
    let p = fma::<FMA>(p, r, 8.333_452e-3);
    let p = fma::<FMA>(p, r, 4.166_579_6e-2);
    let p = fma::<FMA>(p, r, 1.666_666_5e-1);
    let p = fma::<FMA>(p, r, 0.5);
    let p = fma::<FMA>(p, r * r, r) + 1.0;
    p * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

#[inline(always)]
fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

const LANES: usize = 16;

/// One number of all lanes, by halves: one after another, they would take longer than the
/// vectors before them.
#[inline(always)]
fn fold(mut lanes: [f32; LANES], join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = join(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// The first numbers as a whole vector, filled up with `filling`.
#[inline(always)]
fn padded(numbers: &[f32], filling: f32) -> [f32; LANES] {
    let mut lanes = [filling; LANES];
    lanes[..numbers.len()].copy_from_slice(numbers);
    lanes
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// The largest number of a slice; -inf if it is empty.
#[inline(always)]
pub(crate) fn max(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = padded(rest, f32::NEG_INFINITY);
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, value);
        }
    }
    fold(lanes, larger)
}

/// Sum of products of two slices of one length.
#[inline(always)]
pub(crate) fn dot<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] = fma::<FMA>(a[i], b[i], lanes[i]);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    fold(lanes, |a, b| a + b) + rest
}

/// Sum of products of three slices of one length.
#[inline(always)]
fn dot3<const FMA: bool>(a: &[f32], b: &[f32], c: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let (c, c_rest) = c.as_chunks::<LANES>();
    for ((a, b), c) in a.iter().zip(b).zip(c) {
        for i in 0..LANES {
            lanes[i] = fma::<FMA>(a[i] * b[i], c[i], lanes[i]);
        }
    }
    let rest = a_rest.iter().zip(b_rest).zip(c_rest);
    fold(lanes, |a, b| a + b) + rest.map(|((a, b), c)| a * b * c).sum::<f32>()
}

/// Replaces each value by e^(value - shift) and returns their sum.
#[inline(always)]
pub(crate) fn exp_shifted<const FMA: bool>(values: &mut [f32], shift: f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = values.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            chunk[i] = exp::<FMA>(chunk[i] - shift);
            lanes[i] += chunk[i];
        }
    }
    let mut last = padded(rest, shift);
    for value in &mut last {
        *value = exp::<FMA>(*value - shift);
    }
    for ((lane, value), last) in lanes.iter_mut().zip(rest).zip(last) {
        *value = last;
        *lane += last;
    }
    fold(lanes, |a, b| a + b)
}

vectorised! {
    /// The largest number of a slice; -inf if it is empty.
    pub(crate) fn largest(values: &[f32]) -> f32 {
        max(values)
    }
}

vectorised! {
    /// Replaces each value by e^((value - shift) * scale).
    pub(crate) fn exp_scaled(values: &mut [f32], shift: f32, scale: f32) {
        for value in values {
            *value = exp::<FMA>((*value - shift) * scale);
        }
    }
}

/// `y += x`.
#[inline]
pub(crate) fn add(y: &mut [f32], x: &[f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += x;
    }
}

vectorised! {
    /// RMSNorm of each row (Zhang & Sennrich 2019, <https://arxiv.org/abs/1910.07467>):
    /// `out = x / rms(x) * weight`. `x` and `out` are `[rows, width]`.
    pub(crate) fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        let width = weight.len();
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let inverse = 1.0 / (dot::<FMA>(x, x) / width as f32 + eps).sqrt();
            for ((out, &x), &weight) in out.iter_mut().zip(x).zip(weight) {
                *out = x * inverse * weight;
            }
        }
    }
}

vectorised! {
    /// Backward of [`rms_norm`]: adds to `dx` `[rows, width]` and to `dweight` `[width]`.
    pub(crate) fn rms_norm_backward(
        x: &[f32],
        weight: &[f32],
        eps: f32,
        dout: &[f32],
        dx: &mut [f32],
        dweight: &mut [f32],
    ) {
        let width = weight.len();
        let rows = x.chunks_exact(width).zip(dout.chunks_exact(width));
        for ((x, dout), dx) in rows.zip(dx.chunks_exact_mut(width)) {
            let inverse = 1.0 / (dot::<FMA>(x, x) / width as f32 + eps).sqrt();
            let projection = dot3::<FMA>(x, dout, weight) * inverse * inverse * inverse;
            let projection = projection / width as f32;
            let out = dx.iter_mut().zip(dweight.iter_mut());
            for ((((dx, dweight), &x), &dout), &weight) in out.zip(x).zip(dout).zip(weight) {
                let direct = dout * inverse;
                *dx += direct * weight - x * projection;
                *dweight += direct * x;
            }
        }
    }
}

vectorised! {
    /// SwiGLU (Shazeer 2020, <https://arxiv.org/abs/2002.05202>): `out = silu(gate) * up`.
    /// `gate_up` is `[rows, 2 * width]`, the gate first; `out` is `[rows, width]`.
    pub(crate) fn swiglu(gate_up: &[f32], width: usize, out: &mut [f32]) {
        for (gate_up, out) in gate_up
            .chunks_exact(2 * width)
            .zip(out.chunks_exact_mut(width))
        {
            let (gate, up) = gate_up.split_at(width);
            for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
                *out = gate * sigmoid::<FMA>(gate) * up;
            }
        }
    }
}

vectorised! {
    /// Backward of [`swiglu`]: turns `gate_up` into its gradient in place, given `dout`.
    pub(crate) fn swiglu_backward(gate_up: &mut [f32], width: usize, dout: &[f32]) {
        for (gate_up, dout) in gate_up
            .chunks_exact_mut(2 * width)
            .zip(dout.chunks_exact(width))
        {
            let (gate, up) = gate_up.split_at_mut(width);
            // In whole vectors: in place, the compiler does not find them by itself.
            let (gates, gate) = gate.as_chunks_mut::<LANES>();
            let (ups, up) = up.as_chunks_mut::<LANES>();
            let (douts, dout) = dout.as_chunks::<LANES>();
            for ((gates, ups), douts) in gates.iter_mut().zip(ups).zip(douts) {
                let (mut dgates, mut dups) = ([0.0; LANES], [0.0; LANES]);
                for i in 0..LANES {
                    (dgates[i], dups[i]) = swiglu_gradient::<FMA>(gates[i], ups[i], douts[i]);
                }
                (*gates, *ups) = (dgates, dups);
            }
            for ((gate, up), &dout) in gate.iter_mut().zip(up).zip(dout) {
                (*gate, *up) = swiglu_gradient::<FMA>(*gate, *up, dout);
            }
        }
    }
}

/// Gradients of `silu(gate) * up`.
#[inline(always)]
fn swiglu_gradient<const FMA: bool>(gate: f32, up: f32, dout: f32) -> (f32, f32) {
    let s = sigmoid::<FMA>(gate);
    let silu = gate * s;
    (dout * up * (s + silu * (1.0 - s)), dout * silu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_the_standard_librarys_within_rounding() {
        for i in -8600..8700 {
            let x = i as f32 / 100.0;
            let error = (f64::from(exp::<true>(x)) / f64::from(x).exp() - 1.0).abs();
            assert!(error < 3e-7, "exp({x}) is off by {error}");
        }
    }

    #[test]
    fn max_dot_and_sums_take_every_element() {
        let values: Vec<f32> = (0..37).map(|i| (i as f32 * 7.3).sin()).collect();
        let expected = values.iter().copied().fold(f32::MIN, f32::max);
        assert_eq!(max(&values), expected);
        let squares: f32 = values.iter().map(|v| v * v).sum();
        assert!((dot::<true>(&values, &values) - squares).abs() < 1e-5);
        let mut weights = values.clone();
        let sum = exp_shifted::<true>(&mut weights, expected);
        assert!((weights.iter().sum::<f32>() - sum).abs() < 1e-4);
    }
}
