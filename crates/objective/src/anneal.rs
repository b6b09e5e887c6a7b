//! How a quantity changes as training goes on.

use serde::{Deserialize, Serialize};

/// The course of an annealing between its two ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// In proportion to the progress.
    #[default]
    Linear,
    /// Half a cosine wave: slow at both ends.
    Cosine,
}

/// A value that goes from `from` at the start of training to `to` at its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Anneal {
    /// The value at progress 0.
    pub from: f64,
    /// The value at progress 1.
    pub to: f64,
    /// The course between them.
    pub shape: Shape,
}

impl Anneal {
    /// The value at a progress, which is cut to `[0, 1]`.
    pub fn at(self, progress: f64) -> f64 {
        let progress = progress.clamp(0.0, 1.0);
        let travelled = match self.shape {
            Shape::Linear => progress,
            Shape::Cosine => 0.5 * (1.0 - (std::f64::consts::PI * progress).cos()),
        };
        self.from * (1.0 - travelled) + self.to * travelled
    }

    /// How many of `segments` are kept when the value is the share to keep: method.md's
    /// kappa, `ceil((1 - p) n)` for a line from 1 to 0.
    pub fn segments_kept(self, segments: usize, progress: f64) -> usize {
        // 0.3 x 10 is a little more than 3 in binary, and must not be rounded up to 4.
        const ROUNDING: f64 = 1e-9;
        let share = self.at(progress).clamp(0.0, 1.0);
        (share * segments as f64 - ROUNDING).ceil().max(0.0) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CALLS: Anneal = Anneal {
        from: 0.8,
        to: 0.2,
        shape: Shape::Linear,
    };
    const AWAY: Anneal = Anneal {
        from: 1.0,
        to: 0.0,
        shape: Shape::Linear,
    };

    #[test]
    fn annealing_passes_through_the_hand_made_numbers() {
        let check = |anneal: Anneal, progress: f64, expected: f64| {
            let found = anneal.at(progress);
            assert!((found - expected).abs() < 1e-12, "{anneal:?}: {found}");
        };
        check(CALLS, 0.0, 0.8);
        check(CALLS, 0.5, 0.5);
        check(CALLS, 1.0, 0.2);
        check(CALLS, 7.0, 0.2);
        check(CALLS, -1.0, 0.8);
        let cosine = Anneal {
            shape: Shape::Cosine,
            ..AWAY
        };
        check(cosine, 0.0, 1.0);
        // cos(pi / 3) = 1/2, so a quarter of the way is travelled
        check(cosine, 1.0 / 3.0, 0.75);
        check(cosine, 0.5, 0.5);
        check(cosine, 1.0, 0.0);
    }

    #[test]
    fn segments_are_kept_from_all_to_none() {
        let check = |segments, progress, expected| {
            assert_eq!(AWAY.segments_kept(segments, progress), expected);
        };
        check(10, 0.0, 10);
        check(10, 0.7, 3);
        check(10, 0.71, 3);
        check(10, 0.69, 4);
        check(3, 0.5, 2);
        check(1, 0.99, 1);
        check(5, 1.0, 0);
        check(0, 0.0, 0);
    }

    #[test]
    fn no_more_segments_are_kept_than_there_are() {
        let beyond = Anneal { from: 3.0, ..AWAY };
        assert_eq!(beyond.segments_kept(4, 0.0), 4);
    }

    proptest! {
        #[test]
        fn kept_segments_never_grow_with_progress(
            segments in 0usize..200, a in 0.0..1.0f64, b in 0.0..1.0f64, cosine: bool,
        ) {
            let shape = if cosine { Shape::Cosine } else { Shape::Linear };
            let anneal = Anneal { shape, ..AWAY };
            let early = anneal.segments_kept(segments, a.min(b));
            prop_assert!(early >= anneal.segments_kept(segments, a.max(b)));
            prop_assert!(early <= segments);
        }
    }
}
