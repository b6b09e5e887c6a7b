//! Matrix products: the one place that calls the `gemm` crate.

use crate::Threads;

/// A read-only matrix inside a slice, with any strides.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `[rows, columns]`, row after row without gaps.
    pub(crate) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// `[rows, columns]`, each row `row_stride` after the last.
    pub(crate) fn strided(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(
            rows == 0 || (rows - 1) * row_stride + columns <= data.len(),
            "a {rows}x{columns} matrix of row stride {row_stride} does not fit {} numbers",
            data.len()
        );
        Self {
            data,
            rows,
            columns,
            row_stride,
            column_stride: 1,
        }
    }

    /// The transposed view, without moving a number.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// What a product does with what the output already holds.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Store {
    /// `out = scale * a b`; `out` may hold anything before.
    Overwrite,
    /// `out += scale * a b`.
    Add,
}

/// `out (op)= scale * a b`, with `a` `[m, k]`, `b` `[k, n]` and `out` `[m, n]` without gaps.
pub(crate) fn matmul(
    out: &mut [f32],
    store: Store,
    scale: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    threads: Threads,
) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert!(
        b.rows == k && out.len() >= m * n,
        "{m}x{k} times {}x{n} into {} numbers",
        b.rows,
        out.len()
    );
    if m == 0 || n == 0 {
        return;
    }
    let parallelism = match threads {
        Threads::One => gemm::Parallelism::None,
        Threads::All => gemm::Parallelism::Rayon(0),
    };
    // SAFETY: the views were checked against their slices when made, and `out` above; `out` is
    // uniquely borrowed and so overlaps neither input.
    #[expect(unsafe_code, reason = "the matrix-product library takes raw pointers")]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            store == Store::Add,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_honour_transposition_scale_and_accumulation() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // 2x3
        let b = [1.0, 0.0, 2.0, 0.0, 1.0, 1.0]; // 2x3
        let mut out = [10.0; 4];
        let (a, b) = (Matrix::new(&a, 2, 3), Matrix::new(&b, 2, 3));
        matmul(&mut out, Store::Overwrite, 1.0, a, b.t(), Threads::One);
        assert_eq!(out, [7.0, 5.0, 16.0, 11.0]);
        matmul(&mut out, Store::Add, 2.0, a, b.t(), Threads::One);
        assert_eq!(out, [21.0, 15.0, 48.0, 33.0]);
    }
}
