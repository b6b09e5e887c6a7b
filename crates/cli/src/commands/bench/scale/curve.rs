//! A curve of points: how steep it is, and what bounds its two ends.

use report::PowerLaw;
use serde_json::{Value, json};

use super::point::{Factor, Measured, Outcome, Point, Work};
use super::{Machine, of_curve};

/// From this share of what the machine does at best on, that is what bounds.
const BOUND: f64 = 0.5;

/// One factor's curve in one kind of work.
pub(super) struct Curve {
    pub(super) work: Work,
    pub(super) factor: Factor,
    pub(super) speed: Option<PowerLaw>,
    pub(super) memory: Option<PowerLaw>,
    /// What bounds the lowest and the highest value measured.
    pub(super) ends: Vec<(usize, Bound)>,
}

/// Shares of what the machine does at best.
pub(super) struct Bound {
    /// Of the rate of its matrix products.
    pub(super) compute: f64,
    /// Of the rate at which it reads memory; a lower bound, since only weights, keys and values
    /// are counted, and more than 1 where a cache holds some of them.
    pub(super) bandwidth: f64,
}

impl Bound {
    fn of(point: &Point, measured: &Measured, machine: &Machine) -> Self {
        Self {
            compute: measured.flops / measured.gemm,
            bandwidth: point.step_bytes() / measured.step_seconds / machine.bandwidth,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match (self.compute, self.bandwidth) {
            (compute, bandwidth) if compute.max(bandwidth) < BOUND => "overhead",
            (compute, bandwidth) if compute >= bandwidth => "compute",
            _ => "bandwidth",
        }
    }
}

impl Curve {
    /// Every curve of which anything was measured.
    pub(super) fn all(measured: &[(Point, Outcome)], machine: &Machine) -> Vec<Self> {
        let works = [Work::Train, Work::Decode].into_iter();
        let pairs = works.flat_map(|work| Factor::ALL.map(|factor| (work, factor)));
        pairs
            .map(|(work, factor)| Self::new(measured, work, factor, machine))
            .filter(|curve| !curve.ends.is_empty())
            .collect()
    }

    fn new(measured: &[(Point, Outcome)], work: Work, factor: Factor, machine: &Machine) -> Self {
        let points: Vec<_> = of_curve(measured, work, factor).collect();
        let fit = |of: fn(&Measured) -> f64| {
            let points: Vec<(f64, f64)> = (points.iter())
                .map(|(point, measured)| (point.value() as f64, of(measured)))
                .filter(|(_, y)| *y > 0.0)
                .collect();
            PowerLaw::fit(&points)
        };
        let ends = match &points[..] {
            [] => vec![],
            [only] => vec![only],
            [first, .., last] => vec![first, last],
        };
        Self {
            work,
            factor,
            speed: fit(|measured| measured.tokens_per_second),
            memory: fit(|measured| measured.peak_bytes),
            ends: (ends.into_iter())
                .map(|(point, measured)| (point.value(), Bound::of(point, measured, machine)))
                .collect(),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let law = |law: &Option<PowerLaw>| {
            law.map(|law| json!({ "exponent": law.exponent, "r2": law.r2 }))
        };
        let end = |(value, bound): &(usize, Bound)| {
            json!({
                "value": value,
                "bound": bound.name(),
                "gemm-share": bound.compute,
                "bandwidth-share": bound.bandwidth,
            })
        };
        json!({
            "work": self.work.name(),
            "factor": self.factor.name(),
            "speed": law(&self.speed),
            "memory": law(&self.memory),
            "ends": self.ends.iter().map(end).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearest_to_the_machines_best_bounds_unless_it_is_far_from_it() {
        let check = |compute, bandwidth, expected| {
            assert_eq!(Bound { compute, bandwidth }.name(), expected);
        };
        check(0.8, 0.1, "compute");
        check(0.1, 0.7, "bandwidth");
        check(0.3, 0.4, "overhead");
    }
}
