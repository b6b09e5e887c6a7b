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
