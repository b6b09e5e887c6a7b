//! Where each parameter lies in one flat `f32` buffer, and how a fresh buffer is filled.
//! A gradient is a plain `Vec<f32>` of the length of what is trained. Knows no files and no computation.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;

use crate::architecture::Architecture;
use crate::sampling::{rng, standard_normal};

/// What a parameter is, for those who treat some differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// The token embedding, which is also the head when tied.
    Embedding,
    /// An untied head.
    Head,
    /// A hidden matrix that reads the residual stream.
    Matrix,
    /// A hidden matrix that writes to the residual stream: o_proj and down_proj.
    ResidualMatrix,
    /// The gain of an RMSNorm.
    Norm,
    /// A bias.
    Bias,
    /// One of an adapter's matrices. Muon leaves them to AdamW: a step of unit spectral norm
    /// is meant for whole weights.
    Adapter,
}

impl ParameterKind {
    /// Whether this is a hidden matrix, which Muon may update.
    pub fn is_hidden_matrix(self) -> bool {
        matches!(self, Self::Matrix | Self::ResidualMatrix)
    }

    /// Whether weight decay applies: to everything but norms and biases.
    pub fn decays(self) -> bool {
        !matches!(self, Self::Norm | Self::Bias)
    }
}

/// One named parameter in the flat buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// Its name in the Hugging Face layout.
    pub name: String,
    /// `[rows, columns]`, row-major, or `[length]`.
    pub shape: Vec<usize>,
    /// Where it begins.
    pub offset: usize,
    /// What it is.
    pub kind: ParameterKind,
}

impl ParameterSpec {
    /// Number of its elements.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Where it lies.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.count()
    }
}

/// Where one layer's parameters begin. What the engine multiplies in one product lies together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerOffsets {
    /// Gain before attention, `[hidden]`.
    pub input_norm: usize,
    /// Query, key and value rows, `[(heads + 2 kv_heads) * head_dim, hidden]`.
    pub qkv: usize,
    /// Their biases, `[(heads + 2 kv_heads) * head_dim]`.
    pub qkv_bias: Option<usize>,
    /// Gains of each query and each key head, `[head_dim]` both.
    pub qk_norm: Option<(usize, usize)>,
    /// Output projection, `[hidden, heads * head_dim]`.
    pub o: usize,
    /// Gain before the feed-forward, `[hidden]`.
    pub post_norm: usize,
    /// Gate rows, then up rows, `[2 * intermediate, hidden]`.
    pub gate_up: usize,
    /// Down projection, `[hidden, intermediate]`.
    pub down: usize,
}

/// The order of all parameters in the flat buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Token embedding, `[vocab, hidden]`.
    pub embed: usize,
    /// Each layer's parameters.
    pub layers: Vec<LayerOffsets>,
    /// Gain after the last layer, `[hidden]`.
    pub norm: usize,
    /// The head, `[vocab, hidden]`: the embedding itself when tied.
    pub head: usize,
    /// Length of the flat buffer.
    pub len: usize,
    specs: Vec<ParameterSpec>,
}

impl Layout {
    /// Lays out the parameters of a decoder.
    pub fn new(architecture: &Architecture) -> Self {
        let mut writer = Writer::default();
        let vocabulary = [architecture.vocab_size, architecture.hidden_size];
        let embed = writer.add(
            "model.embed_tokens.weight".into(),
            &vocabulary,
            ParameterKind::Embedding,
        );
        let layers = (0..architecture.layers)
            .map(|layer| writer.add_layer(architecture, layer))
            .collect();
        let norm = writer.add(
            "model.norm.weight".into(),
            &vocabulary[1..],
            ParameterKind::Norm,
        );
        let head = match architecture.tied {
            true => embed,
            false => writer.add("lm_head.weight".into(), &vocabulary, ParameterKind::Head),
        };
        Self {
            embed,
            layers,
            norm,
            head,
            len: writer.len,
            specs: writer.specs,
        }
    }

    /// Every parameter, in the order of the buffer, without gaps.
    pub fn specs(&self) -> &[ParameterSpec] {
        &self.specs
    }
}

/// Lays parameters out one after another.
#[derive(Default)]
pub(crate) struct Writer {
    pub(crate) specs: Vec<ParameterSpec>,
    len: usize,
}

impl Writer {
    /// Where the new parameter begins.
    pub(crate) fn add(&mut self, name: String, shape: &[usize], kind: ParameterKind) -> usize {
        let offset = self.len;
        self.len += shape.iter().product::<usize>();
        self.specs.push(ParameterSpec {
            name,
            shape: shape.to_vec(),
            offset,
            kind,
        });
        offset
    }

    fn add_layer(&mut self, a: &Architecture, layer: usize) -> LayerOffsets {
        use ParameterKind::{Bias, Matrix, Norm, ResidualMatrix};
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        let (hidden, query, kv, ffn) = (
            a.hidden_size,
            a.query_size(),
            a.kv_size(),
            a.intermediate_size,
        );

        let input_norm = self.add(name("input_layernorm.weight"), &[hidden], Norm);
        let qkv = self.add(name("self_attn.q_proj.weight"), &[query, hidden], Matrix);
        self.add(name("self_attn.k_proj.weight"), &[kv, hidden], Matrix);
        self.add(name("self_attn.v_proj.weight"), &[kv, hidden], Matrix);
        let qkv_bias = a.qkv_bias.then(|| {
            let first = self.add(name("self_attn.q_proj.bias"), &[query], Bias);
            self.add(name("self_attn.k_proj.bias"), &[kv], Bias);
            self.add(name("self_attn.v_proj.bias"), &[kv], Bias);
            first
        });
        let qk_norm = a.qk_norm.then(|| {
            let q = self.add(name("self_attn.q_norm.weight"), &[a.head_dim], Norm);
            let k = self.add(name("self_attn.k_norm.weight"), &[a.head_dim], Norm);
            (q, k)
        });
        let o = self.add(
            name("self_attn.o_proj.weight"),
            &[hidden, query],
            ResidualMatrix,
        );
        let post_norm = self.add(name("post_attention_layernorm.weight"), &[hidden], Norm);
        let gate_up = self.add(name("mlp.gate_proj.weight"), &[ffn, hidden], Matrix);
        self.add(name("mlp.up_proj.weight"), &[ffn, hidden], Matrix);
        let down = self.add(name("mlp.down_proj.weight"), &[hidden, ffn], ResidualMatrix);
        LayerOffsets {
            input_norm,
            qkv,
            qkv_bias,
            qk_norm,
            o,
            post_norm,
            gate_up,
            down,
        }
    }
}

/// The weights of a decoder in f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// Where each parameter lies.
    pub layout: Arc<Layout>,
    /// `[layout.len]`.
    pub data: Vec<f32>,
}

impl Parameters {
    /// All zeros, to be filled.
    fn zeros(architecture: &Architecture) -> Self {
        let layout = Arc::new(Layout::new(architecture));
        let data = vec![0.0; layout.len];
        Self { layout, data }
    }

    /// One parameter's values.
    pub fn slice(&self, spec: &ParameterSpec) -> &[f32] {
        &self.data[spec.range()]
    }
}

/// Fresh weights, the same for the same seed: normal with the architecture's
/// `initializer_range`, divided by sqrt(2 * layers) where a matrix writes to the residual
/// stream (Radford et al. 2019, section 2.3); norms 1, biases 0.
pub fn init(architecture: &Architecture, seed: u64) -> Parameters {
    let mut parameters = Parameters::zeros(architecture);
    let mut random = rng(seed);
    let range = architecture.initializer_range;
    let residual_range = range / (2.0 * architecture.layers as f64).sqrt();
    let layout = Arc::clone(&parameters.layout);
    for spec in layout.specs() {
        let values = &mut parameters.data[spec.range()];
        match spec.kind {
            ParameterKind::Norm => values.fill(1.0),
            ParameterKind::Bias => values.fill(0.0),
            ParameterKind::ResidualMatrix => fill_normal(values, residual_range, &mut random),
            _ => fill_normal(values, range, &mut random),
        }
    }
    parameters
}

fn fill_normal(values: &mut [f32], deviation: f64, random: &mut ChaCha8Rng) {
    for value in values {
        *value = (deviation * standard_normal(random)) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Preset;

    #[test]
    fn parameters_follow_each_other_without_gaps_and_the_offsets_point_at_them() {
        let layout = Layout::new(&Preset::Tiny.architecture(300));
        let mut end = 0;
        for spec in layout.specs() {
            assert_eq!(spec.offset, end, "{}", spec.name);
            end = spec.range().end;
        }
        assert_eq!(end, layout.len);
        let at = |name: &str| {
            layout
                .specs()
                .iter()
                .find(|spec| spec.name == name)
                .map(|spec| spec.offset)
        };
        let layer = layout.layers[3];
        assert_eq!(
            at("model.layers.3.self_attn.q_proj.weight"),
            Some(layer.qkv)
        );
        assert_eq!(
            at("model.layers.3.self_attn.v_proj.weight"),
            Some(layer.qkv + (128 + 64) * 128)
        );
        assert_eq!(
            at("model.layers.3.mlp.up_proj.weight"),
            Some(layer.gate_up + 384 * 128)
        );
        assert_eq!(at("model.layers.3.mlp.down_proj.weight"), Some(layer.down));
        assert_eq!(
            at("model.layers.3.self_attn.k_norm.weight"),
            layer.qk_norm.map(|(_, k)| k)
        );
        assert_eq!((layout.head, at("lm_head.weight")), (layout.embed, None));
    }

    #[test]
    fn fresh_weights_depend_on_the_seed_alone_and_have_the_deviations_asked_for() {
        let architecture = Preset::Tiny.architecture(300);
        let parameters = init(&architecture, 5);
        assert!(parameters == init(&architecture, 5) && parameters != init(&architecture, 6));
        for spec in parameters.layout.specs() {
            let values = parameters.slice(spec);
            let mean_square =
                values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32;
            let expected = match spec.kind {
                ParameterKind::Norm => 1.0,
                ParameterKind::Bias => 0.0,
                ParameterKind::ResidualMatrix => 0.02 / 8.0_f32.sqrt(),
                _ => 0.02,
            };
            let found = mean_square.sqrt();
            assert!(
                (found - expected).abs() <= 0.03 * expected,
                "{}: {found}",
                spec.name
            );
        }
    }
}
