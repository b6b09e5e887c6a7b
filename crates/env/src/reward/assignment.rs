//! One-to-one assignments of rows to columns. Similarities are `[rows][columns]`, in `0..=1`;
//! a pair of similarity 0 is no match.

/// The column of each row, with the largest sum of similarities: Kuhn and Munkres' method in
/// the form of Jonker and Volgenant, which adds a row at a time along a shortest augmenting
/// path; O(n³).
pub(super) fn optimal(similarities: &[Vec<f64>], columns: usize) -> Vec<Option<usize>> {
    let rows = similarities.len();
    // A square: whom nobody else takes is matched with nobody, at no gain.
    let size = rows.max(columns);
    let cost = |row: usize, column: usize| {
        let similarity = similarities.get(row).and_then(|row| row.get(column));
        -similarity.copied().unwrap_or(0.0)
    };
    // A spare column `size` holds the row that is being added.
    let mut row_of: Vec<Option<usize>> = vec![None; size + 1];
    let (mut row_price, mut column_price) = (vec![0.0; size], vec![0.0; size + 1]);
    for row in 0..size {
        row_of[size] = Some(row);
        let mut reached = vec![false; size + 1];
        let mut slack = vec![f64::INFINITY; size];
        let mut previous = vec![size; size];
        let mut at = size;
        while let Some(current) = row_of[at] {
            reached[at] = true;
            let mut nearest = (f64::INFINITY, size);
            for column in (0..size).filter(|&column| !reached[column]) {
                let reduced = cost(current, column) - row_price[current] - column_price[column];
                if reduced < slack[column] {
                    (slack[column], previous[column]) = (reduced, at);
                }
                if slack[column] < nearest.0 {
                    nearest = (slack[column], column);
                }
            }
            for column in 0..=size {
                match row_of[column].filter(|_| reached[column]) {
                    Some(row) => {
                        row_price[row] += nearest.0;
                        column_price[column] -= nearest.0;
                    }
                    None if column < size => slack[column] -= nearest.0,
                    None => {}
                }
            }
            at = nearest.1;
        }
        while at != size {
            row_of[at] = row_of[previous[at]];
            at = previous[at];
        }
    }
    let mut assigned = vec![None; rows];
    for (column, row) in row_of[..columns].iter().enumerate() {
        if let Some(row) = row.filter(|&row| row < rows && similarities[row][column] > 0.0) {
            assigned[row] = Some(column);
        }
    }
    assigned
}

/// The column of each row, the most similar pair first; of equals, the first in reading order.
pub(super) fn greedy(similarities: &[Vec<f64>], columns: usize) -> Vec<Option<usize>> {
    let mut pairs: Vec<(usize, usize)> = (0..similarities.len())
        .flat_map(|row| (0..columns).map(move |column| (row, column)))
        .filter(|&(row, column)| similarities[row][column] > 0.0)
        .collect();
    let similarity = |&(row, column): &(usize, usize)| similarities[row][column];
    pairs.sort_by(|a, b| similarity(b).total_cmp(&similarity(a)));
    let mut assigned = vec![None; similarities.len()];
    let mut taken = vec![false; columns];
    for (row, column) in pairs {
        if assigned[row].is_none() && !taken[column] {
            assigned[row] = Some(column);
            taken[column] = true;
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The largest sum that rows from `row` on can have from columns that are free.
    fn brute_force(similarities: &[Vec<f64>], row: usize, taken: &mut [bool]) -> f64 {
        if row == similarities.len() {
            return 0.0;
        }
        let mut best = brute_force(similarities, row + 1, taken);
        for column in 0..taken.len() {
            if !taken[column] {
                taken[column] = true;
                let rest = brute_force(similarities, row + 1, taken);
                best = best.max(similarities[row][column] + rest);
                taken[column] = false;
            }
        }
        best
    }

    /// The sum of an assignment that gives no column twice and matches nothing at 0.
    fn sum(similarities: &[Vec<f64>], assigned: &[Option<usize>]) -> f64 {
        assert_eq!(assigned.len(), similarities.len());
        let mut columns: Vec<usize> = assigned.iter().flatten().copied().collect();
        columns.sort_unstable();
        columns.dedup();
        assert_eq!(columns.len(), assigned.iter().flatten().count());
        let pairs = similarities.iter().zip(assigned);
        let earned = pairs.filter_map(|(row, column)| column.map(|column| row[column]));
        earned
            .inspect(|similarity| assert!(*similarity > 0.0))
            .sum()
    }

    #[test]
    fn a_pair_that_everybody_wants_goes_where_it_is_missed_least() {
        let similarities = [vec![1.0, 0.9], vec![0.8, 0.0]];
        assert_eq!(optimal(&similarities, 2), [Some(1), Some(0)]);
        assert_eq!(greedy(&similarities, 2), [Some(0), None]);
    }

    #[test]
    fn nobody_is_matched_with_nothing() {
        for assign in [optimal, greedy] {
            assert_eq!(assign(&[], 2), []);
            assert_eq!(assign(&[vec![], vec![]], 0), [None, None]);
            assert_eq!(assign(&[vec![0.0], vec![0.5]], 1), [None, Some(0)]);
        }
    }

    fn matrix() -> impl Strategy<Value = (usize, Vec<Vec<f64>>)> {
        let entry = prop_oneof![Just(0.0), Just(0.5), Just(1.0), 0.0..1.0];
        (0..6usize).prop_flat_map(move |columns| {
            let row = prop::collection::vec(entry.clone(), columns);
            (Just(columns), prop::collection::vec(row, 0..6))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_assignment_has_a_larger_sum((columns, similarities) in matrix()) {
            let best = brute_force(&similarities, 0, &mut vec![false; columns]);
            let found = sum(&similarities, &optimal(&similarities, columns));
            prop_assert!((found - best).abs() < 1e-12, "found {found}, best {best}");
            let greedy = sum(&similarities, &greedy(&similarities, columns));
            prop_assert!(greedy <= best + 1e-12 && 2.0 * greedy >= best - 1e-12);
        }
    }
}
