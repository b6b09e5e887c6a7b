//! How one quantity grows with another: the exponent that fits best on logarithmic scales.

/// A fitted `y = factor * x^exponent`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerLaw {
    /// The slope on logarithmic scales: 1 is in proportion, 0 not at all.
    pub exponent: f64,
    /// Where the line meets x = 1.
    pub factor: f64,
    /// Share of the variance of `log y` that the line explains, 0 to 1.
    pub r2: f64,
}

impl PowerLaw {
    /// Least squares on the logarithms of `(x, y)`, all positive. `None` with fewer than three
    /// points, through which a line says nothing, or with one x alone.
    pub fn fit(points: &[(f64, f64)]) -> Option<Self> {
        if points.len() < 3 {
            return None;
        }
        let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
        let mean =
            |of: &dyn Fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / logs.len() as f64;
        let (x, y) = (mean(&|p| p.0), mean(&|p| p.1));
        let xx = mean(&|p| (p.0 - x).powi(2));
        let xy = mean(&|p| (p.0 - x) * (p.1 - y));
        let yy = mean(&|p| (p.1 - y).powi(2));
        let exponent = xy / xx;
        (xx > 0.0).then(|| Self {
            exponent,
            factor: (y - exponent * x).exp(),
            // What does not vary is explained.
            r2: if yy > 0.0 { xy * xy / (xx * yy) } else { 1.0 },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_law_is_found_again() {
        let points = [1.0, 2.0, 4.0, 8.0].map(|x: f64| (x, 3.0 * x.powf(-0.5)));
        let law = PowerLaw::fit(&points).expect("four points");
        assert!((law.exponent + 0.5).abs() < 1e-9 && (law.factor - 3.0).abs() < 1e-9);
        assert!((law.r2 - 1.0).abs() < 1e-9);
    }

    #[test]
    fn noise_lowers_the_share_that_is_explained() {
        let law = PowerLaw::fit(&[(1.0, 1.0), (2.0, 4.0), (4.0, 1.0)]).expect("three points");
        assert!(law.exponent.abs() < 1e-9 && law.r2 < 1e-9, "{law:?}");
    }

    #[test]
    fn too_little_gives_no_law() {
        assert_eq!(PowerLaw::fit(&[(1.0, 1.0), (2.0, 2.0)]), None);
        assert_eq!(PowerLaw::fit(&[(2.0, 1.0), (2.0, 2.0), (2.0, 3.0)]), None);
    }
}
