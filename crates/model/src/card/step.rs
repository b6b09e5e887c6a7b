//! AdamW and the gradient's norm on a card.

use std::ops::Range;

use super::{Resident, STRIDING, THREADS};
use crate::Model;
use crate::args;
use crate::backend::Done;
use crate::cuda::Array;
use crate::optimizer::{Adamw, Piece};

/// Partial sums of squares, which are added here.
const PARTS: usize = 1024;

/// AdamW's moments, `[trained]` each.
pub(crate) struct Moments {
    pub(crate) first: Array<f32>,
    pub(crate) second: Array<f32>,
}

impl Resident {
    /// Zeros for the moments of what is trained of `model`, which takes its room now, too.
    pub(crate) fn moments(&self, model: &Model, len: usize) -> Done<Moments> {
        self.trained(model)?;
        Ok(Moments {
            first: self.device.zeros("moments", len)?,
            second: self.device.zeros("moments", len)?,
        })
    }

    /// Zeros for a gradient.
    pub(crate) fn gradient(&self, len: usize) -> Done<Array<f32>> {
        self.device.zeros("gradient", len)
    }

    /// The Euclidean norm of a gradient: parts of fixed bounds, added in their order.
    pub(crate) fn norm_of(&self, gradient: &Array<f32>) -> Done<f64> {
        let partials: Array<f64> = self.device.uninitialised("activations", PARTS)?;
        let arguments = args![&partials, gradient, gradient.len(), PARTS];
        (self.optimizer).launch("square_sums", PARTS, THREADS, 0, arguments)?;
        Ok(partials.download()?.iter().sum::<f64>().sqrt())
    }

    /// Whether everything that is trained is a finite number.
    pub(crate) fn is_finite(&self, model: &Model) -> Done<bool> {
        let (masters, _) = self.trained(model)?;
        let found = self.device.upload("activations", &[0_i32])?;
        let arguments = args![&found, masters, masters.len()];
        (self.optimizer).launch("all_finite", STRIDING, THREADS, 0, arguments)?;
        Ok(found.download()?[0] == 0)
    }

    /// One step of AdamW, run by run of what decays alike.
    pub(crate) fn adamw(
        &self,
        model: &Model,
        rule: &Adamw,
        pieces: &[Piece],
        gradient: &Array<f32>,
        moments: &Moments,
    ) -> Done {
        let (masters, read) = self.trained(model)?;
        for run in runs(pieces) {
            let (at, len) = (run.range.start, run.range.len());
            let arguments = args![
                masters.at(at),
                read.at(at),
                gradient.at(at),
                moments.first.at(at),
                moments.second.at(at),
                len,
                rule.beta1,
                rule.beta2,
                rule.eps,
                rule.grad_scale,
                rule.step_size,
                rule.second_scale,
                if run.decays { rule.shrink } else { 1.0 }
            ];
            let grid = len.div_ceil(8 * THREADS).min(STRIDING);
            (self.optimizer).launch("adamw", grid, THREADS, 0, arguments)?;
        }
        Ok(())
    }
}

/// Neighbouring numbers that decay alike.
struct Run {
    range: Range<usize>,
    decays: bool,
}

fn runs(pieces: &[Piece]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for Piece { range, decays, .. } in pieces {
        match runs.last_mut() {
            Some(run) if run.range.end == range.start && run.decays == *decays => {
                run.range.end = range.end;
            }
            _ => runs.push(Run {
                range: range.clone(),
                decays: *decays,
            }),
        }
    }
    runs
}
