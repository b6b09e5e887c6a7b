//! How much memory a run takes, before it takes any: counted from the model's shapes and the
//! config's limits. Knows no machine: whoever asks knows what there is.

use model::{
    Adapter, Architecture, Footprint, Keep, Layout, LoraConfig, Model, OptimizerConfig,
    OptimizerKind, Precision, cached_numbers, optimizer_numbers, packed_numbers,
};
use objective::Algorithm;

use crate::batch::{Batch, Sample};
use crate::learner::{FOREST, forests};
use crate::{Config, Settings};

/// The program itself, threads' working memory and what allocators keep.
const PROGRAM: u64 = 12 << 20;
/// Of a card's memory: the driver's own, compiled kernels, and the workspace of products.
const CARD: u64 = 1 << 30;
/// A tokenizer's tables, for each token of the vocabulary.
const TOKENIZER: u64 = 1 << 10;
/// Of an adapter that is proposed.
const RANK: usize = 16;
const GIB: f64 = (1_u64 << 30) as f64;

/// What a model's weights are held in, and what is trained of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// What passes read.
    pub precision: Precision,
    /// Numbers of the adapter that is trained, if the weights stand still.
    pub adapter: Option<usize>,
    /// Whether they are on a card, and so is all that is computed with them.
    pub on_card: bool,
}

impl Held {
    /// As a model is.
    pub fn of(model: &Model) -> Self {
        Self {
            precision: model.weights.precision(),
            adapter: model.adapter.as_ref().map(|adapter| adapter.values.len()),
            on_card: model.is_on_card(),
        }
    }
}

/// Episodes that are sampled at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Episodes {
    /// How many.
    pub count: usize,
    /// Tokens of each, none of them shared.
    pub tokens: usize,
    /// Bytes that their keys and values keep to, if there is a bound.
    pub cache_bytes: Option<usize>,
}

/// The work that is held in memory at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Tokens of the largest forest that goes through the model.
    pub tokens: usize,
    /// Tokens of it that are predicted.
    pub targets: usize,
    /// What its forward pass keeps.
    pub keep: Keep,
    /// Whose moments are held, and how.
    pub optimizer: OptimizerConfig,
    /// `None` where nothing is ever sampled.
    pub episodes: Option<Episodes>,
}

impl Load {
    /// What learning from a batch needs.
    pub fn of_batch(batch: &Batch, keep: Keep, optimizer: OptimizerConfig) -> Self {
        let forests = forests(&batch.samples);
        let most = |of: fn(&Sample) -> usize| {
            let sums = forests
                .iter()
                .map(|range| batch.samples[range.clone()].iter().map(of).sum());
            sums.max().unwrap_or(0)
        };
        Self {
            tokens: most(|sample| sample.tree.len()),
            targets: most(|sample| sample.targets.len()),
            keep,
            optimizer,
            episodes: None,
        }
    }
}

/// What a forward pass keeps, as the config says.
pub(crate) fn keep(config: &Config) -> Keep {
    match config.activation_checkpointing {
        true => Keep::Inputs,
        false => Keep::All,
    }
}

/// Bytes, by what they are for. All of them are held at the same time: buffers live from step
/// to step, also while episodes are sampled. On a card the cache is what it takes beyond these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The model, masters and adapter included; a reference's too.
    pub weights: u64,
    /// Of what is trained.
    pub gradient: u64,
    /// The optimiser's moments.
    pub optimizer: u64,
    /// The generator's own layout of the weights, and its logits: on a card twice, since those of
    /// recorded steps stay with them.
    pub generator: u64,
    /// The program, and its tokenizer.
    pub program: u64,
    /// Logits of a chunk of positions, or of all where they are few.
    pub head: u64,
    /// What the layer at work needs.
    pub working: u64,
    /// What layers keep for the backward pass.
    pub activations: u64,
    /// Keys and values of living episodes.
    pub cache: u64,
}

impl Plan {
    /// What a load takes.
    pub fn new(architecture: &Architecture, held: Held, load: &Load) -> Self {
        let bytes = |numbers: usize| 4 * numbers as u64;
        let all = Layout::new(architecture).len;
        let (whole, each) = match (held.precision, held.adapter) {
            _ if held.on_card => (if held.adapter.is_some() { 2 } else { 6 }, 2),
            (Precision::F32, _) => (4, 4),
            (Precision::Bf16, Some(_)) => (2, 2),
            // With f32 masters, which are trained.
            (Precision::Bf16, None) => (6, 2),
        };
        let trained = held.adapter.unwrap_or(all);
        let moments = match held.adapter {
            Some(adapter) => 2 * adapter,
            None => optimizer_numbers(architecture, load.optimizer.kind),
        };
        let moment = match load.optimizer.moments {
            Precision::F32 => 4,
            Precision::Bf16 => 2,
        };
        let of_pass = match held.on_card {
            true => Footprint::of_pass_on_card,
            false => Footprint::of_pass,
        };
        let pass = of_pass(architecture, load.tokens, load.targets, load.keep);
        let episodes = load.episodes.unwrap_or(Episodes {
            count: 0,
            tokens: 0,
            cache_bytes: None,
        });
        let packed = match load.episodes {
            Some(_) if !held.on_card => packed_numbers(architecture),
            _ => 0,
        };
        let cache = episodes.count * cached_numbers(architecture, episodes.tokens);
        let bound = episodes.cache_bytes.unwrap_or(usize::MAX) as u64;
        let cache = match held.on_card {
            // In bfloat16, and where passes were and will be: a card's memory goes from one to
            // the other.
            true => (bytes(cache / 2).min(bound)).saturating_sub(bytes(pass.total())),
            false => bytes(cache).min(bound),
        };
        Self {
            weights: whole * all as u64
                + held.adapter.unwrap_or(0) as u64 * if held.on_card { 6 } else { 4 },
            gradient: bytes(trained),
            optimizer: moment * moments as u64,
            generator: each * packed as u64
                + bytes(episodes.count * architecture.vocab_size)
                    * if held.on_card { 2 } else { 1 },
            program: match held.on_card {
                true => CARD,
                false => PROGRAM + TOKENIZER * architecture.vocab_size as u64,
            },
            head: bytes(pass.head),
            working: bytes(pass.working),
            activations: bytes(pass.activations),
            cache,
        }
    }

    /// Every part by its name, those first that no limit of the config changes.
    pub fn parts(&self) -> [(&'static str, u64); 9] {
        [
            ("weights", self.weights),
            ("gradient", self.gradient),
            ("optimizer", self.optimizer),
            ("generator", self.generator),
            ("program", self.program),
            ("head", self.head),
            ("layer-at-work", self.working),
            ("activations", self.activations),
            ("key-value-cache", self.cache),
        ]
    }

    /// All parts together.
    pub fn total(&self) -> u64 {
        self.parts().into_iter().map(|(_, bytes)| bytes).sum()
    }
}

/// A run, as far as its memory depends on it.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedRun {
    /// The model's shapes.
    pub architecture: Architecture,
    /// How its weights are held.
    pub held: Held,
    /// Whether they are those of a folder, which a fresh adapter can be put on.
    pub has_base: bool,
    /// Every choice of the run.
    pub settings: Settings,
    /// As many as are ever to be sampled together, be it to evaluate; 0 is none.
    pub episodes: usize,
}

impl PlannedRun {
    /// What it takes in any case, however short its episodes are.
    pub fn at_least(&self) -> Plan {
        self.plan(1, 1, 1)
    }

    /// What it takes at most: with every episode and every trace as long as
    /// `rollout.max-tokens`, and nothing shared.
    pub fn at_most(&self) -> Plan {
        let rollout = &self.settings.rollout;
        let living = self.episodes.min(rollout.concurrency);
        self.plan(self.most_tokens(), living, rollout.max_tokens)
    }

    fn plan(&self, tokens: usize, episodes: usize, length: usize) -> Plan {
        let load = Load {
            tokens,
            targets: tokens,
            keep: keep(&self.settings.train),
            optimizer: self.settings.optimizer,
            episodes: (self.episodes > 0).then_some(Episodes {
                count: episodes,
                tokens: length,
                cache_bytes: self.settings.cache_bytes,
            }),
        };
        let mut plan = Plan::new(&self.architecture, self.held, &load);
        // Under an adapter, the reference is the same weights.
        if self.settings.objective.kl_weight() > 0.0 && self.held.adapter.is_none() {
            plan.weights *= 2;
        }
        plan
    }

    /// Tokens of the largest forest.
    fn most_tokens(&self) -> usize {
        let settings = &self.settings;
        let algorithm = settings.objective.algorithm;
        let rollouts = match algorithm.samples() {
            true => settings.rollout.group_size,
            false => 0,
        };
        // A teacher scores every rollout once more.
        let rollouts = match algorithm {
            Algorithm::SelfDistillation => 2 * rollouts,
            _ => rollouts,
        };
        // The trace, or twice where it is a worked example.
        let traces = match settings.objective.uses_traces() {
            true => 1 + usize::from(settings.train.worked_examples > 0.0),
            false => 0,
        };
        let sequences = rollouts + traces;
        let tree = sequences * settings.rollout.max_tokens;
        tree.max((settings.train.prompts_per_step * tree).min(FOREST))
    }

    /// The settings to change so that it stays within `memory` bytes at its most, each as it
    /// is written in a config: as few and as cheap as suffice. `None` where none suffice.
    pub fn settings_that_fit(&self, memory: u64) -> Option<Vec<String>> {
        let fits = |run: &Self| run.at_most().total() <= memory;
        let mut shorter = None;
        let as_it_is = Some((self.clone(), vec![]));
        for (run, lighter) in [as_it_is, self.narrower(), self.lighter()]
            .into_iter()
            .flatten()
        {
            for [bounds, checkpoints] in
                [[false, false], [true, false], [false, true], [true, true]]
            {
                let (mut run, mut changes) = (run.clone(), lighter.clone());
                let is_new = checkpoints && !run.settings.train.activation_checkpointing;
                if is_new {
                    run.settings.train.activation_checkpointing = true;
                    changes.push("train.activation-checkpointing = true".to_owned());
                }
                if let Some(gib) = run.smaller_cache(memory).filter(|_| bounds) {
                    run.settings.cache_bytes = Some((gib * GIB) as usize);
                    changes.push(format!("engine.cache-gib = {gib}"));
                }
                if fits(&run) {
                    return Some(changes);
                }
                if bounds && checkpoints && shorter.is_none() {
                    shorter = run.shorter(memory, changes);
                }
            }
        }
        shorter
    }

    /// The moments in bfloat16, where a card can hold them so; with the setting that says so.
    fn narrower(&self) -> Option<(Self, Vec<String>)> {
        let mut narrower = self.clone();
        narrower.settings.optimizer.moments = Precision::Bf16;
        let can = self.held.on_card && narrower.settings.optimizer != self.settings.optimizer;
        can.then(|| (narrower, vec!["optimizer.moments = \"bf16\"".to_owned()]))
    }

    /// The weights in bfloat16, which halves them where they stand still, and a LoRA adapter
    /// where one can be put on them; with the settings that say so.
    fn lighter(&self) -> Option<(Self, Vec<String>)> {
        let mut lighter = self.clone();
        lighter.held.precision = Precision::Bf16;
        let mut changes = Vec::new();
        if self.held.precision != Precision::Bf16 && !self.held.on_card {
            changes.push("model.weights = \"bf16\"".to_owned());
        }
        if self.held.adapter.is_none() {
            let lora = LoraConfig {
                rank: RANK,
                ..LoraConfig::default()
            };
            let numbers = Adapter::len(&lora, &self.architecture).ok();
            let numbers = numbers.filter(|_| self.has_base);
            lighter.held.adapter = Some(numbers?);
            lighter.settings.optimizer.kind = OptimizerKind::Adamw;
            changes.push(format!("model.lora.rank = {RANK}"));
            if self.settings.optimizer.kind == OptimizerKind::Muon {
                changes.push("optimizer.kind = \"adamw\"".to_owned());
            }
        }
        (!changes.is_empty()).then_some((lighter, changes))
    }

    /// A bound in GiB on keys and values that helps: what all else leaves of `memory`, but no
    /// less than one episode takes.
    fn smaller_cache(&self, memory: u64) -> Option<f64> {
        let plan = self.at_most();
        let positions = self.settings.rollout.max_tokens + 1;
        let each = if self.held.on_card { 2 } else { 4 };
        let least = each * cached_numbers(&self.architecture, positions) as u64;
        let left = memory.saturating_sub(plan.total() - plan.cache);
        let gib = match left >= least {
            true => (left as f64 / GIB * 100.0).floor() / 100.0,
            false => (least as f64 / GIB * 100.0).ceil() / 100.0,
        };
        ((least..plan.cache).contains(&((gib * GIB) as u64))).then_some(gib)
    }

    /// With episodes as short as makes it fit.
    fn shorter(&self, memory: u64, mut changes: Vec<String>) -> Option<Vec<String>> {
        let mut run = self.clone();
        let (mut fitting, mut too_many) = (0, self.settings.rollout.max_tokens);
        while too_many - fitting > 1 {
            let tokens = fitting.midpoint(too_many);
            run.settings.rollout.max_tokens = tokens;
            match run.at_most().total() <= memory {
                true => fitting = tokens,
                false => too_many = tokens,
            }
        }
        changes.push(format!("rollout.max-tokens = {fitting}"));
        (fitting > 0).then_some(changes)
    }
}

#[cfg(test)]
mod tests {
    use model::{OptimizerConfig, Preset, Schedule};

    use super::*;

    fn run(preset: Preset, vocabulary: usize) -> PlannedRun {
        let settings = Settings {
            seed: episode::Seed(0),
            train: Config::default(),
            rollout: rollout::Config {
                group_size: 4,
                max_tokens: 1000,
                concurrency: 8,
                ..rollout::Config::default()
            },
            reward: env::reward::Config::default(),
            trace: crate::Trace::default(),
            objective: objective::Config::default(),
            optimizer: OptimizerConfig::default(),
            schedule: Schedule::default(),
            cache_bytes: None,
        };
        PlannedRun {
            architecture: preset.architecture(vocabulary),
            held: Held::default(),
            has_base: false,
            settings,
            episodes: 99,
        }
    }

    #[test]
    fn a_run_is_at_most_as_long_as_its_limits_and_as_wide_as_its_group() {
        let check = |algorithm, prompts, expected| {
            let mut run = run(Preset::Tiny, 300);
            run.settings.objective.algorithm = algorithm;
            run.settings.train.prompts_per_step = prompts;
            assert_eq!(run.most_tokens(), expected, "{algorithm:?}");
        };
        check(Algorithm::Grpo, 1, 4000);
        check(Algorithm::Pact, 1, 5000);
        check(Algorithm::Pact, 8, 5000);
        check(Algorithm::Sft, 1, 1000);
        // Short samples go through the model together.
        check(Algorithm::Sft, 32, FOREST);
    }

    #[test]
    fn a_parameter_takes_what_its_precision_and_its_training_take() {
        let mut run = run(Preset::Tiny, 300);
        run.episodes = 0;
        let parameters = Layout::new(&run.architecture).len as u64;
        let mut check = |precision, adapter, expected: [u64; 3]| {
            run.held = Held {
                precision,
                adapter,
                on_card: false,
            };
            let plan = run.at_least();
            assert_eq!([plan.weights, plan.gradient, plan.optimizer], expected);
            assert_eq!((plan.generator, plan.cache), (0, 0));
        };
        check(
            Precision::F32,
            None,
            [4, 4, 8].map(|bytes| bytes * parameters),
        );
        check(
            Precision::Bf16,
            None,
            [6, 4, 8].map(|bytes| bytes * parameters),
        );
        check(Precision::Bf16, Some(100), [2 * parameters + 400, 400, 800]);
    }

    #[test]
    fn keys_and_values_are_two_vectors_a_layer_for_each_living_token_up_to_the_bound() {
        let mut run = run(Preset::Tiny, 300);
        run.settings.rollout.max_tokens = 1024;
        // 16 blocks each: 4 layers of 2 key-value heads of 32, 64 tokens, and a margin.
        let expected = 4 * 8 * 16 * (4 * 2 * 2 * 32 * 64 + 16);
        assert_eq!(run.at_most().cache, expected);
        run.settings.cache_bytes = Some(77);
        assert_eq!(run.at_most().cache, 77);
        // Few episodes fill no cache that was made for many.
        run.settings.cache_bytes = None;
        run.episodes = 2;
        assert_eq!(run.at_most().cache, expected / 4);
    }

    #[test]
    fn what_fits_needs_no_change_and_what_does_not_gets_the_changes_that_suffice() {
        let run = run(Preset::Small, 4096);
        let whole = run.at_most().total();
        assert_eq!(run.settings_that_fit(whole), Some(vec![]));
        let cache = run
            .settings_that_fit(whole - (15 << 20))
            .expect("fewer keys and values");
        assert!(
            cache.len() == 1 && cache[0].starts_with("engine.cache-gib = 0.0"),
            "{cache:?}"
        );

        let mut checkpointed = run.clone();
        checkpointed.settings.train.activation_checkpointing = true;
        let computed_again = checkpointed.at_most().total();
        let fewer = run.settings_that_fit(computed_again);
        assert_eq!(
            fewer,
            Some(vec!["train.activation-checkpointing = true".to_owned()])
        );

        let shorter = run
            .settings_that_fit(computed_again / 2)
            .expect("shorter episodes");
        let tokens = shorter
            .last()
            .and_then(|last| last.strip_prefix("rollout.max-tokens = "));
        let tokens: usize = tokens
            .and_then(|tokens| tokens.parse().ok())
            .expect("a number");
        assert!((1..1000).contains(&tokens), "{shorter:?}");

        assert_eq!(run.settings_that_fit(1 << 20), None);
    }

    #[test]
    fn weights_that_are_too_large_to_train_get_an_adapter_if_they_have_a_folder() {
        let mut run = run(Preset::Small, 100_000);
        run.settings.rollout.max_tokens = 64;
        let memory = run.at_least().total() / 2;
        assert_eq!(run.settings_that_fit(memory), None);
        run.has_base = true;
        let changes = run.settings_that_fit(memory).expect("an adapter is small");
        assert_eq!(
            changes[..2],
            ["model.weights = \"bf16\"", "model.lora.rank = 16"]
        );
    }

    /// Of Qwen3's shapes.
    fn qwen3(hidden: usize, ffn: usize, layers: usize, heads: usize) -> Architecture {
        let text = format!(
            r#"{{"model_type": "qwen3", "vocab_size": 151936, "hidden_size": {hidden},
            "intermediate_size": {ffn}, "num_hidden_layers": {layers},
            "num_attention_heads": {heads}, "num_key_value_heads": 8, "head_dim": 128,
            "max_position_embeddings": 40960, "rms_norm_eps": 1e-6, "rope_theta": 1000000,
            "tie_word_embeddings": true, "hidden_act": "silu"}}"#
        );
        Architecture::from_json(&text, std::path::Path::new("config.json")).expect("a config")
    }

    #[test]
    fn one_card_of_80_gb_holds_sixteen_rollouts_of_8k_tokens_of_what_people_train() {
        let load = Load {
            tokens: 16 * 8192,
            targets: 16 * 8192,
            keep: Keep::Inputs,
            optimizer: OptimizerConfig::default(),
            episodes: Some(Episodes {
                count: 16,
                tokens: 8192,
                cache_bytes: None,
            }),
        };
        let held = |adapter| Held {
            precision: Precision::Bf16,
            adapter,
            on_card: true,
        };
        let (full, large) = (qwen3(2048, 6144, 28, 16), qwen3(2560, 9728, 36, 32));
        let lora = LoraConfig {
            rank: RANK,
            ..LoraConfig::default()
        };
        let adapter = Adapter::len(&lora, &large).expect("a rank that it can have");
        for (architecture, held) in [(full, held(None)), (large, held(Some(adapter)))] {
            let plan = Plan::new(&architecture, held, &load);
            let gb = plan.total() as f64 / 1e9;
            assert!((70.0..80.0).contains(&gb), "{gb} GB: {plan:?}");
            let mut narrow = load;
            narrow.optimizer.moments = Precision::Bf16;
            let narrow = Plan::new(&architecture, held, &narrow);
            assert_eq!(2 * narrow.optimizer, plan.optimizer);
        }
    }
}
