//! One layer forward and backward: RMSNorm, grouped-query attention, RMSNorm, SwiGLU (Touvron et
//! al. 2023; Yang et al. 2025 for the query and key norms), in the names of this file:
//!
//! ```text
//! x -> norm -> projected -> attended -> o -> (+x) mid -> norm -> gate_up -> swiglu -> down -> (+mid)
//! ```

use super::{Forward, Rest, offsets};
use crate::backend::{Attended, Backend, Done, Linear, Projection};

impl<B: Backend> Forward<B> {
    /// What the backward pass needs, and the layer's output.
    pub(super) fn layer_forward(
        &self,
        backend: &mut B,
        layer: usize,
        x: &B::Exact,
    ) -> Done<(Rest<B>, B::Exact)> {
        let at = offsets(backend, layer);
        let [qkv, o, gate_up, down] = linears(backend, layer);

        let normed = backend.norm(at.input_norm, x)?;
        let projected = backend.linear(qkv, &normed)?;
        drop(normed);
        let (attended, log_sum) = backend.attend(&at, &self.forest, &projected)?;
        let mid = backend.add_linear(o, &attended, x)?;

        let normed = backend.norm(at.post_norm, &mid)?;
        let gate_up = backend.linear(gate_up, &normed)?;
        drop(normed);
        let gated = backend.swiglu(&gate_up)?;
        let out = backend.add_linear(down, &gated, &mid)?;
        let rest = Rest {
            projected,
            attended,
            log_sum,
            mid,
            gate_up,
        };
        Ok((rest, out))
    }

    /// From the gradient of the layer's output to that of its input.
    pub(super) fn layer_backward(
        &self,
        backend: &mut B,
        layer: usize,
        x: &B::Exact,
        rest: Rest<B>,
        dout: B::Exact,
        gradient: &mut B::Gradient,
    ) -> Done<B::Exact> {
        let at = offsets(backend, layer);
        let [qkv, o, gate_up, down] = linears(backend, layer);
        let Rest {
            projected,
            attended,
            log_sum,
            mid,
            gate_up: mut wide,
        } = rest;

        let gated = backend.swiglu(&wide)?;
        let dgated = backend.add_linear_backward(down, &gated, &dout, gradient)?;
        drop(gated);
        backend.swiglu_backward(&mut wide, &dgated)?;
        drop(dgated);
        let normed = backend.norm(at.post_norm, &mid)?;
        let dnormed = backend.linear_backward(gate_up, &normed, &wide, gradient)?;
        // What goes around the feed-forward part, then what goes through it.
        let mut dmid = dout;
        backend.norm_backward(at.post_norm, &mid, &dnormed, &mut dmid, gradient)?;
        drop((wide, normed, dnormed));

        let dattended = backend.add_linear_backward(o, &attended, &dmid, gradient)?;
        let forward = Attended {
            projected: &projected,
            attended: &attended,
            log_sum: &log_sum,
        };
        let dprojected =
            backend.attend_backward(&at, &self.forest, forward, dattended, gradient)?;
        let normed = backend.norm(at.input_norm, x)?;
        let dnormed = backend.linear_backward(qkv, &normed, &dprojected, gradient)?;
        let mut dx = dmid;
        backend.norm_backward(at.input_norm, x, &dnormed, &mut dx, gradient)?;
        Ok(dx)
    }
}

fn linears<B: Backend>(backend: &B, layer: usize) -> [Linear; 4] {
    use Projection::{Down, GateUp, Output, Qkv};
    let (model, at) = (backend.model(), offsets(backend, layer));
    [Qkv, Output, GateUp, Down].map(|which| Linear::new(&model.architecture, &at, which))
}
