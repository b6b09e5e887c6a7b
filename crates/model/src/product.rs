//! Matrix products, the one place where they are made: blocked for the caches, a tile of the
//! output in registers at a time. Every number of a product depends on its own row and column
//! alone, to the last bit, whatever else is computed beside it and on however many threads.
//!
//! Own loops rather than a library's, because they take panels that were packed once, read
//! bfloat16, keep the promise above, and leave no library much to gain: with AVX-512 they run at
//! nine tenths of a core's peak and more at the shapes of a training step (LOG.md).

use std::cell::RefCell;
use std::ops::Range;

use half::bf16;
use rayon::prelude::*;

use crate::instructions::vectorised;
use crate::numeric::fma;

/// Columns of `b` that are taken together.
pub(crate) const PANEL: usize = 64;
/// The summed dimension is taken this much at a time: a panel of `b` stays in the second cache.
const DEPTH: usize = 256;
/// Rows of `a` that are taken together, so that they stay in the second cache too.
const HEIGHT: usize = 256;

/// From one column of a packed `a` to the next: not a power of two, so that they do not all
/// fall into the same sets of the first cache.
const A_STRIDE: usize = HEIGHT + 16;

/// What a weight can be stored as.
pub(crate) trait Element: Copy + Default + Send + Sync {
    fn to_f32(self) -> f32;
}

impl Element for f32 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
}

/// A read-only matrix inside a slice, with any strides.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T = f32> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// `[rows, columns]`, row after row without gaps.
    pub(crate) fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// `[rows, columns]`, each row `row_stride` after the last.
    pub(crate) fn strided(data: &'a [T], rows: usize, columns: usize, row_stride: usize) -> Self {
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

    /// Its rows `first..first + count`.
    fn part(self, first: usize, count: usize) -> Self {
        let skipped = (first * self.row_stride).min(self.data.len());
        Self {
            data: &self.data[skipped..],
            rows: count,
            ..self
        }
    }
}

/// A matrix to write, rows without gaps inside.
pub(crate) struct MatrixMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// `[rows, columns]`, row after row without gaps.
    pub(crate) fn new(data: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// `[rows, columns]`, each row `row_stride` after the last.
    pub(crate) fn strided(
        data: &'a mut [f32],
        rows: usize,
        columns: usize,
        row_stride: usize,
    ) -> Self {
        assert!(
            rows == 0 || (rows - 1) * row_stride + columns <= data.len(),
            "a {rows}x{columns} output of row stride {row_stride} does not fit {} numbers",
            data.len()
        );
        Self {
            data,
            rows,
            columns,
            row_stride,
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

/// `out (op)= scale * a b` on the calling thread; `a` is `[m, k]`, `b` is `[k, n]` and `out` is
/// `[m, n]`.
pub(crate) fn product<T: Element>(
    out: MatrixMut<'_>,
    store: Store,
    scale: f32,
    a: Matrix<'_>,
    b: Matrix<'_, T>,
) {
    check(&out, a.rows, a.columns, b.rows, b.columns);
    SCRATCH.with_borrow_mut(|scratch| blocked(out, store, scale, a, b, scratch));
}

/// [`product`], its rows spread over all threads.
pub(crate) fn product_on_all<T: Element>(
    out: MatrixMut<'_>,
    store: Store,
    scale: f32,
    a: Matrix<'_>,
    b: Matrix<'_, T>,
) {
    let rows = share(out.rows);
    let stride = out.row_stride;
    let columns = out.columns;
    (out.data[..].par_chunks_mut(rows * stride.max(1)))
        .enumerate()
        .take(out.rows.div_ceil(rows))
        .for_each(|(i, data)| {
            let count = rows.min(out.rows - i * rows);
            let part = MatrixMut::strided(data, count, columns, stride);
            product(part, store, scale, a.part(i * rows, count), b);
        });
}

/// Rows of one thread's share, at most [`HEIGHT`].
fn share(rows: usize) -> usize {
    let each = rows.div_ceil(rayon::current_num_threads());
    each.next_multiple_of(8).clamp(8, HEIGHT)
}

fn check(out: &MatrixMut<'_>, m: usize, k: usize, b_rows: usize, n: usize) {
    assert!(
        b_rows == k && out.rows == m && out.columns == n,
        "{m}x{k} times {b_rows}x{n} into {}x{}",
        out.rows,
        out.columns
    );
}

/// A weight packed once for many products: `[columns / 64][k][64]`, the last panel filled up
/// with zeros.
#[derive(Clone)]
pub(crate) struct Panels<T> {
    data: Vec<T>,
    /// Length of the summed dimension.
    pub(crate) depth: usize,
    /// Columns of the product, the filling not counted.
    pub(crate) columns: usize,
}

impl<T: Element> Panels<T> {
    /// Packs `b`, `[k, n]` with any strides, on all threads.
    pub(crate) fn new(b: Matrix<'_, T>) -> Self {
        let mut data = vec![T::default(); b.columns.div_ceil(PANEL) * b.rows * PANEL];
        data.par_chunks_mut((b.rows * PANEL).max(1))
            .enumerate()
            .for_each(|(i, panel)| {
                let first = i * PANEL;
                pack(
                    b,
                    0..b.rows,
                    first..b.columns.min(first + PANEL),
                    panel,
                    |x| x,
                );
            });
        Self {
            data,
            depth: b.rows,
            columns: b.columns,
        }
    }

    /// How many panels there are.
    pub(crate) fn count(&self) -> usize {
        self.columns.div_ceil(PANEL)
    }
}

/// `out (op)= a b` with the panels `panels` of a packed weight, on the calling thread. `out` is
/// `[m, columns of these panels]`.
pub(crate) fn product_of_panels<T: Element>(
    out: MatrixMut<'_>,
    store: Store,
    a: Matrix<'_>,
    b: &Panels<T>,
    panels: Range<usize>,
) {
    let columns = (panels.end * PANEL).min(b.columns) - panels.start * PANEL;
    check(&out, a.rows, a.columns, b.depth, columns);
    let MatrixMut {
        data,
        rows,
        row_stride,
        ..
    } = out;
    let size = b.depth * PANEL;
    for (i, panel) in
        (b.data[panels.start * size..panels.end * size].chunks_exact(size)).enumerate()
    {
        for from in (0..b.depth).step_by(DEPTH) {
            let block = Block {
                depth: DEPTH.min(b.depth - from),
                a: &a.data[from.min(a.data.len())..],
                a_strides: [a.row_stride, 1],
                b: &panel[from * PANEL..],
                b_stride: PANEL,
                rows,
                columns: PANEL.min(columns - i * PANEL),
                out: &mut data[i * PANEL..],
                out_stride: row_stride,
                add: store == Store::Add || from > 0,
                scale: 1.0,
            };
            run(block);
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Room for a packed block of each side.
#[derive(Default)]
struct Scratch {
    a: Vec<f32>,
    b: Vec<f32>,
}

fn blocked<T: Element>(
    out: MatrixMut<'_>,
    store: Store,
    scale: f32,
    a: Matrix<'_>,
    b: Matrix<'_, T>,
    scratch: &mut Scratch,
) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    if k == 0 && store == Store::Overwrite {
        for row in out.data.chunks_mut(out.row_stride.max(1)).take(m) {
            row[..n].fill(0.0);
        }
    }
    // Only a packed `a` needs to be taken in parts.
    let height = if a.column_stride == 1 { m } else { HEIGHT };
    for from in (0..k).step_by(DEPTH) {
        let depth = DEPTH.min(k - from);
        for first in (0..m).step_by(height.max(1)) {
            let rows = height.min(m - first);
            let (a_block, a_strides) = if a.column_stride == 1 {
                (&a.data[first * a.row_stride + from..], [a.row_stride, 1])
            } else {
                scratch.a.resize(DEPTH * A_STRIDE, 0.0);
                pack_columns(a, first..first + rows, from..from + depth, &mut scratch.a);
                (&scratch.a[..], [1, A_STRIDE])
            };
            for column in (0..n).step_by(PANEL) {
                let columns = PANEL.min(n - column);
                scratch.b.resize(DEPTH * PANEL, 0.0);
                let into = &mut scratch.b[..depth * PANEL];
                pack_wide(b, from..from + depth, column..column + columns, into);
                run(Block {
                    depth,
                    a: a_block,
                    a_strides,
                    b: into,
                    b_stride: PANEL,
                    rows,
                    columns,
                    out: &mut out.data[first * out.row_stride + column..],
                    out_stride: out.row_stride,
                    add: store == Store::Add || from > 0,
                    scale,
                });
            }
        }
    }
}

/// `out (op)= scale * a b` on the calling thread, where both are read where they lie: for few
/// rows, and for matrices that fit a cache. The rows of `b` have no gaps inside, and each is
/// followed by numbers of any value up to the next multiple of 16 columns.
pub(crate) fn product_in_place(
    out: MatrixMut<'_>,
    store: Store,
    scale: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
) {
    check(&out, a.rows, a.columns, b.rows, b.columns);
    assert!(b.column_stride == 1, "rows without gaps");
    for from in (0..b.rows).step_by(DEPTH) {
        run(Block {
            depth: DEPTH.min(b.rows - from),
            a: &a.data[from * a.column_stride..],
            a_strides: [a.row_stride, a.column_stride],
            b: &b.data[from * b.row_stride..],
            b_stride: b.row_stride,
            rows: a.rows,
            columns: b.columns,
            out: &mut *out.data,
            out_stride: out.row_stride,
            add: store == Store::Add || from > 0,
            scale,
        });
    }
}

vectorised! {
    /// [`pack`] as `f32`.
    fn pack_wide[T: Element](
        b: Matrix<'_, T>,
        rows: Range<usize>,
        columns: Range<usize>,
        into: &mut [f32],
    ) {
        pack(b, rows, columns, into, T::to_f32);
    }
}

/// Writes the part of `b` as rows of [`PANEL`] numbers, filled up with zeros.
#[inline(always)]
fn pack<T: Copy, U: Copy + Default>(
    b: Matrix<'_, T>,
    rows: Range<usize>,
    columns: Range<usize>,
    into: &mut [U],
    convert: impl Fn(T) -> U,
) {
    let count = columns.len();
    let (into, _) = into.as_chunks_mut::<PANEL>();
    if b.column_stride == 1 {
        for (to, row) in into.iter_mut().zip(rows) {
            let from = &b.data[row * b.row_stride + columns.start..][..count];
            for (to, &from) in to.iter_mut().zip(from) {
                *to = convert(from);
            }
            to[count..].fill(U::default());
        }
        return;
    }
    // Eight rows at a time, which are neighbours where `b` is a transposed view.
    let (eights, rest) = into.as_chunks_mut::<8>();
    for (i, to) in eights.iter_mut().enumerate() {
        let row = rows.start + 8 * i;
        for (j, column) in columns.clone().enumerate() {
            let from = &b.data[row * b.row_stride + column * b.column_stride..];
            match (b.row_stride, from.first_chunk::<8>()) {
                (1, Some(from)) => {
                    for (to, &from) in to.iter_mut().zip(from) {
                        to[j] = convert(from);
                    }
                }
                _ => {
                    for (k, to) in to.iter_mut().enumerate() {
                        to[j] = convert(from[k * b.row_stride]);
                    }
                }
            }
        }
        to.iter_mut().for_each(|to| to[count..].fill(U::default()));
    }
    for (to, row) in rest.iter_mut().zip(rows.start + 8 * eights.len()..) {
        for (to, column) in to.iter_mut().zip(columns.clone()) {
            *to = convert(b.data[row * b.row_stride + column * b.column_stride]);
        }
        to[count..].fill(U::default());
    }
}

/// Writes the part of `a` column by column, each [`A_STRIDE`] after the last.
fn pack_columns(a: Matrix<'_>, rows: Range<usize>, columns: Range<usize>, into: &mut [f32]) {
    for (to, column) in into.chunks_exact_mut(A_STRIDE).zip(columns) {
        let from = &a.data[rows.start * a.row_stride + column * a.column_stride..];
        if a.row_stride == 1 {
            to[..rows.len()].copy_from_slice(&from[..rows.len()]);
        } else {
            for (i, to) in to[..rows.len()].iter_mut().enumerate() {
                *to = from[i * a.row_stride];
            }
        }
    }
}

/// A product of a depth that is summed in registers.
struct Block<'a, T> {
    depth: usize,
    /// `[rows, depth]`.
    a: &'a [f32],
    /// From row to row, and along the depth.
    a_strides: [usize; 2],
    /// `[depth, columns]`, readable up to the next multiple of 16 columns.
    b: &'a [T],
    b_stride: usize,
    rows: usize,
    columns: usize,
    out: &'a mut [f32],
    out_stride: usize,
    add: bool,
    scale: f32,
}

impl<T> Block<'_, T> {
    /// What `tile` reads and writes without a check lies within the slices.
    fn check(&self) {
        let last = |rows: usize, row: usize, columns: usize, column: usize| match rows * columns {
            0 => 0,
            _ => (rows - 1) * row + (columns - 1) * column + 1,
        };
        let [row, along] = self.a_strides;
        let width = self.columns.next_multiple_of(16);
        assert!(
            last(self.rows, row, self.depth, along) <= self.a.len()
                && last(self.depth, self.b_stride, width, 1) <= self.b.len()
                && last(self.rows, self.out_stride, self.columns, 1) <= self.out.len(),
            "a product reads and writes within its matrices"
        );
    }
}

vectorised! {
    fn run[T: Element](block: Block<'_, T>) {
        block.check();
        let mut block = block;
        let mut column = 0;
        while column < block.columns {
            let left = block.columns - column;
            column += if WIDE && left >= 64 {
                strip::<T, 4, 64, FMA>(&mut block, column)
            } else if WIDE && left >= 32 {
                strip::<T, 4, 32, FMA>(&mut block, column)
            } else if WIDE || FMA {
                strip::<T, 4, 16, FMA>(&mut block, column)
            } else {
                strip::<T, 4, 8, FMA>(&mut block, column)
            };
        }
    }
}

/// All rows of `N` columns; returns `N`.
#[inline(always)]
fn strip<T: Element, const M: usize, const N: usize, const FMA: bool>(
    block: &mut Block<'_, T>,
    column: usize,
) -> usize {
    let mut row = 0;
    while row + M <= block.rows {
        tile::<T, M, N, FMA>(block, row, column);
        row += M;
    }
    while row + 2 <= block.rows {
        tile::<T, 2, N, FMA>(block, row, column);
        row += 2;
    }
    if row < block.rows {
        tile::<T, 1, N, FMA>(block, row, column);
    }
    N
}

/// `M` rows by `N` columns of the output, summed in registers.
#[inline(always)]
#[expect(unsafe_code, reason = "a check at every step halves the speed")]
fn tile<T: Element, const M: usize, const N: usize, const FMA: bool>(
    block: &mut Block<'_, T>,
    row: usize,
    column: usize,
) {
    let mut sums = [[0.0; N]; M];
    let [row_stride, along] = block.a_strides;
    let mut a = block.a[(row * row_stride).min(block.a.len())..].as_ptr();
    let mut b = block.b[column.min(block.b.len())..].as_ptr();
    for _ in 0..block.depth {
        // SAFETY: `Block::check` found every row and column of both within their slices, the
        // columns of `b` up to the next multiple of 16; `N` divides or is 16 where it is not
        // whole. The pointers step past the end only after the last read.
        unsafe {
            let stored: [T; N] = b.cast::<[T; N]>().read_unaligned();
            let mut line = [0.0; N];
            for (to, from) in line.iter_mut().zip(stored) {
                *to = from.to_f32();
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = *a.add(i * row_stride);
                for (sum, &b) in sums.iter_mut().zip(&line) {
                    *sum = fma::<FMA>(x, b, *sum);
                }
            }
            a = a.wrapping_add(along);
            b = b.wrapping_add(block.b_stride);
        }
    }
    let kept = N.min(block.columns - column);
    for (i, sums) in sums.iter().enumerate() {
        let out = &mut block.out[(row + i) * block.out_stride + column..][..kept];
        match (block.add, kept == N) {
            (true, true) => {
                for (out, sum) in out[..N].iter_mut().zip(sums) {
                    *out = fma::<FMA>(*sum, block.scale, *out);
                }
            }
            (false, true) => {
                for (out, sum) in out[..N].iter_mut().zip(sums) {
                    *out = sum * block.scale;
                }
            }
            (add, false) => {
                for (out, sum) in out.iter_mut().zip(sums) {
                    let before = if add { *out } else { 0.0 };
                    *out = fma::<FMA>(*sum, block.scale, before);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * 0.37).sin()).collect()
    }

    fn expected(m: usize, k: usize, n: usize, a: &[f32], b: &[f32]) -> Vec<f32> {
        let of = |i: usize, j: usize| -> f64 {
            (0..k)
                .map(|x| f64::from(a[i * k + x]) * f64::from(b[x * n + j]))
                .sum()
        };
        (0..m * n).map(|at| of(at / n, at % n) as f32).collect()
    }

    fn transposed(matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
        (0..matrix.len())
            .map(|at| matrix[at % rows * columns + at / rows])
            .collect()
    }

    fn close(found: &[f32], expected: &[f32], what: &str) {
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() < 1e-3,
                "{what}: {found}, not {expected}"
            );
        }
    }

    #[test]
    fn every_way_to_a_product_gives_it() {
        for (m, k, n) in [
            (1, 1, 1),
            (3, 300, 70),
            (300, 7, 129),
            (17, 64, 48),
            (5, 513, 16),
        ] {
            let (a, b) = (numbers(m * k), numbers(k * n));
            let expected = expected(m, k, n, &a, &b);
            let (a_t, b_t) = (transposed(&a, m, k), transposed(&b, k, n));
            let a_view = Matrix::new(&a[..], m, k);
            for (way, a, b) in [
                ("a b", a_view, Matrix::new(&b[..], k, n)),
                ("a b^T", a_view, Matrix::new(&b_t[..], n, k).t()),
                (
                    "a^T b",
                    Matrix::new(&a_t[..], k, m).t(),
                    Matrix::new(&b[..], k, n),
                ),
            ] {
                let mut out = vec![f32::NAN; m * n];
                product(MatrixMut::new(&mut out, m, n), Store::Overwrite, 1.0, a, b);
                close(&out, &expected, way);
                let mut all = vec![1.0; m * n];
                product_on_all(MatrixMut::new(&mut all, m, n), Store::Add, 2.0, a, b);
                let twice: Vec<f32> = expected.iter().map(|x| 1.0 + 2.0 * x).collect();
                close(&all, &twice, way);
            }
            let panels = Panels::new(Matrix::new(&b_t[..], n, k).t());
            let mut out = vec![f32::NAN; m * n];
            let whole = MatrixMut::new(&mut out, m, n);
            product_of_panels(whole, Store::Overwrite, a_view, &panels, 0..panels.count());
            close(&out, &expected, "panels");
            if n % 16 == 0 {
                let mut out = vec![f32::NAN; m * n];
                let b = Matrix::new(&b[..], k, n);
                product_in_place(
                    MatrixMut::new(&mut out, m, n),
                    Store::Overwrite,
                    1.0,
                    a_view,
                    b,
                );
                close(&out, &expected, "in place");
            }
        }
    }

    #[test]
    fn a_row_of_a_product_does_not_depend_on_the_rows_beside_it() {
        let (k, n) = (300, 80);
        let (a, b) = (numbers(37 * k), numbers(k * n));
        let mut together = vec![0.0; 37 * n];
        let b = Matrix::new(&b[..], k, n);
        let out = MatrixMut::new(&mut together, 37, n);
        product_on_all(out, Store::Overwrite, 0.3, Matrix::new(&a, 37, k), b);
        let panels = Panels::new(b);
        for (row, expected) in a.chunks_exact(k).zip(together.chunks_exact(n)) {
            let mut alone = vec![0.0; n];
            let row = Matrix::new(row, 1, k);
            product(
                MatrixMut::new(&mut alone, 1, n),
                Store::Overwrite,
                0.3,
                row,
                b,
            );
            assert_eq!(alone, expected);
            let out = MatrixMut::new(&mut alone, 1, n);
            product_of_panels(out, Store::Overwrite, row, &panels, 0..panels.count());
            let scaled: Vec<f32> = alone.iter().map(|x| x * 0.3).collect();
            close(&scaled, expected, "panels");
        }
    }

    #[test]
    fn bfloat16_panels_are_their_numbers() {
        let weights: Vec<bf16> = numbers(96 * 40).into_iter().map(bf16::from_f32).collect();
        let wide: Vec<f32> = weights.iter().map(|w| w.to_f32()).collect();
        let a = numbers(5 * 96);
        let a = Matrix::new(&a, 5, 96);
        let (mut narrow_out, mut wide_out) = (vec![0.0; 200], vec![0.0; 200]);
        let panels = Panels::new(Matrix::new(&weights[..], 40, 96).t());
        let out = MatrixMut::new(&mut narrow_out, 5, 40);
        product_of_panels(out, Store::Overwrite, a, &panels, 0..1);
        let out = MatrixMut::new(&mut wide_out, 5, 40);
        product(
            out,
            Store::Overwrite,
            1.0,
            a,
            Matrix::new(&wide[..], 40, 96).t(),
        );
        assert_eq!(narrow_out, wide_out);
    }
}
