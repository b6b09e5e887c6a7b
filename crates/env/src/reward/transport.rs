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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn where_all_are_alike_everything_is_carried_everywhere() {
        for row in sinkhorn(&[vec![0.3; 4], vec![0.3; 4]], 4) {
            for share in row {
                assert!((share - 1.0 / 8.0).abs() < 1e-15);
            }
        }
    }

    #[test]
    fn there_is_no_plan_to_or_from_nothing() {
        assert_eq!(sinkhorn(&[], 3), Vec::<Vec<f64>>::new());
        let nowhere = vec![Vec::<f64>::new(); 2];
        assert_eq!(sinkhorn(&nowhere, 0), nowhere);
    }

    fn matrix() -> impl Strategy<Value = Vec<Vec<f64>>> {
        (1..6usize).prop_flat_map(|columns| {
            let row = prop::collection::vec(0.0..=1.0, columns);
            prop::collection::vec(row, 1..6)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn rows_and_columns_are_carried_in_equal_shares(similarities in matrix()) {
            let (rows, columns) = (similarities.len(), similarities[0].len());
            let plan = sinkhorn(&similarities, columns);
            for row in &plan {
                prop_assert!((row.iter().sum::<f64>() - 1.0 / rows as f64).abs() < 1e-12);
            }
            for sum in column_sums(&plan, &vec![1.0; rows], columns) {
                prop_assert!((sum - 1.0 / columns as f64).abs() < 1e-4, "{sum}");
            }
        }

        #[test]
        fn a_plan_is_the_kernel_scaled(similarities in matrix()) {
            let plan = sinkhorn(&similarities, similarities[0].len());
            let ratio = |of: &dyn Fn(usize, usize) -> f64, row: usize, column: usize| {
                of(0, 0) + of(row, column) - of(0, column) - of(row, 0)
            };
            for row in 0..plan.len() {
                for column in 0..plan[0].len() {
                    let found = ratio(&|i, j| plan[i][j].ln(), row, column);
                    let kernel = ratio(&|i, j| similarities[i][j] / REGULARISATION, row, column);
                    prop_assert!((found - kernel).abs() < 1e-6, "{found} and {kernel}");
                }
            }
        }
    }
}
