//! A decoder's weights as its passes read them: in f32, or in bfloat16 at half the memory. The
//! arithmetic is f32 either way. Knows no files.

use std::collections::BTreeMap;
use std::sync::Arc;

use half::bf16;
use rayon::prelude::*;

use crate::parameters::{Layout, ParameterKind, Parameters};
use crate::product::{Element, Matrix, MatrixMut, Store, product};
use crate::shard::Precision;

/// Numbers that a thread converts or sums up at a time.
const PIECE: usize = 1 << 16;

/// All weights of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub enum Weights {
    /// In f32; an optimiser may move them.
    F32(Parameters),
    /// In bfloat16; they stand still.
    Bf16(Rounded),
    /// In bfloat16 for the passes, with f32 masters beside for an optimiser to move
    /// (Micikevicius et al. 2018, section 3.1, <https://arxiv.org/abs/1710.03740>).
    Mixed {
        /// What the optimiser moves, and what is saved.
        masters: Parameters,
        /// The masters, rounded.
        rounded: Rounded,
    },
}

/// Weights rounded to bfloat16, to the nearest and to the even one of two.
#[derive(Clone, Debug, PartialEq)]
pub struct Rounded {
    layout: Arc<Layout>,
    /// `[layout.len]`.
    pub(crate) data: Vec<bf16>,
    /// The rounded gains and biases once more as f32, which costs nothing and is how they are
    /// read.
    vectors: Vec<f32>,
    /// Where in `vectors` the vector lies that begins at a place of the layout. Neighbours in
    /// the layout are neighbours there.
    places: BTreeMap<usize, usize>,
}

impl From<Parameters> for Weights {
    fn from(parameters: Parameters) -> Self {
        Self::F32(parameters)
    }
}

impl Weights {
    /// Weights to be trained, which passes read in `precision`.
    pub fn trained(parameters: Parameters, precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32(parameters),
            Precision::Bf16 => {
                let mut rounded = Rounded::zeros(Arc::clone(&parameters.layout));
                rounded.round(&parameters.data);
                Self::Mixed {
                    masters: parameters,
                    rounded,
                }
            }
        }
    }

    /// Weights that stand still, held in `precision`.
    pub fn frozen(parameters: Parameters, precision: Precision) -> Self {
        match Self::trained(parameters, precision) {
            Self::Mixed { rounded, .. } => Self::Bf16(rounded),
            f32 => f32,
        }
    }

    /// Where each parameter lies.
    pub fn layout(&self) -> &Arc<Layout> {
        match self {
            Self::F32(parameters) => &parameters.layout,
            Self::Bf16(rounded) | Self::Mixed { rounded, .. } => &rounded.layout,
        }
    }

    /// What passes read.
    pub fn precision(&self) -> Precision {
        match self {
            Self::F32(_) => Precision::F32,
            Self::Bf16(_) | Self::Mixed { .. } => Precision::Bf16,
        }
    }

    /// What an optimiser moves, exact; nothing where the weights stand still in bfloat16.
    pub fn masters(&self) -> Option<&Parameters> {
        match self {
            Self::F32(masters) | Self::Mixed { masters, .. } => Some(masters),
            Self::Bf16(_) => None,
        }
    }

    /// Lets `change` move what an optimiser moves, and rounds it again where passes read it
    /// rounded.
    pub fn change<R>(&mut self, change: impl FnOnce(&mut [f32]) -> R) -> R {
        match self {
            Self::F32(masters) => change(&mut masters.data),
            Self::Mixed { masters, rounded } => {
                let outcome = change(&mut masters.data);
                rounded.round(&masters.data);
                outcome
            }
            Self::Bf16(_) => panic!("weights without f32 masters stand still"),
        }
    }

    /// Bytes of memory that they take.
    pub fn bytes(&self) -> usize {
        let len = self.layout().len;
        match self {
            Self::F32(_) => 4 * len,
            Self::Bf16(_) => 2 * len,
            Self::Mixed { .. } => 6 * len,
        }
    }

    /// A number that tells these weights from others, the same in every precision: of their
    /// bfloat16 bits, FNV-1a in pieces.
    pub fn digest(&self) -> u64 {
        match self {
            Self::F32(weights)
            | Self::Mixed {
                masters: weights, ..
            } => digest(&weights.data, |&x| bf16::from_f32(x)),
            Self::Bf16(rounded) => digest(&rounded.data, |&x| x),
        }
    }

    /// The weight that begins at `offset`, `[rows, columns]`.
    pub(crate) fn matrix(&self, offset: usize, rows: usize, columns: usize) -> Weight<'_> {
        let range = offset..offset + rows * columns;
        match self {
            Self::F32(weights) => Weight::F32(Matrix::new(&weights.data[range], rows, columns)),
            Self::Bf16(rounded) | Self::Mixed { rounded, .. } => {
                Weight::Bf16(Matrix::new(&rounded.data[range], rows, columns))
            }
        }
    }

    /// The gain or bias that begins at `offset`.
    pub(crate) fn vector(&self, offset: usize, len: usize) -> &[f32] {
        match self {
            Self::F32(weights) => &weights.data[offset..offset + len],
            Self::Bf16(rounded) | Self::Mixed { rounded, .. } => {
                let place = *(rounded.places.get(&offset)).expect("a vector of the layout");
                &rounded.vectors[place..place + len]
            }
        }
    }

    /// Writes the numbers from `offset` on as f32.
    pub(crate) fn widen(&self, offset: usize, out: &mut [f32]) {
        let range = offset..offset + out.len();
        match self {
            Self::F32(weights) => out.copy_from_slice(&weights.data[range]),
            Self::Bf16(rounded) | Self::Mixed { rounded, .. } => {
                for (out, x) in out.iter_mut().zip(&rounded.data[range]) {
                    *out = Element::to_f32(*x);
                }
            }
        }
    }
}

impl Rounded {
    /// Weights that are bfloat16 already.
    pub(crate) fn new(layout: Arc<Layout>, data: Vec<bf16>) -> Self {
        assert_eq!(data.len(), layout.len, "weights fill the layout");
        let (mut places, mut count) = (BTreeMap::new(), 0);
        for spec in layout.specs() {
            if matches!(spec.kind, ParameterKind::Norm | ParameterKind::Bias) {
                places.insert(spec.offset, count);
                count += spec.count();
            }
        }
        let mut rounded = Self {
            layout,
            data,
            vectors: vec![0.0; count],
            places,
        };
        rounded.widen_vectors();
        rounded
    }

    fn zeros(layout: Arc<Layout>) -> Self {
        let data = vec![bf16::ZERO; layout.len];
        Self::new(layout, data)
    }

    /// Takes the place of what it held.
    fn round(&mut self, exact: &[f32]) {
        (self.data.par_chunks_mut(PIECE))
            .zip(exact.par_chunks(PIECE))
            .for_each(|(rounded, exact)| {
                for (rounded, &exact) in rounded.iter_mut().zip(exact) {
                    *rounded = bf16::from_f32(exact);
                }
            });
        self.widen_vectors();
    }

    fn widen_vectors(&mut self) {
        let specs = self.layout.specs();
        for spec in specs {
            if let Some(&place) = self.places.get(&spec.offset) {
                let vector = &mut self.vectors[place..place + spec.count()];
                for (wide, x) in vector.iter_mut().zip(&self.data[spec.range()]) {
                    *wide = Element::to_f32(*x);
                }
            }
        }
    }
}

/// One weight inside the buffer of all.
#[derive(Clone, Copy)]
pub(crate) enum Weight<'a> {
    F32(Matrix<'a>),
    Bf16(Matrix<'a, bf16>),
}

impl Weight<'_> {
    /// The transposed view.
    pub(crate) fn t(self) -> Self {
        match self {
            Self::F32(matrix) => Self::F32(matrix.t()),
            Self::Bf16(matrix) => Self::Bf16(matrix.t()),
        }
    }

    /// `out (op)= scale * a W` on the calling thread.
    pub(crate) fn product(self, out: MatrixMut<'_>, store: Store, scale: f32, a: Matrix<'_>) {
        match self {
            Self::F32(weight) => product(out, store, scale, a, weight),
            Self::Bf16(weight) => product(out, store, scale, a, weight),
        }
    }
}

fn digest<T: Sync>(numbers: &[T], round: impl Fn(&T) -> bf16 + Sync) -> u64 {
    const START: u64 = 0xcbf2_9ce4_8422_2325;
    let add = |sum: u64, bits: u64| (sum ^ bits).wrapping_mul(0x0100_0000_01b3);
    let pieces: Vec<u64> = (numbers.par_chunks(PIECE))
        .map(|piece| {
            let bits = piece.iter().map(|x| u64::from(round(x).to_bits()));
            bits.fold(START, add)
        })
        .collect();
    pieces.into_iter().fold(START, add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;
    use crate::parameters::init;

    fn parameters() -> Parameters {
        let mut architecture = Preset::Tiny.architecture(300);
        architecture.qkv_bias = true;
        let mut parameters = init(&architecture, 5);
        for (i, x) in parameters.data.iter_mut().enumerate() {
            *x += 0.1 * (i as f32 * 0.7).sin();
        }
        parameters
    }

    #[test]
    fn rounding_goes_to_the_nearest_and_to_the_even_of_two() {
        let mut exact = parameters();
        // bfloat16 keeps 8 significant bits: around 1, steps of 2^-7.
        let step = 1.0 / 128.0;
        let cases = [
            (1.0 + 0.5 * step, 1.0),
            (1.0 + 1.5 * step, 1.0 + 2.0 * step),
            (1.0 + 0.51 * step, 1.0 + step),
            (-1.0 - 0.49 * step, -1.0),
        ];
        for (x, (from, _)) in exact.data.iter_mut().zip(cases) {
            *x = from;
        }
        let weights = Weights::trained(exact, Precision::Bf16);
        let mut out = [0.0; 4];
        weights.widen(0, &mut out);
        assert_eq!(out, cases.map(|(_, to)| to));
    }

    #[test]
    fn every_view_of_rounded_weights_reads_the_same_numbers_after_every_change() {
        let mut weights = Weights::trained(parameters(), Precision::Bf16);
        for _ in 0..2 {
            let layout = Arc::clone(weights.layout());
            let at = layout.layers[1];
            let bias = at.qkv_bias.expect("it has biases");
            for (offset, len) in [(layout.norm, 128), (bias, 256), (at.post_norm, 128)] {
                let mut expected = vec![0.0; len];
                weights.widen(offset, &mut expected);
                assert_eq!(weights.vector(offset, len), expected);
                let exact = &weights.masters().expect("they are trained").data;
                for (rounded, exact) in expected.iter().zip(&exact[offset..]) {
                    assert!((rounded - exact).abs() <= exact.abs() / 256.0);
                }
            }
            weights.change(|masters| masters.iter_mut().for_each(|x| *x *= 1.3));
        }
    }

    #[test]
    fn a_digest_is_the_same_in_every_precision_and_another_for_other_weights() {
        let exact = parameters();
        let expected = Weights::F32(exact.clone()).digest();
        for precision in [Precision::F32, Precision::Bf16] {
            let frozen = Weights::frozen(exact.clone(), precision);
            assert_eq!(frozen.digest(), expected);
            assert_eq!(
                Weights::trained(exact.clone(), precision).digest(),
                expected
            );
        }
        let mut other = exact;
        let last = other.data.len() - 1;
        other.data[last] *= 1.1;
        assert_ne!(Weights::F32(other).digest(), expected);
    }
}
