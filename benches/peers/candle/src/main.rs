//! Training and decoding of the peers' decoder with candle, on the CPU.
//!
//! Where gradients are needed, norms, rotations and softmax are made of candle's elementary operations: its fused ones
//! have no backward pass on the CPU. Decoding uses the fused ones.

#[path = "../../measurement.rs"]
mod measurement;

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::kv_cache::KvCache;
use candle_nn::optim::{AdamW, Optimizer, ParamsAdamW};
use candle_nn::{Init, VarBuilder, VarMap, loss, ops, rotary_emb, sampling};

use measurement::{Options, report, seconds_of};

const VOCABULARY: usize = 4096;
const HIDDEN: usize = 256;
const INTERMEDIATE: usize = 768;
const LAYERS: usize = 6;
const HEADS: usize = 8;
const KV_HEADS: usize = 4;
const HEAD_DIM: usize = 32;
const EPS: f32 = 1e-6;
const THETA: f32 = 1000.0;

struct Layer {
    attention_norm: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    o: Tensor,
    q_norm: Tensor,
    k_norm: Tensor,
    mlp_norm: Tensor,
    gate: Tensor,
    up: Tensor,
    down: Tensor,
}

/// A Qwen3-style decoder, its head tied to the embedding.
struct Decoder {
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: Tensor,
    cos: Tensor,
    sin: Tensor,
    /// Whether gradients are needed.
    trained: bool,
}

impl Decoder {
    fn new(variables: &VarBuilder, positions: usize, trained: bool) -> Result<Self> {
        let weight = |name: String, rows: usize, columns: usize| {
            let init = Init::Randn {
                mean: 0.0,
                stdev: 0.02,
            };
            variables.get_with_hints((rows, columns), &name, init)
        };
        let ones =
            |name: String, size: usize| variables.get_with_hints(size, &name, Init::Const(1.0));
        let layer = |i: usize| {
            Ok(Layer {
                attention_norm: ones(format!("{i}.attention_norm"), HIDDEN)?,
                q: weight(format!("{i}.q"), HEADS * HEAD_DIM, HIDDEN)?,
                k: weight(format!("{i}.k"), KV_HEADS * HEAD_DIM, HIDDEN)?,
                v: weight(format!("{i}.v"), KV_HEADS * HEAD_DIM, HIDDEN)?,
                o: weight(format!("{i}.o"), HIDDEN, HEADS * HEAD_DIM)?,
                q_norm: ones(format!("{i}.q_norm"), HEAD_DIM)?,
                k_norm: ones(format!("{i}.k_norm"), HEAD_DIM)?,
                mlp_norm: ones(format!("{i}.mlp_norm"), HIDDEN)?,
                gate: weight(format!("{i}.gate"), INTERMEDIATE, HIDDEN)?,
                up: weight(format!("{i}.up"), INTERMEDIATE, HIDDEN)?,
                down: weight(format!("{i}.down"), HIDDEN, INTERMEDIATE)?,
            })
        };
        let pair = |i: usize| THETA.powf(-2.0 * i as f32 / HEAD_DIM as f32);
        let angles: Vec<f32> = (0..positions)
            .flat_map(|position| (0..HEAD_DIM / 2).map(move |i| position as f32 * pair(i)))
            .collect();
        let angles = Tensor::from_vec(angles, (positions, HEAD_DIM / 2), &Device::Cpu)?;
        Ok(Self {
            embedding: weight("embedding".into(), VOCABULARY, HIDDEN)?,
            layers: (0..LAYERS).map(layer).collect::<Result<_>>()?,
            norm: ones("norm".into(), HIDDEN)?,
            cos: angles.cos()?,
            sin: angles.sin()?,
            trained,
        })
    }

    /// Hidden states `[batch, tokens, hidden]` of ids `[batch, tokens]` at positions from `start` on. With caches, one
    /// for each layer, ids are attended to after what the caches hold.
    fn hidden(
        &self,
        ids: &Tensor,
        start: usize,
        mut caches: Option<&mut [KvCache]>,
    ) -> Result<Tensor> {
        let (batch, tokens) = ids.dims2()?;
        let mut x = self
            .embedding
            .index_select(&ids.flatten_all()?, 0)?
            .reshape((batch, tokens, HIDDEN))?;
        let mask = if tokens > 1 {
            Some(causal_mask(tokens)?)
        } else {
            None
        };
        for (i, layer) in self.layers.iter().enumerate() {
            let cache = caches.as_deref_mut().map(|caches| &mut caches[i]);
            let attended = self.attention(
                layer,
                &self.rms_norm(&x, &layer.attention_norm)?,
                start,
                mask.as_ref(),
                cache,
            )?;
            x = (x + attended)?;
            let h = self.rms_norm(&x, &layer.mlp_norm)?;
            let gated = (linear(&h, &layer.gate)?.silu()? * linear(&h, &layer.up)?)?;
            x = (x + linear(&gated, &layer.down)?)?;
        }
        self.rms_norm(&x, &self.norm)
    }

    /// Queries that share a key head go through one product: no key is repeated.
    fn attention(
        &self,
        layer: &Layer,
        x: &Tensor,
        start: usize,
        mask: Option<&Tensor>,
        cache: Option<&mut KvCache>,
    ) -> Result<Tensor> {
        let (batch, tokens, _) = x.dims3()?;
        let heads = |projection: &Tensor, count: usize| {
            linear(x, projection)?.reshape((batch, tokens, count, HEAD_DIM))
        };
        let q = self
            .rms_norm(&heads(&layer.q, HEADS)?, &layer.q_norm)?
            .transpose(1, 2)?
            .contiguous()?;
        let k = self
            .rms_norm(&heads(&layer.k, KV_HEADS)?, &layer.k_norm)?
            .transpose(1, 2)?
            .contiguous()?;
        let v = heads(&layer.v, KV_HEADS)?.transpose(1, 2)?.contiguous()?;
        let (q, k) = (self.rotate(&q, start)?, self.rotate(&k, start)?);
        let (k, v) = match cache {
            Some(cache) => cache.append(&k, &v)?,
            None => (k, v),
        };
        let q = (q * (HEAD_DIM as f64).powf(-0.5))?.reshape((batch, KV_HEADS, (), HEAD_DIM))?;
        let mut scores = q.matmul(&k.transpose(2, 3)?)?;
        if let Some(mask) = mask {
            scores = scores.broadcast_add(mask)?;
        }
        let weights = match self.trained {
            true => ops::softmax(&scores, D::Minus1)?,
            false => ops::softmax_last_dim(&scores)?,
        };
        let attended = weights
            .matmul(&v.contiguous()?)?
            .reshape((batch, HEADS, tokens, HEAD_DIM))?;
        linear(
            &attended
                .transpose(1, 2)?
                .reshape((batch, tokens, HEADS * HEAD_DIM))?,
            &layer.o,
        )
    }

    fn rms_norm(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        match self.trained {
            true => ops::rms_norm_slow(x, weight, EPS),
            false => ops::rms_norm(&x.contiguous()?, weight, EPS),
        }
    }

    fn rotate(&self, x: &Tensor, start: usize) -> Result<Tensor> {
        let tokens = x.dim(2)?;
        let (cos, sin) = (
            self.cos.narrow(0, start, tokens)?,
            self.sin.narrow(0, start, tokens)?,
        );
        match self.trained {
            true => rotary_emb::rope_slow(x, &cos, &sin),
            false => rotary_emb::rope(x, &cos, &sin),
        }
    }
}

/// `[batch, tokens, in]` by `[out, in]`, as one product of two matrices.
fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (batch, tokens, width) = x.dims3()?;
    x.reshape((batch * tokens, width))?
        .matmul(&weight.t()?)?
        .reshape((batch, tokens, ()))
}

/// `[queries a key head x tokens, tokens]`: 0 where a token may look, minus infinity elsewhere.
fn causal_mask(tokens: usize) -> Result<Tensor> {
    let row = |i: usize| (0..tokens).map(move |j| if j > i { f32::NEG_INFINITY } else { 0.0 });
    let mask: Vec<f32> = (0..HEADS / KV_HEADS)
        .flat_map(|_| (0..tokens).flat_map(row))
        .collect();
    Tensor::from_vec(mask, (HEADS / KV_HEADS * tokens, tokens), &Device::Cpu)
}

fn random_ids(batch: usize, tokens: usize) -> Result<Tensor> {
    Tensor::rand(0f32, VOCABULARY as f32, (batch, tokens), &Device::Cpu)?.to_dtype(DType::U32)
}

fn train(options: &Options) -> Result<()> {
    let (batch, tokens) = (options.get("batch", 8), options.get("tokens", 512));
    let variables = VarMap::new();
    let decoder = Decoder::new(
        &VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu),
        tokens,
        true,
    )?;
    let mut optimizer = AdamW::new(
        variables.all_vars(),
        ParamsAdamW {
            lr: 1e-4,
            ..Default::default()
        },
    )?;
    let ids = random_ids(batch, tokens)?;
    let targets = ids.narrow(1, 1, tokens - 1)?.flatten_all()?;
    let mut step = || {
        let hidden = decoder
            .hidden(&ids, 0, None)?
            .narrow(1, 0, tokens - 1)?
            .contiguous()?;
        let logits = linear(&hidden, &decoder.embedding)?.flatten_to(1)?;
        let gradients = loss::cross_entropy(&logits, &targets)?.backward()?;
        let reached = variables
            .all_vars()
            .iter()
            .all(|variable| gradients.get(variable).is_some());
        assert!(
            reached,
            "an operation without a backward pass cut the gradient of a weight"
        );
        optimizer.step(&gradients)
    };
    let seconds = seconds_of(options.get("repetitions", 3), || {
        step().expect("a step of fixed shapes")
    });
    report("train", "candle", "0.11.1", batch * tokens, &seconds);
    Ok(())
}

fn decode(options: &Options) -> Result<()> {
    let (batch, prompt, new) = (
        options.get("batch", 32),
        options.get("prompt", 64),
        options.get("new", 128),
    );
    let variables = VarMap::new();
    let decoder = Decoder::new(
        &VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu),
        prompt + new,
        false,
    )?;
    // Without this, every operation would remember its inputs for a backward pass.
    let decoder = Decoder {
        embedding: decoder.embedding.detach(),
        norm: decoder.norm.detach(),
        layers: decoder.layers.iter().map(Layer::detach).collect(),
        ..decoder
    };
    let prompts = random_ids(batch, prompt)?;
    let sample = || -> Result<()> {
        let mut caches: Vec<KvCache> = (0..LAYERS).map(|_| KvCache::new(2, prompt + new)).collect();
        let (mut ids, mut start) = (prompts.clone(), 0);
        for _ in 0..new {
            let hidden = decoder.hidden(&ids, start, Some(&mut caches))?;
            start += ids.dim(1)?;
            let last = hidden.narrow(1, hidden.dim(1)? - 1, 1)?.contiguous()?;
            let logits = linear(&last, &decoder.embedding)?.squeeze(1)?;
            ids = sampling::gumbel_softmax(&logits, 1.0, D::Minus1)?.unsqueeze(1)?;
        }
        Ok(())
    };
    let seconds = seconds_of(options.get("repetitions", 3), || {
        sample().expect("a sample of fixed shapes")
    });
    report("decode", "candle", "0.11.1", batch * new, &seconds);
    Ok(())
}

impl Layer {
    fn detach(&self) -> Self {
        Self {
            attention_norm: self.attention_norm.detach(),
            q: self.q.detach(),
            k: self.k.detach(),
            v: self.v.detach(),
            o: self.o.detach(),
            q_norm: self.q_norm.detach(),
            k_norm: self.k_norm.detach(),
            mlp_norm: self.mlp_norm.detach(),
            gate: self.gate.detach(),
            up: self.up.detach(),
            down: self.down.detach(),
        }
    }
}

fn main() -> Result<()> {
    let options = Options::read();
    match options.bench.as_str() {
        "train" => train(&options),
        "decode" => decode(&options),
        other => panic!("`{other}` is none of `train`, `decode`"),
    }
}
