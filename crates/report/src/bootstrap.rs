//! How sure a mean over seeds and tasks is.

use episode::Seed;

/// Resamples, enough for an interval that is steady to a tenth of its width.
pub(crate) const RESAMPLES: u64 = 10_000;
/// How many of the sorted resamples lie outside a 95% interval on each side.
const TAIL: usize = 250;

/// A mean, and the ends of its 95% interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean over all seeds and tasks.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Estimate {
    /// The mean of `values`, `[seeds][tasks]`, neither of them empty, the same tasks for every
    /// seed. The interval is the percentile bootstrap's (Efron and Tibshirani 1993, chapter
    /// 13) over both: a resample draws seeds and, apart from them, tasks, each as many as there
    /// are and with replacement, and takes the mean where the drawn seeds and tasks cross (the
    /// pigeonhole bootstrap of Owen 2007, Annals of Applied Statistics 1(2)). It says how
    /// another choice of tasks and other training runs would move the mean; with one seed it
    /// says the first alone. Its draws have a seed of their own, so that the same values always
    /// give the same interval.
    pub(crate) fn of(values: &[Vec<f64>]) -> Self {
        let (seeds, tasks) = (values.len(), values[0].len());
        let random = Seed(0).named("bootstrap");
        let mut means: Vec<f64> = (0..RESAMPLES)
            .map(|resample| {
                let random = random.child(resample);
                let mut drawn_seeds = vec![0.0; seeds];
                let of_seeds = random.named("seeds");
                for draw in 0..seeds {
                    drawn_seeds[below(of_seeds.child(draw as u64), seeds)] += 1.0;
                }
                let mut sums = vec![0.0; tasks];
                for (row, times) in values.iter().zip(drawn_seeds) {
                    if times > 0.0 {
                        let columns = sums.iter_mut().zip(row);
                        columns.for_each(|(sum, value)| *sum += times * value);
                    }
                }
                let draws = (0..tasks).map(|draw| sums[below(random.child(draw as u64), tasks)]);
                draws.sum::<f64>() / (seeds * tasks) as f64
            })
            .collect();
        means.sort_by(f64::total_cmp);
        Self {
            mean: values.iter().flatten().sum::<f64>() / (seeds * tasks) as f64,
            low: means[TAIL],
            high: means[means.len() - 1 - TAIL],
        }
    }
}

/// A number in `0..count` from a seed's upper 32 bits (Lemire 2019's product, whose bias is
/// below `count` / 2³²).
fn below(seed: Seed, count: usize) -> usize {
    (((seed.0 >> 32) * count as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_can_be_drawn() {
        let seed = Seed(1);
        for wanted in 0..5 {
            assert!((0..1000).any(|draw| below(seed.child(draw), 5) == wanted));
        }
    }

    fn check_width(values: &[Vec<f64>], mean: f64, half: f64, tolerance: f64) {
        let found = Estimate::of(values);
        assert!((found.mean - mean).abs() < 1e-9, "{found:?}");
        for end in [found.low - mean + half, found.high - mean - half] {
            assert!(end.abs() < tolerance, "{found:?} is not {mean} ± {half}");
        }
    }

    /// Standard deviations: 0.3 over 400 tasks, hence 1.96 · 0.3 / 20 = 0.0294.
    #[test]
    fn equal_seeds_leave_the_tasks_spread_alone() {
        let row: Vec<f64> = (0..400).map(|i| 0.1 + [0.3, -0.3][i % 2]).collect();
        check_width(std::slice::from_ref(&row), 0.1, 0.0294, 0.002);
        check_width(&vec![row; 8], 0.1, 0.0294, 0.002);
    }

    /// Standard deviations: 0.3 over 36 seeds, hence 1.96 · 0.3 / 6 = 0.098, however many
    /// tasks there are.
    #[test]
    fn equal_tasks_leave_the_seeds_spread_alone() {
        let seeds = (0..36).map(|i| vec![0.1 + [0.3, -0.3][i % 2]; 200]);
        check_width(&seeds.collect::<Vec<_>>(), 0.1, 0.098, 0.006);
    }

    /// Both spreads as above: their squares add, √(0.098² + 0.0294²) = 0.1023.
    #[test]
    fn the_spreads_of_seeds_and_tasks_add_up() {
        let spread = |i: usize| [0.3, -0.3][i % 2];
        let seeds = (0..36).map(|s| (0..400).map(|t| 0.1 + spread(s) + spread(t)).collect());
        check_width(&seeds.collect::<Vec<_>>(), 0.1, 0.1023, 0.006);
    }
}
