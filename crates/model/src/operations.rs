//! Every operation of a backend on random numbers, held to the same in f64: what a card has to
//! pass before anything that it computes is believed.

mod reference;
mod whole;

use half::bf16;
use rand::RngExt;

use self::reference::Heads;
pub(crate) use self::whole::check as check_passes;
use crate::backend::{Attended, Backend, Done, Linear, Predicted, Projection};
use crate::sampling::rng;
use crate::{Architecture, Coefficient, Model, Precision, Preset, TokenTree, Weights, init};

/// How far an operation was from the same in f64.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The operation, and which of its outcomes.
    pub operation: &'static str,
    /// Norm of the difference over the norm of what is right.
    pub error: f64,
}

/// A backend to which numbers can be brought, and from which they can be had.
pub(crate) trait Carrier: Backend {
    fn put(&mut self, numbers: &[f32]) -> Done<Self::Exact>;
    fn put_narrow(&mut self, numbers: &[f32]) -> Done<Self::Narrow>;
    fn get(&self, numbers: &Self::Exact) -> Done<Vec<f32>>;
    fn get_narrow(&self, numbers: &Self::Narrow) -> Done<Vec<f32>>;
}

/// The model that operations are checked with: every part that there is, of sizes that are no
/// multiples of a tile.
pub(crate) fn model() -> Model {
    let mut architecture = Preset::Tiny.architecture(331);
    (architecture.layers, architecture.qkv_bias) = (1, true);
    let mut parameters = init(&architecture, 7);
    let mut random = rng(8);
    for x in &mut parameters.data {
        *x += 0.1 * (random.random::<f32>() - 0.5);
    }
    let mut model = Model::new(architecture, Weights::trained(parameters, Precision::Bf16));
    model.temperature = 0.8;
    model
}

/// A prompt of more than a tile, rollouts of all lengths below it, and another root.
fn tree() -> TokenTree {
    let text = |from: u32, count: u32| (from..from + count).map(|i| i * i % 331);
    let prompt = |then: (u32, u32)| text(1, 77).chain(text(then.0, then.1)).collect();
    let mut sequences: Vec<Vec<u32>> = [(5, 3), (90, 40), (200, 81)].map(prompt).into();
    sequences.push(text(33, 12).collect());
    let sequences: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
    TokenTree::from_sequences(&sequences).0
}

/// The suite at work.
struct Suite<'b, B: Carrier> {
    backend: &'b mut B,
    gradient: &'b mut B::Gradient,
    read: &'b dyn Fn(&B::Gradient) -> Done<Vec<f32>>,
    seed: u64,
    checked: Vec<Checked>,
}

/// Runs every operation once. `gradient` begins as zeros; `read` brings its numbers here.
pub(crate) fn check<B: Carrier>(
    backend: &mut B,
    gradient: &mut B::Gradient,
    read: &dyn Fn(&B::Gradient) -> Done<Vec<f32>>,
) -> Done<Vec<Checked>> {
    let mut suite = Suite {
        backend,
        gradient,
        read,
        seed: 0,
        checked: Vec::new(),
    };
    suite.embedding()?;
    suite.norms()?;
    suite.linears()?;
    suite.swiglu()?;
    suite.attention()?;
    suite.rows()?;
    suite.head()?;
    Ok(suite.checked)
}

/// Norm of the difference over the norm of what is right.
fn apart(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square = |x: f64| x * x;
    let pairs = found.iter().zip(expected);
    let apart: f64 = pairs.map(|(a, b)| square(f64::from(*a) - b)).sum();
    let all: f64 = expected.iter().map(|&x| square(x)).sum();
    (apart / all).sqrt()
}

fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|&x| f64::from(x)).collect()
}

impl<B: Carrier> Suite<'_, B> {
    fn architecture(&self) -> Architecture {
        self.backend.model().architecture.clone()
    }

    /// Numbers that bfloat16 holds exactly, so that both sides begin with the same.
    fn random(&mut self, count: usize) -> Vec<f32> {
        self.seed += 1;
        let mut random = rng(self.seed);
        let number = |_| 2.0 * random.random::<f32>() - 1.0;
        (0..count)
            .map(number)
            .map(|x| bf16::from_f32(x).to_f32())
            .collect()
    }

    fn note(&mut self, operation: &'static str, found: &[f32], expected: &[f64]) {
        let error = apart(found, expected);
        self.checked.push(Checked { operation, error });
    }

    fn note_exact(&mut self, operation: &'static str, found: &B::Exact, expected: &[f64]) -> Done {
        let found = self.backend.get(found)?;
        self.note(operation, &found, expected);
        Ok(())
    }

    fn note_narrow(
        &mut self,
        operation: &'static str,
        found: &B::Narrow,
        expected: &[f64],
    ) -> Done {
        let found = self.backend.get_narrow(found)?;
        self.note(operation, &found, expected);
        Ok(())
    }

    /// What was added to the gradient from `offset` on since `before`.
    fn note_gradient(
        &mut self,
        operation: &'static str,
        before: &[f32],
        offset: usize,
        expected: &[f64],
    ) -> Done {
        let after = (self.read)(self.gradient)?;
        let range = offset..offset + expected.len();
        let added: Vec<f32> = (after[range.clone()].iter().zip(&before[range]))
            .map(|(after, before)| after - before)
            .collect();
        self.note(operation, &added, expected);
        Ok(())
    }

    fn gradient_now(&self) -> Done<Vec<f32>> {
        (self.read)(self.gradient)
    }

    fn weights(&self, offset: usize, len: usize) -> Vec<f64> {
        let mut numbers = vec![0.0; len];
        self.backend.model().weights.widen(offset, &mut numbers);
        wide(&numbers)
    }

    fn embedding(&mut self) -> Done {
        let (a, tree) = (self.architecture(), tree());
        let (hidden, at) = (a.hidden_size, self.backend.model().layout().embed);
        let table = self.weights(at, a.vocab_size * hidden);
        let forest = self.backend.forest(&tree)?;
        let x = self.backend.embed(&forest)?;
        let row = |&token: &u32| &table[token as usize * hidden..][..hidden];
        let expected: Vec<f64> = tree.tokens().iter().flat_map(row).copied().collect();
        self.note_exact("embed", &x, &expected)?;

        let dx = self.random(tree.len() * hidden);
        let mut sums = vec![0.0; table.len()];
        for (dx, &token) in dx.chunks(hidden).zip(tree.tokens()) {
            let sum = &mut sums[token as usize * hidden..][..hidden];
            sum.iter_mut()
                .zip(dx)
                .for_each(|(sum, d)| *sum += f64::from(*d));
        }
        let (before, dx) = (self.gradient_now()?, self.backend.put(&dx)?);
        self.backend.embed_backward(&forest, &dx, self.gradient)?;
        self.note_gradient("embed, gradient", &before, at, &sums)
    }

    fn norms(&mut self) -> Done {
        let a = self.architecture();
        let (hidden, eps) = (a.hidden_size, f64::from(a.rms_norm_eps));
        let gain = self.backend.model().layout().layers[0].input_norm;
        let gains = self.weights(gain, hidden);
        let [x, dout, dx] = [(); 3].map(|()| self.random(133 * hidden));
        let (on, don) = (self.backend.put(&x)?, self.backend.put_narrow(&dout)?);
        let out = self.backend.norm(gain, &on)?;
        self.note_narrow("norm", &out, &reference::norm(&wide(&x), &gains, eps))?;
        let (before, mut sum) = (self.gradient_now()?, self.backend.put(&dx)?);
        (self.backend).norm_backward(gain, &on, &don, &mut sum, self.gradient)?;
        let (through, dgain) = reference::norm_backward(&wide(&x), &gains, eps, &wide(&dout));
        let expected: Vec<f64> = through
            .iter()
            .zip(&dx)
            .map(|(d, x)| d + f64::from(*x))
            .collect();
        self.note_exact("norm, input gradient", &sum, &expected)?;
        self.note_gradient("norm, gain gradient", &before, gain, &dgain)
    }

    fn linears(&mut self) -> Done {
        let a = self.architecture();
        let at = self.backend.model().layout().layers[0];
        let qkv = Linear::new(&a, &at, Projection::Qkv);
        let down = Linear::new(&a, &at, Projection::Down);
        const ROWS: usize = 133;

        let x = self.random(ROWS * qkv.inputs);
        let dout = self.random(ROWS * qkv.outputs);
        let w = self.weights(qkv.weight, qkv.outputs * qkv.inputs);
        let bias = qkv.bias.expect("this model has biases");
        let biases = self.weights(bias, qkv.outputs);
        let on = self.backend.put_narrow(&x)?;
        let out = self.backend.linear(qkv, &on)?;
        let mut expected = reference::product(&wide(&x), &w, qkv.inputs);
        for row in expected.chunks_mut(qkv.outputs) {
            row.iter_mut().zip(&biases).for_each(|(x, bias)| *x += bias);
        }
        self.note_narrow("linear", &out, &expected)?;
        let (before, don) = (self.gradient_now()?, self.backend.put_narrow(&dout)?);
        let dx = self
            .backend
            .linear_backward(qkv, &on, &don, self.gradient)?;
        let (x, dout) = (wide(&x), wide(&dout));
        let by_input = reference::transposed(&w, qkv.inputs);
        self.note_narrow(
            "linear, input gradient",
            &dx,
            &reference::product(&dout, &by_input, qkv.outputs),
        )?;
        let columns = reference::transposed(&dout, qkv.outputs);
        let dw = reference::product(&columns, &reference::transposed(&x, qkv.inputs), ROWS);
        self.note_gradient("linear, weight gradient", &before, qkv.weight, &dw)?;
        let sums: Vec<f64> = columns
            .chunks(ROWS)
            .map(|column| column.iter().sum())
            .collect();
        self.note_gradient("linear, bias gradient", &before, bias, &sums)?;

        let x = self.random(ROWS * down.inputs);
        let [onto, dout] = [(); 2].map(|()| self.random(ROWS * down.outputs));
        let w = self.weights(down.weight, down.outputs * down.inputs);
        let (on, base) = (self.backend.put_narrow(&x)?, self.backend.put(&onto)?);
        let out = self.backend.add_linear(down, &on, &base)?;
        let product = reference::product(&wide(&x), &w, down.inputs);
        let expected: Vec<f64> = product
            .iter()
            .zip(wide(&onto))
            .map(|(a, b)| a + b)
            .collect();
        self.note_exact("add linear", &out, &expected)?;
        let (before, don) = (self.gradient_now()?, self.backend.put(&dout)?);
        let dx = (self.backend).add_linear_backward(down, &on, &don, self.gradient)?;
        let by_input = reference::transposed(&w, down.inputs);
        let expected = reference::product(&wide(&dout), &by_input, down.outputs);
        self.note_narrow("add linear, input gradient", &dx, &expected)?;
        let columns = reference::transposed(&wide(&dout), down.outputs);
        let dw = reference::product(
            &columns,
            &reference::transposed(&wide(&x), down.inputs),
            ROWS,
        );
        self.note_gradient("add linear, weight gradient", &before, down.weight, &dw)
    }

    fn swiglu(&mut self) -> Done {
        let ffn = self.architecture().intermediate_size;
        let (x, dout) = (self.random(67 * 2 * ffn), self.random(67 * ffn));
        let (mut on, don) = (
            self.backend.put_narrow(&x)?,
            self.backend.put_narrow(&dout)?,
        );
        let out = self.backend.swiglu(&on)?;
        self.note_narrow("swiglu", &out, &reference::swiglu(&wide(&x), ffn))?;
        self.backend.swiglu_backward(&mut on, &don)?;
        let expected = reference::swiglu_backward(&wide(&x), ffn, &wide(&dout));
        self.note_narrow("swiglu, gradient", &on, &expected)
    }

    fn attention(&mut self) -> Done {
        let (a, tree) = (self.architecture(), tree());
        let at = self.backend.model().layout().layers[0];
        let (q, k) = at.qk_norm.expect("this model norms queries and keys");
        let (q_gain, k_gain) = (self.weights(q, a.head_dim), self.weights(k, a.head_dim));
        let frequencies = a.inverse_frequencies();
        let heads = Heads {
            tree: &tree,
            heads: a.heads,
            kv_heads: a.kv_heads,
            width: a.head_dim,
            eps: f64::from(a.rms_norm_eps),
            frequencies: &frequencies,
            gains: [&q_gain, &k_gain],
        };
        let x = self.random(tree.len() * (a.query_size() + 2 * a.kv_size()));
        let dout = self.random(tree.len() * a.query_size());
        let forest = self.backend.forest(&tree)?;
        let projected = self.backend.put_narrow(&x)?;
        let (attended, log_sum) = self.backend.attend(&at, &forest, &projected)?;
        let expected = heads.attend(&wide(&x));
        self.note_narrow("attention", &attended, &expected.out)?;
        self.note_exact("attention, log of sums", &log_sum, &expected.log_sum)?;
        let (before, don) = (self.gradient_now()?, self.backend.put_narrow(&dout)?);
        let forward = Attended {
            projected: &projected,
            attended: &attended,
            log_sum: &log_sum,
        };
        let dprojected =
            (self.backend).attend_backward(&at, &forest, forward, don, self.gradient)?;
        let expected = heads.attend_backward(&wide(&x), &wide(&dout));
        self.note_narrow("attention, gradient", &dprojected, &expected.projected)?;
        let [dq, dk] = expected.gains;
        self.note_gradient("attention, query gain gradient", &before, q, &dq)?;
        self.note_gradient("attention, key gain gradient", &before, k, &dk)
    }

    fn rows(&mut self) -> Done {
        const WIDTH: usize = 40;
        let places = [7, 0, 7, 19, 3, 7];
        let (x, rows) = (self.random(20 * WIDTH), self.random(places.len() * WIDTH));
        let mut on = self.backend.put(&x)?;
        let gathered = self.backend.gather(&on, WIDTH, &places)?;
        let row = |&at: &usize| wide(&x[at * WIDTH..(at + 1) * WIDTH]);
        let expected: Vec<f64> = places.iter().flat_map(row).collect();
        self.note_exact("gather", &gathered, &expected)?;
        let added = self.backend.put(&rows)?;
        self.backend.scatter(&added, WIDTH, &places, &mut on)?;
        let mut expected = wide(&x);
        for (row, at) in rows.chunks(WIDTH).zip(places) {
            let sum = &mut expected[at * WIDTH..(at + 1) * WIDTH];
            sum.iter_mut()
                .zip(row)
                .for_each(|(sum, x)| *sum += f64::from(*x));
        }
        self.note_exact("scatter", &on, &expected)
    }

    fn head(&mut self) -> Done {
        const ROWS: usize = 21;
        let a = self.architecture();
        let (hidden, vocabulary) = (a.hidden_size, a.vocab_size);
        let (temperature, at) = (
            self.backend.model().temperature,
            self.backend.model().layout().head,
        );
        let head = self.weights(at, vocabulary * hidden);
        let normed = self.random(ROWS * hidden);
        let on = self.backend.put_narrow(&normed)?;
        let logits = self.backend.logits(&on)?;
        let scale = 1.0 / f64::from(temperature);
        let product = reference::product(&wide(&normed), &head, hidden);
        let expected: Vec<f64> = product.iter().map(|x| x * scale).collect();
        self.note_exact("logits", &logits, &expected)?;

        // From here on from the same logits on both sides.
        let numbers: Vec<f32> = self
            .random(ROWS * vocabulary)
            .iter()
            .map(|x| 6.0 * x)
            .collect();
        let logits = self.backend.put(&numbers)?;
        let tokens: Vec<u32> = (0..ROWS as u32)
            .map(|i| i * 53 % vocabulary as u32)
            .collect();
        let (logprobs, entropies) = self.backend.logprobs(&logits, &tokens)?;
        let rows = wide(&numbers);
        let each = rows.chunks(vocabulary).zip(&tokens);
        let both: Vec<_> = (each.clone())
            .map(|(row, &token)| reference::logprob(row, token as usize))
            .collect();
        let (of_logprobs, of_entropies): (Vec<f64>, Vec<f64>) = both.into_iter().unzip();
        self.note("log-probabilities", &logprobs, &of_logprobs);
        self.note("entropies", &entropies, &of_entropies);
        let coefficients: Vec<Coefficient> = (0..ROWS)
            .map(|i| Coefficient {
                logprob: (i as f32).sin(),
                entropy: if i % 3 == 0 { 0.4 } else { 0.0 },
            })
            .collect();
        let predicted = Predicted {
            tokens: &tokens,
            entropies: &entropies,
            coefficients: &coefficients,
        };
        let dlogits = self.backend.logprobs_backward(logits, predicted)?;
        let expected: Vec<f64> = (each.zip(&coefficients))
            .flat_map(|((row, &token), c)| {
                let (c, e) = (f64::from(c.logprob) * scale, f64::from(c.entropy) * scale);
                reference::logprob_backward(row, token as usize, c, e)
            })
            .collect();
        self.note_narrow("log-probabilities, gradient", &dlogits, &expected)?;

        let d = self.random(ROWS * vocabulary);
        let (before, don) = (self.gradient_now()?, self.backend.put_narrow(&d)?);
        let dnormed = self.backend.logits_backward(&on, &don, self.gradient)?;
        let by_input = reference::transposed(&head, hidden);
        let expected = reference::product(&wide(&d), &by_input, vocabulary);
        self.note_narrow("logits, input gradient", &dnormed, &expected)?;
        let columns = reference::transposed(&wide(&d), vocabulary);
        let rows = reference::transposed(&wide(&normed), hidden);
        let dhead = reference::product(&columns, &rows, ROWS);
        self.note_gradient("logits, weight gradient", &before, at, &dhead)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::{Model, Place};

    #[test]
    fn every_operation_of_the_cpu_is_the_reference_within_f32() {
        let checked = Model::check_operations(Place::Cpu, Path::new("")).expect("there is room");
        assert!(checked.len() > 25);
        for it in checked {
            assert!(it.error < 3e-6, "{}: {}", it.operation, it.error);
        }
    }

    #[test]
    fn passes_on_the_cpu_agree_with_each_other_within_f32() {
        let checked = Model::check_passes(Place::Cpu, Path::new("")).expect("there is room");
        assert_eq!(checked.len(), 3);
        for it in checked {
            assert!(it.error < 1e-5, "{}: {}", it.operation, it.error);
        }
    }
}
