//! How the learning rate changes over a run: a factor for each step. Knows no optimiser.

use serde::{Deserialize, Serialize};

/// The shape of the way down after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// None: the rate stays.
    #[default]
    Constant,
    /// A straight line.
    Linear,
    /// Half a cosine (Loshchilov & Hutter 2017, eq. 5, one cycle,
    /// <https://arxiv.org/abs/1608.03983>).
    Cosine,
}

/// A warm-up from nothing, then a way down to `final_fraction` of the full rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Schedule {
    /// The shape of the way down.
    pub kind: ScheduleKind,
    /// Steps of the straight way up; the last of them has the full rate.
    pub warmup_steps: u64,
    /// What is left of the rate after the last step, between 0 and 1.
    pub final_fraction: f32,
}

impl Schedule {
    /// The factor for step `step` of `total`, counted from 0.
    pub fn at(&self, step: u64, total: u64) -> f32 {
        if step < self.warmup_steps {
            return (step + 1) as f32 / self.warmup_steps as f32;
        }
        let way = total.saturating_sub(self.warmup_steps).max(1);
        let done = ((step - self.warmup_steps) as f64 / way as f64).min(1.0);
        let left = match self.kind {
            ScheduleKind::Constant => return 1.0,
            ScheduleKind::Linear => 1.0 - done,
            ScheduleKind::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
        };
        let floor = f64::from(self.final_fraction);
        (floor + (1.0 - floor) * left) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: ScheduleKind, final_fraction: f32, expected: [f32; 6]) {
        let schedule = Schedule {
            kind,
            warmup_steps: 2,
            final_fraction,
        };
        for (step, expected) in [0, 1, 2, 4, 6, 9].into_iter().zip(expected) {
            let found = schedule.at(step, 6);
            assert!(
                (found - expected).abs() < 1e-6,
                "{kind:?} at {step}: {found}"
            );
        }
    }

    #[test]
    fn each_schedule_warms_up_and_comes_down_as_written_out() {
        check(ScheduleKind::Constant, 0.0, [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]);
        check(ScheduleKind::Linear, 0.0, [0.5, 1.0, 1.0, 0.5, 0.0, 0.0]);
        check(ScheduleKind::Linear, 0.2, [0.5, 1.0, 1.0, 0.6, 0.2, 0.2]);
        check(ScheduleKind::Cosine, 0.0, [0.5, 1.0, 1.0, 0.5, 0.0, 0.0]);
        check(ScheduleKind::Cosine, 0.1, [0.5, 1.0, 1.0, 0.55, 0.1, 0.1]);
    }
}
