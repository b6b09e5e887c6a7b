//! How much memory a run takes, before it takes any: counted from the model's shapes and the
//! config's limits. Knows no machine: whoever asks knows what there is.

use model::{
    Adapter, Architecture, Footprint, Keep, Layout, LoraConfig, Model, OptimizerKind, Precision,
    cached_numbers, optimizer_numbers, packed_numbers,
};
use objective::Algorithm;

use crate::batch::{Batch, Sample};
use crate::learner::{FOREST, forests};
use crate::{Config, Settings};

/// The program itself, threads' working memory and what allocators keep.
const PROGRAM: u64 = 12 << 20;
/// A tokenizer's tables, for each token of the vocabulary.
const TOKENIZER: u64 = 1 << 10;
/// Of a number.
const BYTES: u64 = 4;
const GIB: f64 = (1_u64 << 30) as f64;

/// How a model is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// What passes read.
    pub precision: Precision,
    /// Numbers of the adapter that is trained while the weights stand still.
    pub adapter: Option<usize>,
}

impl Held {
    /// As a model is.
    pub fn of(model: &Model) -> Self {
        Self {
            precision: model.weights.precision(),
            adapter: model.adapter.as_ref().map(|adapter| adapter.values.len()),
        }
    }
}

/// The work that is held in memory at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Whose.
    pub model: Held,
    /// Tokens of the largest forest that goes through the model.
    pub tokens: usize,
    /// Tokens of it that are predicted.
    pub targets: usize,
    /// What its forward pass keeps.
    pub keep: Keep,
    /// Whose moments are held.
    pub optimizer: OptimizerKind,
    /// Tokens whose keys and values live at once; `None` where nothing is ever sampled.
    pub cached: Option<usize>,
}

impl Load {
    /// What learning from a batch needs.
    pub fn of_batch(batch: &Batch, model: Held, keep: Keep, optimizer: OptimizerKind) -> Self {
        let forests = forests(&batch.samples);
        let most = |of: fn(&Sample) -> usize| {
            let sums = forests
                .iter()
                .map(|range| batch.samples[range.clone()].iter().map(of).sum());
            sums.max().unwrap_or(0)
        };
        Self {
            model,
            tokens: most(|sample| sample.tree.len()),
            targets: most(|sample| sample.targets.len()),
            keep,
            optimizer,
            cached: None,
        }
    }

    /// The least that a run can need: episodes of one token. `episodes` are as many as ever are
    /// to be sampled together, be it to evaluate.
    pub fn at_least(settings: &Settings, model: Held, episodes: usize) -> Self {
        Self {
            model,
            tokens: 1,
            targets: 1,
            keep: keep(&settings.train),
            optimizer: settings.optimizer.kind,
            cached: (episodes > 0).then_some(1),
        }
    }

    /// The most: every episode and every trace as long as `rollout.max-tokens`, with nothing
    /// shared.
    pub fn at_most(settings: &Settings, model: Held, episodes: usize) -> Self {
        let living = episodes.min(settings.rollout.concurrency);
        let longest = settings.rollout.max_tokens;
        let sequences = match settings.objective.algorithm {
            // The trace, or twice where it is a worked example.
            Algorithm::Sft => 1 + usize::from(settings.train.worked_examples > 0.0),
            Algorithm::Grpo => settings.rollout.group_size,
            Algorithm::Pact => settings.rollout.group_size + 1,
        };
        let tree = sequences * longest;
        let together = settings.train.prompts_per_step * tree;
        let tokens = tree.max(together.min(FOREST));
        Self {
            tokens,
            targets: tokens,
            cached: (living > 0).then_some(living * longest),
            ..Self::at_least(settings, model, episodes)
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
/// to step, also while episodes are sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The model.
    pub weights: u64,
    /// As long as the weights.
    pub gradient: u64,
    /// The optimiser's moments.
    pub optimizer: u64,
    /// The generator's own layout of the weights.
    pub packed: u64,
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
    /// What a load takes. Keys and values keep to `cache_limit` bytes where there is one.
    pub fn new(architecture: &Architecture, load: &Load, cache_limit: Option<u64>) -> Self {
        let bytes = |numbers: usize| numbers as u64 * BYTES;
        let numbers = Layout::new(architecture).len as u64;
        let Held { precision, adapter } = load.model;
        let stored = match precision {
            Precision::F32 => 4,
            Precision::Bf16 => 2,
        };
        // What is trained in bfloat16 has f32 masters beside.
        let masters = match (precision, adapter) {
            (Precision::Bf16, None) => 4 * numbers,
            (_, adapter) => bytes(adapter.unwrap_or(0)),
        };
        let pass = Footprint::of_pass(architecture, load.tokens, load.targets, load.keep);
        let cache = load
            .cached
            .map_or(0, |tokens| bytes(tokens * cached_numbers(architecture)));
        Self {
            weights: stored * numbers + masters,
            gradient: adapter.map_or(BYTES * numbers, bytes),
            optimizer: adapter.map_or_else(
                || bytes(optimizer_numbers(architecture, load.optimizer)),
                |adapter| bytes(2 * adapter),
            ),
            packed: load
                .cached
                .map_or(0, |_| stored * packed_numbers(architecture) as u64),
            program: PROGRAM + TOKENIZER * architecture.vocab_size as u64,
            head: bytes(pass.head),
            working: bytes(pass.working),
            activations: bytes(pass.activations),
            cache: cache_limit.map_or(cache, |limit| cache.min(limit)),
        }
    }

    /// Every part by its name, those first that no limit of the config changes.
    pub fn parts(&self) -> [(&'static str, u64); 9] {
        [
            ("weights", self.weights),
            ("gradient", self.gradient),
            ("optimizer", self.optimizer),
            ("packed-weights", self.packed),
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

/// The settings to change so that a run stays within `memory` bytes at its most, each as it is
/// written in a config: those that cost least first, and none that is not needed. `None` where
/// no setting suffices.
pub fn settings_that_fit(
    architecture: &Architecture,
    settings: &Settings,
    (model, episodes): (Held, usize),
    cache_limit: Option<u64>,
    memory: u64,
) -> Option<Vec<String>> {
    let most = |settings: &Settings, limit| {
        let load = Load::at_most(settings, model, episodes);
        Plan::new(architecture, &load, limit)
    };
    let fits = |settings: &Settings, limit| most(settings, limit).total() <= memory;
    if fits(settings, cache_limit) {
        return Some(Vec::new());
    }
    let mut checkpointed = settings.clone();
    checkpointed.train.activation_checkpointing = true;
    let again = "train.activation-checkpointing = true".to_owned();
    let bounded = |settings: &Settings| {
        let gib = smaller_cache(&most(settings, cache_limit), settings, memory)?;
        Some((
            Some((gib * GIB) as u64),
            format!("engine.cache-gib = {gib}"),
        ))
    };
    if let Some((_, bound)) = bounded(settings).filter(|(limit, _)| fits(settings, *limit)) {
        return Some(vec![bound]);
    }
    if fits(&checkpointed, cache_limit) {
        return Some(vec![again]);
    }
    let (limit, bound) = bounded(&checkpointed).unzip();
    let limit = limit.unwrap_or(cache_limit);
    let mut changes: Vec<String> = bound.into_iter().collect();
    if !settings.train.activation_checkpointing {
        changes.push(again);
    }
    if fits(&checkpointed, limit) {
        return Some(changes);
    }
    let (mut fitting, mut too_many) = (0, settings.rollout.max_tokens);
    while too_many - fitting > 1 {
        let tokens = fitting.midpoint(too_many);
        checkpointed.rollout.max_tokens = tokens;
        match fits(&checkpointed, limit) {
            true => fitting = tokens,
            false => too_many = tokens,
        }
    }
    if fitting > 0 {
        changes.push(format!("rollout.max-tokens = {fitting}"));
        return Some(changes);
    }
    // Too large even so: weights that stand still, rounded, beside a small adapter.
    let frozen = frozen(architecture).filter(|held| model.adapter.is_none() && *held != model)?;
    let more = settings_that_fit(
        architecture,
        settings,
        (frozen, episodes),
        cache_limit,
        memory,
    )?;
    let lora = ["model.weights = \"bf16\"", "model.lora.rank = 16"].map(str::to_owned);
    Some(lora.into_iter().chain(more).collect())
}

/// bfloat16 weights that stand still beside an adapter of rank 16.
fn frozen(architecture: &Architecture) -> Option<Held> {
    let lora = LoraConfig {
        rank: 16,
        ..LoraConfig::default()
    };
    let adapter = Adapter::len(&lora, architecture).ok()?;
    Some(Held {
        precision: Precision::Bf16,
        adapter: Some(adapter),
    })
}

/// A bound in GiB on keys and values that helps: what all else leaves of `memory`, but no less
/// than a tenth of what living episodes would take, or nothing would go on side by side.
fn smaller_cache(plan: &Plan, settings: &Settings, memory: u64) -> Option<f64> {
    let episodes = settings.rollout.concurrency as u64;
    let left = memory.saturating_sub(plan.total() - plan.cache);
    let least = plan.cache / episodes.min(10);
    let hundredths = left.max(least) as f64 / GIB * 100.0;
    (left.max(least) < plan.cache && hundredths >= 1.0).then(|| hundredths.floor() / 100.0)
}

#[cfg(test)]
mod tests {
    use model::Preset;

    use super::*;

    const F32: Held = Held {
        precision: Precision::F32,
        adapter: None,
    };

    fn settings() -> Settings {
        Settings {
            seed: episode::Seed(0),
            train: Config::default(),
            rollout: rollout::Config {
                group_size: 4,
                max_tokens: 1000,
                concurrency: 8,
                ..rollout::Config::default()
            },
            objective: objective::Config::default(),
            optimizer: model::OptimizerConfig::default(),
            schedule: model::Schedule::default(),
            cache_bytes: None,
        }
    }

    #[test]
    fn a_run_is_at_most_as_long_as_its_limits_and_as_wide_as_its_group() {
        let check = |algorithm, prompts, expected| {
            let mut settings = settings();
            settings.objective.algorithm = algorithm;
            settings.train.prompts_per_step = prompts;
            let most = Load::at_most(&settings, F32, 99);
            assert_eq!(most.tokens, expected, "{algorithm:?}");
            assert_eq!(most.cached, Some(8 * 1000));
        };
        check(Algorithm::Grpo, 1, 4000);
        check(Algorithm::Pact, 1, 5000);
        check(Algorithm::Pact, 8, 5000);
        check(Algorithm::Sft, 1, 1000);
        // Short samples go through the model together.
        check(Algorithm::Sft, 32, FOREST);
    }

    #[test]
    fn weights_gradient_and_moments_are_four_bytes_a_parameter_each() {
        let architecture = Preset::Tiny.architecture(300);
        let parameters = Layout::new(&architecture).len as u64;
        let plan = Plan::new(&architecture, &Load::at_least(&settings(), F32, 0), None);
        assert_eq!(plan.weights, 4 * parameters);
        assert_eq!(plan.gradient, 4 * parameters);
        assert_eq!(plan.optimizer, 8 * parameters);
        assert_eq!((plan.packed, plan.cache), (0, 0));
    }

    #[test]
    fn bfloat16_has_masters_only_where_it_is_trained_and_an_adapter_has_all_the_rest() {
        let architecture = Preset::Tiny.architecture(300);
        let parameters = Layout::new(&architecture).len as u64;
        let plan = |adapter| {
            let held = Held {
                precision: Precision::Bf16,
                adapter,
            };
            Plan::new(&architecture, &Load::at_least(&settings(), held, 1), None)
        };
        let whole = plan(None);
        assert_eq!(whole.weights, 6 * parameters);
        assert_eq!(whole.packed, 2 * packed_numbers(&architecture) as u64);
        assert_eq!(
            (whole.gradient, whole.optimizer),
            (4 * parameters, 8 * parameters)
        );
        let lora = plan(Some(1000));
        assert_eq!(lora.weights, 2 * parameters + 4000);
        assert_eq!((lora.gradient, lora.optimizer), (4000, 8000));
    }

    #[test]
    fn few_episodes_fill_no_cache_that_was_made_for_many() {
        let load = |episodes| Load::at_most(&settings(), F32, episodes).cached;
        assert_eq!((load(0), load(3), load(99)), (None, Some(3000), Some(8000)));
    }

    #[test]
    fn a_model_too_large_to_train_whole_is_offered_an_adapter() {
        let architecture = Preset::Small.architecture(100_000);
        let whole = Plan::new(&architecture, &Load::at_least(&settings(), F32, 99), None);
        let changes = settings_that_fit(
            &architecture,
            &settings(),
            (F32, 99),
            None,
            whole.total() * 2 / 3,
        );
        let changes = changes.expect("an adapter fits");
        assert_eq!(
            changes[..2],
            ["model.weights = \"bf16\"", "model.lora.rank = 16"]
        );
    }

    #[test]
    fn keys_and_values_are_two_vectors_a_layer_for_each_living_token_up_to_the_bound() {
        let architecture = Preset::Tiny.architecture(300);
        let load = Load::at_most(&settings(), F32, 99);
        // 4 layers of 2 key-value heads of 32.
        let expected = 4 * 2 * 4 * 2 * 32 * 8000;
        assert_eq!(Plan::new(&architecture, &load, None).cache, expected);
        assert_eq!(Plan::new(&architecture, &load, Some(77)).cache, 77);
    }

    #[test]
    fn what_fits_needs_no_change_and_what_does_not_gets_the_changes_that_suffice() {
        let architecture = Preset::Small.architecture(4096);
        let settings = settings();
        let total = |settings: &Settings, limit| {
            Plan::new(&architecture, &Load::at_most(settings, F32, 99), limit).total()
        };
        let whole = total(&settings, None);
        let changes = |memory| settings_that_fit(&architecture, &settings, (F32, 99), None, memory);
        assert_eq!(changes(whole), Some(vec![]));
        let cache = changes(whole - (10 << 20)).expect("fewer keys and values");
        assert_eq!(cache, ["engine.cache-gib = 0.03"]);

        let mut checkpointed = settings.clone();
        checkpointed.train.activation_checkpointing = true;
        let computed_again = total(&checkpointed, None);
        let fewer = changes(computed_again).expect("activations can be computed again");
        assert_eq!(fewer, ["train.activation-checkpointing = true"]);

        let shorter = changes(computed_again / 2).expect("shorter episodes");
        let tokens = shorter
            .last()
            .and_then(|last| last.strip_prefix("rollout.max-tokens = "));
        let tokens: usize = tokens
            .and_then(|tokens| tokens.parse().ok())
            .expect("a number");
        assert!((1..1000).contains(&tokens), "{shorter:?}");

        assert_eq!(changes(1 << 20), None);
    }
}
