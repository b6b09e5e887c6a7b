//! Entropic optimal transport between calls (Cuturi 2013, <https://arxiv.org/abs/1306.0895>).

const REGULARISATION: f64 = 0.1;
const ITERATIONS: usize = 1000;
const TOLERANCE: f64 = 1e-9;

/// The plan `[rows][columns]` that carries equal shares of the rows to equal shares of the
/// columns at the cost of minus the similarity: Sinkhorn's iterations, with the settings of
/// MatchTIR's release. Rows sum to 1 / rows exactly, columns to 1 / columns within 1e-9, or as
/// near as 1,000 iterations come.
pub(super) fn sinkhorn(similarities: &[Vec<f64>], columns: usize) -> Vec<Vec<f64>> {
    let rows = similarities.len();
    if rows == 0 || columns == 0 {
        return vec![Vec::new(); rows];
    }
    let (row_share, column_share) = (1.0 / rows as f64, 1.0 / columns as f64);
    let kernel: Vec<Vec<f64>> = (similarities.iter())
        .map(|row| row.iter().map(|s| (s / REGULARISATION).exp()).collect())
        .collect();
    let mut u = vec![row_share; rows];
    let mut v = vec![0.0; columns];
    for _ in 0..ITERATIONS {
        let sums = column_sums(&kernel, &u, columns);
        v = sums.iter().map(|sum| column_share / sum).collect();
        for (u, row) in u.iter_mut().zip(&kernel) {
            *u = row_share / row.iter().zip(&v).map(|(k, v)| k * v).sum::<f64>();
        }
        let sums = column_sums(&kernel, &u, columns);
        let errors = sums.iter().zip(&v).map(|(sum, v)| sum * v - column_share);
        if errors.map(|error| error * error).sum::<f64>().sqrt() < TOLERANCE {
            break;
        }
    }
    let scaled = |(u, row): (&f64, &Vec<f64>)| {
        let entries = row.iter().zip(&v);
        entries.map(|(k, v)| u * k * v).collect()
    };
    u.iter().zip(&kernel).map(scaled).collect()
}

/// Kᵀu, `[columns]`.
fn column_sums(kernel: &[Vec<f64>], u: &[f64], columns: usize) -> Vec<f64> {
    let mut sums = vec![0.0; columns];
    for (u, row) in u.iter().zip(kernel) {
        for (sum, k) in sums.iter_mut().zip(row) {
            *sum += u * k;
        }
    }
    sums
}
