//! AdamW and the gradient's norm on a card.

use std::ops::Range;

use half::bf16;

use super::resident::rounded;
use super::{Resident, STRIDING, THREADS};
use crate::args;
use crate::backend::Done;
use crate::cuda::{Arg, Array, Number};
use crate::optimizer::{Adamw, Piece};
use crate::{Model, Precision};

/// Partial sums of squares, which are added here.
const PARTS: usize = 1024;

/// AdamW's moments, `[trained]` each: the first, and the second.
pub(crate) enum Moments {
    Exact([Array<f32>; 2]),
    Narrow([Array<bf16>; 2]),
}

impl Moments {
    /// Both, brought here.
    pub(crate) fn download(&self) -> Done<[Vec<f32>; 2]> {
        Ok(match self {
            Self::Exact([first, second]) => [first.download()?, second.download()?],
            Self::Narrow([first, second]) => [wide(&first.download()?), wide(&second.download()?)],
        })
    }

    /// Takes on others of the same lengths.
    pub(crate) fn write(&self, to_first: &[f32], to_second: &[f32]) -> Done {
        match self {
            Self::Exact([first, second]) => {
                first.write(0, to_first)?;
                second.write(0, to_second)
            }
            Self::Narrow([first, second]) => {
                first.write(0, &rounded(to_first))?;
                second.write(0, &rounded(to_second))
            }
        }
    }
}

fn wide(numbers: &[bf16]) -> Vec<f32> {
    numbers.iter().map(|number| number.to_f32()).collect()
}

impl Resident {
    /// Zeros for the moments of what is trained of `model`, which takes its room now, too.
    pub(crate) fn moments(&self, model: &Model, held: Precision, len: usize) -> Done<Moments> {
        self.trained(model)?;
        Ok(match held {
            Precision::F32 => Moments::Exact([self.zeros(len)?, self.zeros(len)?]),
            Precision::Bf16 => Moments::Narrow([self.zeros(len)?, self.zeros(len)?]),
        })
    }

    fn zeros<T: Number>(&self, len: usize) -> Done<Array<T>> {
        self.device.zeros("moments", len)
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

    /// Step number `step` of AdamW, run by run of what decays alike.
    pub(crate) fn adamw(
        &self,
        model: &Model,
        (step, rule): (u64, &Adamw),
        pieces: &[Piece],
        gradient: &Array<f32>,
        moments: &Moments,
    ) -> Done {
        let (masters, read) = self.trained(model)?;
        for run in runs(pieces) {
            let (at, len) = (run.range.start, run.range.len());
            let (kernel, first, second) = match moments {
                Moments::Exact([first, second]) => ("adamw", first.at(at), second.at(at)),
                Moments::Narrow([first, second]) => ("adamw_narrow", first.at(at), second.at(at)),
            };
            let mut arguments = args![
                masters.at(at),
                read.at(at),
                gradient.at(at),
                first,
                second,
                len,
                rule.beta1,
                rule.beta2,
                rule.eps,
                rule.grad_scale,
                rule.step_size,
                rule.second_scale,
                if run.decays { rule.shrink } else { 1.0 }
            ]
            .to_vec();
            if let Moments::Narrow(_) = moments {
                arguments.push(Arg::from(seed(step, at)));
            }
            let grid = len.div_ceil(8 * THREADS).min(STRIDING);
            (self.optimizer).launch(kernel, grid, THREADS, 0, &arguments)?;
        }
        Ok(())
    }
}

/// Where a step's random numbers begin for the number at `at`: those of two steps do not meet.
fn seed(step: u64, at: usize) -> i64 {
    (step << 40).wrapping_add(at as u64).cast_signed()
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
