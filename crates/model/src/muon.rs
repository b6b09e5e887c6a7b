//! Muon's orthogonalisation of one matrix. Knows no parameters and no state.

use crate::product::{Matrix, MatrixMut, Store, product_on_all};

/// Brings the singular values of `matrix`, `[rows, columns]`, near 1 (between about 0.7 and
/// 1.2) and keeps its singular vectors: the quintic Newton-Schulz iteration of Jordan et al.
/// 2024, <https://kellerjordan.github.io/posts/muon/>, X <- a X + (b A + c A A) X with A = X
/// X^T, on the smaller side of the matrix. A zero matrix stays zero. The caller scales the
/// result by sqrt(max(1, rows / columns)), as that post does.
pub(crate) fn orthogonalise(matrix: &mut [f32], rows: usize, columns: usize, steps: usize) {
    const A: f32 = 3.4445;
    const B: f32 = -4.7750;
    const C: f32 = 2.0315;
    // The Frobenius norm bounds the largest singular value, which the iteration needs to be at
    // most 1.
    let norm = matrix
        .iter()
        .map(|&value| f64::from(value).powi(2))
        .sum::<f64>()
        .sqrt();
    let inverse = (1.0 / (norm + 1e-7)) as f32;
    matrix.iter_mut().for_each(|value| *value *= inverse);

    let tall = rows > columns;
    let side = rows.min(columns);
    let mut gram = vec![0.0; side * side];
    let mut polynomial = vec![0.0; side * side];
    let mut next = vec![0.0; rows * columns];
    for _ in 0..steps {
        let x = Matrix::new(matrix, rows, columns);
        let (left, right) = if tall { (x.t(), x) } else { (x, x.t()) };
        let out = MatrixMut::new(&mut gram, side, side);
        product_on_all(out, Store::Overwrite, 1.0, left, right);

        let a = Matrix::new(&gram, side, side);
        let out = MatrixMut::new(&mut polynomial, side, side);
        product_on_all(out, Store::Overwrite, C, a, a);
        for (p, a) in polynomial.iter_mut().zip(&gram) {
            *p += B * a;
        }

        let p = Matrix::new(&polynomial, side, side);
        let (left, right) = if tall { (x, p) } else { (p, x) };
        let out = MatrixMut::new(&mut next, rows, columns);
        product_on_all(out, Store::Overwrite, 1.0, left, right);
        for (x, next) in matrix.iter_mut().zip(&next) {
            *x = A * *x + next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest eigenvalue of a symmetric `[n, n]` matrix without negative ones, by power
    /// iteration.
    fn largest_eigenvalue(matrix: &[f64], n: usize) -> f64 {
        let mut vector: Vec<f64> = (0..n).map(|i| 1.0 + i as f64 / n as f64).collect();
        let mut length = 0.0;
        for _ in 0..2000 {
            let row = |i: usize| (0..n).map(|j| matrix[i * n + j] * vector[j]).sum::<f64>();
            vector = (0..n).map(row).collect();
            length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
            vector.iter_mut().for_each(|x| *x /= length);
        }
        length
    }

    fn check(rows: usize, columns: usize) {
        let mut random = crate::sampling::rng(7);
        let gaussian = |_| crate::sampling::standard_normal(&mut random) as f32;
        let original: Vec<f32> = (0..rows * columns).map(gaussian).collect();
        let mut matrix = original.clone();
        orthogonalise(&mut matrix, rows, columns, 5);

        // Singular values are the roots of the eigenvalues of X X^T; all lie below 2.
        let n = rows.min(columns);
        let at = |i: usize, k: usize| {
            f64::from(if rows <= columns {
                matrix[i * columns + k]
            } else {
                matrix[k * columns + i]
            })
        };
        let inner = |i: usize, j: usize| {
            (0..rows.max(columns))
                .map(|k| at(i, k) * at(j, k))
                .sum::<f64>()
        };
        let gram: Vec<f64> = (0..n * n).map(|ij| inner(ij / n, ij % n)).collect();
        let mirrored: Vec<f64> = (0..n * n)
            .map(|ij| f64::from(ij / n == ij % n) * 2.0 - gram[ij])
            .collect();
        let largest = largest_eigenvalue(&gram, n).sqrt();
        let smallest = (2.0 - largest_eigenvalue(&mirrored, n)).sqrt();
        assert!(
            largest < 1.2 && smallest > 0.6,
            "{rows}x{columns}: {smallest} to {largest}"
        );

        let alignment: f32 = matrix.iter().zip(&original).map(|(a, b)| a * b).sum();
        assert!(alignment > 0.0, "the update points along the gradient");
    }

    #[test]
    fn singular_values_come_near_one_whatever_the_shape() {
        check(12, 40);
        check(40, 12);
        check(16, 64);
    }

    #[test]
    fn diagonal_singular_values_are_those_of_the_scalar_iteration() {
        let mut matrix = [3.0, 0.0, 0.0, 0.0, 4.0, 0.0];
        orthogonalise(&mut matrix, 2, 3, 1);
        let once = |s: f32| 3.4445 * s - 4.7750 * s.powi(3) + 2.0315 * s.powi(5);
        for (found, expected) in matrix
            .iter()
            .zip([once(0.6), 0.0, 0.0, 0.0, once(0.8), 0.0])
        {
            assert!(
                (found - expected).abs() < 1e-5,
                "{found} instead of {expected}"
            );
        }
    }

    #[test]
    fn a_zero_matrix_stays_zero() {
        let mut matrix = [0.0; 6];
        orthogonalise(&mut matrix, 2, 3, 5);
        assert_eq!(matrix, [0.0; 6]);
    }
}
