//! What a pass asks of whoever computes: a small set of operations on rows of numbers. The
//! decoder is written once over them, in pass.rs and its parts. Knows no order of layers.
//!
//! An operation takes rows and gives rows, `[rows, …]`; how many there are, their lengths say.
//! Weights are named by where they begin in the layout, and so are their gradients, which are
//! added to; nothing is added where weights stand still.

use crate::error::ModelError;
use crate::parameters::LayerOffsets;
use crate::{Architecture, Coefficient, Model, TokenTree};

/// What an operation comes to: on a card it may not find the room.
pub(crate) type Done<T = ()> = Result<T, ModelError>;

/// Where numbers are, and who computes with them.
pub(crate) trait Backend {
    /// Numbers in f32: the residual stream, its gradient, logits, logarithms of sums.
    type Exact;
    /// Numbers that enter matrix products, in the precision in which these are made.
    type Narrow;
    /// A tree, as embedding and attention read it.
    type Forest;
    /// The gradient of everything that is trained.
    type Gradient: ?Sized;

    /// The model whose weights these are.
    fn model(&self) -> &Model;

    /// Lays a tree out.
    fn forest(&mut self, tree: &TokenTree) -> Done<Self::Forest>;

    /// The embeddings of all tokens, `[tokens, hidden]`.
    fn embed(&mut self, forest: &Self::Forest) -> Done<Self::Exact>;

    /// Adds the gradient of the embedding.
    fn embed_backward(
        &mut self,
        forest: &Self::Forest,
        dx: &Self::Exact,
        gradient: &mut Self::Gradient,
    ) -> Done;

    /// RMSNorm by the gains at `gain` (Zhang & Sennrich 2019, eq. 4). `[rows, hidden]`.
    fn norm(&mut self, gain: usize, x: &Self::Exact) -> Done<Self::Narrow>;

    /// Adds the gradient of a norm's input to `dx`.
    fn norm_backward(
        &mut self,
        gain: usize,
        x: &Self::Exact,
        dnormed: &Self::Narrow,
        dx: &mut Self::Exact,
        gradient: &mut Self::Gradient,
    ) -> Done;

    /// `x W^T + bias`, and what an adapter adds: `[rows, inputs]` to `[rows, outputs]`.
    fn linear(&mut self, linear: Linear, x: &Self::Narrow) -> Done<Self::Narrow>;

    /// `onto + x W^T`, and what an adapter adds.
    fn add_linear(
        &mut self,
        linear: Linear,
        x: &Self::Narrow,
        onto: &Self::Exact,
    ) -> Done<Self::Exact>;

    /// The gradient of the input of [`linear`](Self::linear), `[rows, inputs]`.
    fn linear_backward(
        &mut self,
        linear: Linear,
        x: &Self::Narrow,
        dout: &Self::Narrow,
        gradient: &mut Self::Gradient,
    ) -> Done<Self::Narrow>;

    /// The gradient of the input of [`add_linear`](Self::add_linear), `[rows, inputs]`.
    fn add_linear_backward(
        &mut self,
        linear: Linear,
        x: &Self::Narrow,
        dout: &Self::Exact,
        gradient: &mut Self::Gradient,
    ) -> Done<Self::Narrow>;

    /// `silu(gate) * up` (Shazeer 2020, section 2): `[rows, 2 * ffn]` to `[rows, ffn]`.
    fn swiglu(&mut self, gate_up: &Self::Narrow) -> Done<Self::Narrow>;

    /// Puts the gradient of `gate_up` into its place.
    fn swiglu_backward(&mut self, gate_up: &mut Self::Narrow, dgated: &Self::Narrow) -> Done;

    /// Norms and rotates queries and keys, and attends: `[tokens, queries, keys and values]` to
    /// `[tokens, queries]`, and the log of every softmax's denominator, `[tokens, heads]`.
    fn attend(
        &mut self,
        at: &LayerOffsets,
        forest: &Self::Forest,
        projected: &Self::Narrow,
    ) -> Done<(Self::Narrow, Self::Exact)>;

    /// The gradient of what was projected.
    fn attend_backward(
        &mut self,
        at: &LayerOffsets,
        forest: &Self::Forest,
        forward: Attended<'_, Self>,
        dattended: Self::Narrow,
        gradient: &mut Self::Gradient,
    ) -> Done<Self::Narrow>;

    /// Zeros for `rows` rows of `width` numbers.
    fn zeros(&mut self, rows: usize, width: usize) -> Done<Self::Exact>;

    /// The rows of `x`, each of `width` numbers, at these places.
    fn gather(&mut self, x: &Self::Exact, width: usize, places: &[usize]) -> Done<Self::Exact>;

    /// Adds each of these rows to the row of `x` at its place, in order.
    fn scatter(
        &mut self,
        rows: &Self::Exact,
        width: usize,
        places: &[usize],
        x: &mut Self::Exact,
    ) -> Done;

    /// `[rows, hidden]` to logits over the temperature, `[rows, vocabulary]`.
    fn logits(&mut self, normed: &Self::Narrow) -> Done<Self::Exact>;

    /// Log-probability and entropy, in nats, of each row's token.
    fn logprobs(&mut self, logits: &Self::Exact, tokens: &[u32]) -> Done<(Vec<f32>, Vec<f32>)>;

    /// The gradient of what the coefficients make of log-probabilities and entropies, from
    /// logits to logits before the temperature.
    fn logprobs_backward(&mut self, logits: Self::Exact, rows: Predicted<'_>)
    -> Done<Self::Narrow>;

    /// The gradient of what the logits were made of, `[rows, hidden]`.
    fn logits_backward(
        &mut self,
        normed: &Self::Narrow,
        dlogits: &Self::Narrow,
        gradient: &mut Self::Gradient,
    ) -> Done<Self::Narrow>;
}

/// What attention was given, and gave.
pub(crate) struct Attended<'a, B: Backend + ?Sized> {
    /// `[tokens, queries, keys and values]`.
    pub(crate) projected: &'a B::Narrow,
    /// `[tokens, queries]`.
    pub(crate) attended: &'a B::Narrow,
    /// `[tokens, heads]`.
    pub(crate) log_sum: &'a B::Exact,
}

/// Rows of logits: the token that each predicted, how likely it was, and what that counts for.
#[derive(Clone, Copy)]
pub(crate) struct Predicted<'a> {
    pub(crate) tokens: &'a [u32],
    pub(crate) entropies: &'a [f32],
    pub(crate) coefficients: &'a [Coefficient],
}

/// A layer's matrix products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Projection {
    /// To queries, keys and values.
    Qkv,
    /// From what was attended to.
    Output,
    /// To gate and up.
    GateUp,
    /// Back from these.
    Down,
}

/// One of them: a weight `[outputs, inputs]`, and a bias beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linear {
    pub(crate) projection: Projection,
    /// Where its weight begins in the layout.
    pub(crate) weight: usize,
    pub(crate) bias: Option<usize>,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

impl Linear {
    /// One of the layer whose parameters are `at`.
    pub(crate) fn new(a: &Architecture, at: &LayerOffsets, projection: Projection) -> Self {
        let (hidden, ffn, query) = (a.hidden_size, a.intermediate_size, a.query_size());
        let (weight, bias, inputs, outputs) = match projection {
            Projection::Qkv => (at.qkv, at.qkv_bias, hidden, query + 2 * a.kv_size()),
            Projection::Output => (at.o, None, query, hidden),
            Projection::GateUp => (at.gate_up, None, hidden, 2 * ffn),
            Projection::Down => (at.down, None, ffn, hidden),
        };
        Self {
            projection,
            weight,
            bias,
            inputs,
            outputs,
        }
    }
}
