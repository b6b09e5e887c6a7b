//! Training and decoding of the peers' decoder with Burn, on its CPU backend `flex`.

#[path = "../../measurement.rs"]
mod measurement;

use burn::module::{Module, Param};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{
    Embedding, EmbeddingConfig, Initializer, Linear, LinearConfig, RmsNorm, RmsNormConfig,
};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::activation::silu;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};

use measurement::{Options, report, seconds_of};

const VOCABULARY: usize = 4096;
const HIDDEN: usize = 256;
const INTERMEDIATE: usize = 768;
const LAYERS: usize = 6;
const HEADS: usize = 8;
const KV_HEADS: usize = 4;
const HEAD_DIM: usize = 32;
const THETA: f32 = 1000.0;

#[derive(Module, Debug)]
struct Layer {
    attention_norm: RmsNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    q_norm: RmsNorm,
    k_norm: RmsNorm,
    mlp_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// A Qwen3-style decoder, its head tied to the embedding.
#[derive(Module, Debug)]
struct Decoder {
    embedding: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
}

/// Cosines and sines of the rotary angles, `[1, 1, positions, head_dim]`, each half the same.
struct Rotary {
    cos: Tensor<4>,
    sin: Tensor<4>,
}

/// Keys and values of a layer, `[batch, kv heads, positions, head_dim]`, filled up to where decoding is.
struct Cache {
    keys: Tensor<4>,
    values: Tensor<4>,
}

impl Decoder {
    fn new(device: &Device) -> Self {
        let initializer = Initializer::Normal {
            mean: 0.0,
            std: 0.02,
        };
        let linear = |from, to| {
            LinearConfig::new(from, to)
                .with_bias(false)
                .with_initializer(initializer.clone())
                .init(device)
        };
        let norm = |size| RmsNormConfig::new(size).with_epsilon(1e-6).init(device);
        let layer = |_| Layer {
            attention_norm: norm(HIDDEN),
            q: linear(HIDDEN, HEADS * HEAD_DIM),
            k: linear(HIDDEN, KV_HEADS * HEAD_DIM),
            v: linear(HIDDEN, KV_HEADS * HEAD_DIM),
            o: linear(HEADS * HEAD_DIM, HIDDEN),
            q_norm: norm(HEAD_DIM),
            k_norm: norm(HEAD_DIM),
            mlp_norm: norm(HIDDEN),
            gate: linear(HIDDEN, INTERMEDIATE),
            up: linear(HIDDEN, INTERMEDIATE),
            down: linear(INTERMEDIATE, HIDDEN),
        };
        Self {
            embedding: EmbeddingConfig::new(VOCABULARY, HIDDEN)
                .with_initializer(initializer.clone())
                .init(device),
            layers: (0..LAYERS).map(layer).collect(),
            norm: norm(HIDDEN),
        }
    }

    /// Hidden states `[batch, tokens, hidden]` of ids `[batch, tokens]` at positions from `start` on. With caches, one
    /// for each layer, ids are attended to after what the caches hold.
    fn hidden(
        &self,
        ids: Tensor<2, Int>,
        rotary: &Rotary,
        start: usize,
        mut caches: Option<&mut [Option<Cache>]>,
    ) -> Tensor<3> {
        let mut x = self.embedding.forward(ids);
        for (i, layer) in self.layers.iter().enumerate() {
            let cache = caches.as_deref_mut().map(|caches| &mut caches[i]);
            x = x.clone() + layer.attention(layer.attention_norm.forward(x), rotary, start, cache);
            let h = layer.mlp_norm.forward(x.clone());
            x = x + layer
                .down
                .forward(silu(layer.gate.forward(h.clone())) * layer.up.forward(h));
        }
        self.norm.forward(x)
    }

    /// `[rows, vocabulary]` of hidden states `[rows, hidden]`.
    fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        hidden.matmul(self.embedding.weight.val().transpose())
    }
}

impl Layer {
    fn attention(
        &self,
        x: Tensor<3>,
        rotary: &Rotary,
        start: usize,
        cache: Option<&mut Option<Cache>>,
    ) -> Tensor<3> {
        let [batch, tokens, _] = x.dims();
        let heads = |x: Tensor<3>, count: usize| x.reshape([batch, tokens, count, HEAD_DIM]);
        let q = self
            .q_norm
            .forward(heads(self.q.forward(x.clone()), HEADS))
            .swap_dims(1, 2);
        let k = self
            .k_norm
            .forward(heads(self.k.forward(x.clone()), KV_HEADS))
            .swap_dims(1, 2);
        let v = heads(self.v.forward(x), KV_HEADS).swap_dims(1, 2);
        let (q, k) = (rotary.rotate(q, start), rotary.rotate(k, start));
        let (k, v) = match cache {
            Some(slot) => {
                let held = slot.take().expect("a cache is put back after each use");
                let place = [0..batch, 0..KV_HEADS, start..start + tokens, 0..HEAD_DIM];
                let keys = held.keys.slice_assign(place.clone(), k);
                let values = held.values.slice_assign(place, v);
                let read = (
                    keys.clone().narrow(2, 0, start + tokens),
                    values.clone().narrow(2, 0, start + tokens),
                );
                *slot = Some(Cache { keys, values });
                read
            }
            None => (k, v),
        };
        let attended = if tokens == 1 {
            // Queries that share a key head are as many queries of that head: no key is repeated.
            let q = q.reshape([batch, KV_HEADS, HEADS / KV_HEADS, HEAD_DIM]);
            attention(q, k, v, None, None, AttentionModuleOptions::default())
                .reshape([batch, HEADS, 1, HEAD_DIM])
        } else {
            let causal = AttentionModuleOptions {
                is_causal: true,
                ..Default::default()
            };
            attention(q, repeat(k), repeat(v), None, None, causal)
        };
        self.o.forward(
            attended
                .swap_dims(1, 2)
                .reshape([batch, tokens, HEADS * HEAD_DIM]),
        )
    }
}

/// Each key head once for each query head that reads it.
fn repeat(x: Tensor<4>) -> Tensor<4> {
    let [batch, heads, tokens, width] = x.dims();
    let repeated = x.unsqueeze_dim::<5>(2).repeat_dim(2, HEADS / KV_HEADS);
    repeated.reshape([batch, heads * HEADS / KV_HEADS, tokens, width])
}

impl Rotary {
    fn new(positions: usize, device: &Device) -> Self {
        let pair = |i: usize| THETA.powf(-2.0 * (i % (HEAD_DIM / 2)) as f32 / HEAD_DIM as f32);
        let angles: Vec<f32> = (0..positions)
            .flat_map(|p| (0..HEAD_DIM).map(move |i| p as f32 * pair(i)))
            .collect();
        let angles =
            Tensor::<4>::from_data(TensorData::new(angles, [1, 1, positions, HEAD_DIM]), device);
        Self {
            cos: angles.clone().cos(),
            sin: angles.sin(),
        }
    }

    fn rotate(&self, x: Tensor<4>, start: usize) -> Tensor<4> {
        let [_, _, tokens, width] = x.dims();
        let half = width / 2;
        let turned = Tensor::cat(
            vec![
                -x.clone().narrow(3, half, half),
                x.clone().narrow(3, 0, half),
            ],
            3,
        );
        x * self.cos.clone().narrow(2, start, tokens)
            + turned * self.sin.clone().narrow(2, start, tokens)
    }
}

fn random_ids(batch: usize, tokens: usize, device: &Device) -> Tensor<2, Int> {
    Tensor::random(
        [batch, tokens],
        Distribution::Uniform(0.0, VOCABULARY as f64),
        device,
    )
}

fn train(options: &Options) {
    let (batch, tokens) = (options.get("batch", 8), options.get("tokens", 512));
    let device = Device::flex().autodiff();
    let mut decoder = Decoder::new(&device);
    let mut optimizer = AdamWConfig::new().init();
    let rotary = Rotary::new(tokens, &device);
    let loss = CrossEntropyLossConfig::new().init(&device);
    let ids = random_ids(batch, tokens, &device);
    let targets: Tensor<1, Int> = ids
        .clone()
        .narrow(1, 1, tokens - 1)
        .reshape([batch * (tokens - 1)]);
    let mut step = || {
        let hidden = decoder
            .hidden(ids.clone(), &rotary, 0, None)
            .narrow(1, 0, tokens - 1);
        let logits = decoder.logits(hidden.reshape([batch * (tokens - 1), HIDDEN]));
        let gradients = loss.forward(logits, targets.clone()).backward();
        let reached = |weight: &Param<Tensor<2>>| weight.val().grad(&gradients).is_some();
        let first = &decoder.layers[0];
        assert!(
            [
                &decoder.embedding.weight,
                &first.q.weight,
                &first.k.weight,
                &first.v.weight
            ]
            .into_iter()
            .all(reached),
            "an operation without a backward pass cut the gradient of a weight"
        );
        let gradients = GradientsParams::from_grads(gradients, &decoder);
        decoder = optimizer.step(1e-4, decoder.clone(), gradients);
    };
    let seconds = seconds_of(options.get("repetitions", 3), &mut step);
    report("train", "burn", "0.22.1", batch * tokens, &seconds);
}

fn decode(options: &Options) {
    let (batch, prompt, new) = (
        options.get("batch", 32),
        options.get("prompt", 64),
        options.get("new", 128),
    );
    let device = Device::flex();
    let decoder = Decoder::new(&device);
    let rotary = Rotary::new(prompt + new, &device);
    let prompts = random_ids(batch, prompt, &device);
    let empty = || Tensor::<4>::zeros([batch, KV_HEADS, prompt + new, HEAD_DIM], &device);
    let sample = || {
        let mut caches: Vec<_> = (0..LAYERS)
            .map(|_| {
                Some(Cache {
                    keys: empty(),
                    values: empty(),
                })
            })
            .collect();
        let (mut ids, mut start) = (prompts.clone(), 0);
        for _ in 0..new {
            let [_, tokens] = ids.dims();
            let hidden = decoder.hidden(ids, &rotary, start, Some(&mut caches));
            start += tokens;
            let logits = decoder.logits(hidden.narrow(1, tokens - 1, 1).reshape([batch, HIDDEN]));
            // Gumbel's trick: the largest of the noised logits is a sample at temperature 1.
            let uniform = logits.random_like(Distribution::Uniform(1e-9, 1.0));
            ids = (logits - (-uniform.log()).log()).argmax(1);
        }
        assert_eq!(ids.into_data().num_elements(), batch);
    };
    let seconds = seconds_of(options.get("repetitions", 3), sample);
    report("decode", "burn", "0.22.1", batch * new, &seconds);
}

fn main() {
    let options = Options::read();
    match options.bench.as_str() {
        "train" => train(&options),
        "decode" => decode(&options),
        other => panic!("`{other}` is none of `train`, `decode`"),
    }
}
