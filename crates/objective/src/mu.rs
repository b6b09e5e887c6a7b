//! How much of CHORD's loss is the expert's.

/// CHORD's mu, the expert's share in `(1 - mu) L_rl + mu L_sft`. Zhang et al. 2025,
/// <https://arxiv.org/abs/2508.11408>.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mu {
    /// Steps in which it rises in a line from 0 to its peak.
    pub warmup_steps: u64,
    /// Steps after those in which it falls from its peak, along half a cosine wave.
    pub decay_steps: u64,
    /// Its highest value.
    pub peak: f64,
    /// Its value ever after.
    pub valley: f64,
}

impl Mu {
    /// The share at a step, which counts from 0.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.peak * step as f64 / self.warmup_steps as f64;
        }
        let decayed = step - self.warmup_steps;
        if decayed < self.decay_steps {
            let angle = std::f64::consts::PI * decayed as f64 / self.decay_steps as f64;
            return (self.peak - self.valley) * 0.5 * (1.0 + angle.cos()) + self.valley;
        }
        self.valley
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mu_rises_in_a_line_falls_in_a_wave_and_stays() {
        let mu = Mu {
            warmup_steps: 10,
            decay_steps: 20,
            peak: 0.5,
            valley: 0.1,
        };
        let check = |step, expected: f64| {
            let found = mu.at(step);
            assert!((found - expected).abs() < 1e-12, "step {step}: {found}");
        };
        check(0, 0.0);
        check(5, 0.25);
        check(10, 0.5);
        check(20, 0.3);
        check(30, 0.1);
        check(10_000, 0.1);
    }

    #[test]
    fn mu_without_steps_is_its_valley() {
        let mu = Mu {
            warmup_steps: 0,
            decay_steps: 0,
            peak: 0.9,
            valley: 0.1,
        };
        assert_eq!((mu.at(0), mu.at(7)), (0.1, 0.1));
    }
}
