//! A product on one thread or on all.

use crate::Threads;
pub(crate) use crate::product::{Matrix, Store};
use crate::product::{MatrixMut, product, product_on_all};

/// `out (op)= scale * a b`.
pub(crate) fn matmul(
    out: &mut [f32],
    store: Store,
    scale: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    threads: Threads,
) {
    let out = MatrixMut::new(out, a.rows(), b.columns());
    match threads {
        Threads::One => product(out, store, scale, a, b),
        Threads::All => product_on_all(out, store, scale, a, b),
    }
}
