//! What can be chosen about the objective. Each field says what it does and what it costs;
//! `recipe` says what an algorithm makes of those that are not set.

use serde::{Deserialize, Serialize};

use crate::{Anneal, Component, Correction, KlEstimator, Level, Shape};

/// Which signals a step is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// The expert traces alone, every token of the expert alike; nothing is sampled.
    Sft,
    /// The expert traces alone, by the components and annealing of `objective.sft`.
    ComponentSft,
    /// The likelihood of those rollouts whose reward is at least `advantage.threshold`.
    RejectionSft,
    /// REINFORCE++: the return, whitened over the batch (arXiv 2501.03262).
    ReinforcePlusPlus,
    /// REINFORCE++ with the group's mean as a baseline before the whitening.
    ReinforcePlusPlusBaseline,
    /// The reward less the mean of the group's others (arXiv 2402.14740).
    Rloo,
    /// The reward's z-score in its group, a mean over each rollout's tokens (arXiv 2402.03300).
    Grpo,
    /// GRPO without the two divisions that bias it (arXiv 2503.20783).
    DrGrpo,
    /// Wider clipping above, a mean over tokens, groups without variance drawn again, long
    /// episodes punished (arXiv 2503.14476).
    Dapo,
    /// One ratio for a whole rollout (arXiv 2507.18071).
    Gspo,
    /// The ratio clipped as a weight, so that every token keeps its gradient (arXiv 2506.13585).
    Cispo,
    /// GRPO and the traces' likelihood, mixed by a share that decays (arXiv 2508.11408).
    ChordMu,
    /// GRPO and a constant share of the traces' likelihood, each token weighted by p (1 - p).
    ChordPhi,
    /// The trace as an off-policy member of its group (arXiv 2504.14945).
    Luffy,
    /// Rollouts that begin with a part of the trace, which shrinks (arXiv 2505.16984).
    Uft,
    /// The same policy under the trace as a teacher of each sampled token (arXiv 2601.18734,
    /// in sampled-token form).
    SelfDistillation,
    /// GRPO on FTRL's step reward (arXiv 2508.08791).
    Ftrl,
    /// GRPO on ToolRL's reward (arXiv 2504.13958).
    ToolRl,
    /// Matched calls as turn rewards, turn and trajectory advantages (arXiv 2601.10712).
    MatchTir,
    /// Rollouts under the expert trace, anchoring under the prompt, and the traces themselves.
    #[default]
    Pact,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Sft,
        Self::ComponentSft,
        Self::RejectionSft,
        Self::ReinforcePlusPlus,
        Self::ReinforcePlusPlusBaseline,
        Self::Rloo,
        Self::Grpo,
        Self::DrGrpo,
        Self::Dapo,
        Self::Gspo,
        Self::Cispo,
        Self::ChordMu,
        Self::ChordPhi,
        Self::Luffy,
        Self::Uft,
        Self::SelfDistillation,
        Self::Ftrl,
        Self::ToolRl,
        Self::MatchTir,
        Self::Pact,
    ];

    /// Whether episodes are rolled out.
    pub fn samples(self) -> bool {
        !matches!(self, Self::Sft | Self::ComponentSft)
    }

    /// Whether a task's expert trace takes part in its loss or in its rollouts.
    pub fn uses_traces(self) -> bool {
        use Algorithm::{ChordMu, ChordPhi, ComponentSft, Luffy, Pact, SelfDistillation, Sft, Uft};
        matches!(
            self,
            Sft | ComponentSft | ChordMu | ChordPhi | Luffy | Uft | SelfDistillation | Pact
        )
    }
}

/// How the losses of a batch's rollout tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregate {
    /// The mean over all tokens of the batch: long rollouts weigh more.
    Token,
    /// The mean over rollouts of each one's mean: every rollout weighs the same.
    Sequence,
    /// The mean over rollouts of each one's sum divided by the longest possible length, which
    /// is `rollout.max-tokens`.
    Length,
}

/// Which context the old log-probabilities of the trace-conditioned ratio have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RatioOld {
    /// Prompt and trace, as the numerator: the ratio is exactly 1 on the first inner step.
    /// Costs a scoring pass when a batch takes several inner steps.
    #[default]
    Trace,
    /// The prompt alone, as sampled: the ratio carries the whole privilege gap, and is
    /// clipped from the first step on.
    Prompt,
}

/// In which way a component of the trace is annealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnnealBy {
    /// Not at all; `from` and `to` are not read.
    None,
    /// By the share of its segments, counted from the first, that are targets.
    Segment,
    /// By its weight.
    Scale,
}

/// What becomes of the reasoning that segment annealing has cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Beyond {
    /// It stays in the context and is no target.
    #[default]
    Mask,
    /// It is gone from the context as well.
    Drop,
}

/// What a target token's loss is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalise {
    /// The count of its own component's targets, so that no component dilutes another.
    #[default]
    Component,
    /// The count of all targets.
    Joint,
}

/// What the trace's final answer counts as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerAs {
    /// A target, like a call.
    #[default]
    Call,
    /// A component of its own, by its own weight and annealing.
    Own,
    /// Context.
    None,
}

/// How rewards become advantages.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Advantage {
    /// Divide by the group's standard deviation (plus 1e-6) after subtracting its mean.
    /// Without it, groups that nearly agree weigh less. Not set: as the algorithm does, which
    /// is yes but for `dr-grpo` and `luffy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normalise: Option<bool>,
    /// What a later reward is worth, for each token (`reinforce-plus-plus`) or turn
    /// (`match-tir`) that lies between. Not set: 1 and 0.9.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discount: Option<f64>,
    /// The least reward of a rollout that `rejection-sft` imitates.
    pub threshold: f64,
}

impl Default for Advantage {
    fn default() -> Self {
        Self {
            normalise: None,
            discount: None,
            threshold: 1.0,
        }
    }
}

/// The pull towards a reference policy, which is `model.reference`, else the policy that the
/// run began with: over the rollouts' tokens, in the context that they are scored in. Costs a
/// scoring pass of it for each batch, and its weights in memory unless an adapter is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Kl {
    /// What the divergence weighs; 0 turns it off. Not set: 0.001 for `ftrl`, `tool-rl` and
    /// `match-tir`, else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// How it is estimated from the sampled tokens: `k1`, `k2` or `k3`.
    pub estimator: KlEstimator,
}

/// What is done about rollouts whose log-probabilities come from elsewhere, or from weights
/// that have moved since: a weight for each token that was scored under the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Importance {
    /// `none`, `truncate` (the weight is at most `high`) or `mask` (a weight outside
    /// `low..high` counts as 0).
    pub correction: Correction,
    /// Whether each `token` has its own weight, or a rollout (`sequence`) one for all.
    pub level: Level,
    /// The least weight that `mask` lets through.
    pub low: f64,
    /// The largest weight.
    pub high: f64,
}

impl Default for Importance {
    fn default() -> Self {
        Self {
            correction: Correction::None,
            level: Level::Token,
            low: 0.5,
            high: 2.0,
        }
    }
}

/// What is done about groups of equal rewards, which teach nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Resample {
    /// Leave them out and roll out further tasks in their place (dynamic sampling). Not set:
    /// yes for `dapo` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Rounds of rollouts in a step, the first included; what is not full then trains as it is.
    pub rounds: usize,
}

impl Default for Resample {
    fn default() -> Self {
        Self {
            enabled: None,
            rounds: 10,
        }
    }
}

/// What is done about episodes that are too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Overlong {
    /// Leave an episode that a limit of tokens or turns cut off out of the loss, its reward
    /// not out of its group's mean.
    pub filter: bool,
    /// Subtract up to 1 from the reward over the last this many tokens before
    /// `rollout.max-tokens`; 0 is never. Not set: a fifth of `rollout.max-tokens` for `dapo`,
    /// else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<usize>,
}

/// The reasoning of a trace as a target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reasoning {
    /// Weight beside the calls, on top of any annealing.
    pub weight: f64,
    /// `none`, `segment` or `scale`.
    pub anneal: AnnealBy,
    /// Share of segments, or scale, at the start of training.
    pub from: f64,
    /// Share of segments, or scale, at its end.
    pub to: f64,
    /// `linear` or `cosine`.
    pub shape: Shape,
    /// Whether the segments that are no targets any more stay in the context: `mask` or
    /// `drop`.
    pub beyond: Beyond,
}

impl Default for Reasoning {
    fn default() -> Self {
        Self {
            weight: 1.0,
            anneal: AnnealBy::Segment,
            from: 1.0,
            to: 0.0,
            shape: Shape::Linear,
            beyond: Beyond::Mask,
        }
    }
}

impl Reasoning {
    /// The component that these fields describe.
    pub fn component(&self) -> Component {
        component(self.weight, self.anneal, self.from, self.to, self.shape)
    }
}

/// The tool calls of a trace as a target. The fields are those of [`Reasoning`]; the
/// defaults are not, which is why this is a type of its own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Calls {
    /// Weight beside the reasoning, on top of any annealing.
    pub weight: f64,
    /// `none`, `segment` (the first calls of a trace) or `scale`.
    pub anneal: AnnealBy,
    /// Share of calls, or scale, at the start of training.
    pub from: f64,
    /// Share of calls, or scale, at its end.
    pub to: f64,
    /// `linear` or `cosine`.
    pub shape: Shape,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            weight: 1.0,
            anneal: AnnealBy::Scale,
            from: 0.8,
            to: 0.2,
            shape: Shape::Linear,
        }
    }
}

impl Calls {
    /// The component that these fields describe.
    pub fn component(&self) -> Component {
        component(self.weight, self.anneal, self.from, self.to, self.shape)
    }
}

/// The final answer of a trace as a target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Answer {
    /// What it counts as: `call`, `own` (by the fields below) or `none`.
    pub target: AnswerAs,
    /// Weight beside reasoning and calls, on top of any annealing.
    pub weight: f64,
    /// `none`, `segment` (until the share falls to 0) or `scale`.
    pub anneal: AnnealBy,
    /// Share, or scale, at the start of training.
    pub from: f64,
    /// Share, or scale, at its end.
    pub to: f64,
    /// `linear` or `cosine`.
    pub shape: Shape,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            target: AnswerAs::Call,
            weight: 1.0,
            anneal: AnnealBy::Scale,
            from: 0.8,
            to: 0.2,
            shape: Shape::Linear,
        }
    }
}

impl Answer {
    /// The component that these fields describe, for `target = "own"`.
    pub fn component(&self) -> Component {
        component(self.weight, self.anneal, self.from, self.to, self.shape)
    }
}

fn component(weight: f64, by: AnnealBy, from: f64, to: f64, shape: Shape) -> Component {
    Component {
        weight,
        by,
        anneal: Anneal { from, to, shape },
    }
}

/// The expert trace as a target (component-aware SFT).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sft {
    /// Weight of the whole signal beside the rollouts'; 0 turns it off.
    pub weight: f64,
    /// Whether each component is a mean over its own targets (`component`) or all are one
    /// (`joint`).
    pub normalise: Normalise,
    /// What each turn's reasoning weighs, and how that changes.
    pub reasoning: Reasoning,
    /// What the tool calls weigh, and how that changes.
    pub calls: Calls,
    /// What the final answer weighs, and how that changes.
    pub answer: Answer,
}

impl Default for Sft {
    fn default() -> Self {
        Self {
            weight: 1.0,
            normalise: Normalise::default(),
            reasoning: Reasoning::default(),
            calls: Calls::default(),
            answer: Answer::default(),
        }
    }
}

impl Sft {
    /// Every token of the expert alike: the mean negative log-likelihood, times `weight`.
    pub fn plain(weight: f64) -> Self {
        Self {
            weight,
            normalise: Normalise::Joint,
            reasoning: Reasoning {
                anneal: AnnealBy::None,
                ..Reasoning::default()
            },
            calls: Calls {
                anneal: AnnealBy::None,
                ..Calls::default()
            },
            answer: Answer::default(),
        }
    }
}

/// The share of the traces' likelihood in `chord-mu` and `chord-phi`, in training steps. It
/// rises to `peak` over `warmup-steps`, then falls to `valley` over `decay-steps`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Chord {
    /// Not set: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_steps: Option<u64>,
    /// Not set: 200 for `chord-mu`, 0 for `chord-phi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay_steps: Option<u64>,
    /// Not set: 0.9 for `chord-mu`, 0.1 for `chord-phi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak: Option<f64>,
    /// Not set: 0.05 for `chord-mu`, 0.1 for `chord-phi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valley: Option<f64>,
}

/// The trace as an off-policy member, in `luffy`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Luffy {
    /// The gamma of the shaping p / (p + gamma): smaller, and unlikely tokens are pushed more.
    pub gamma: f64,
}

impl Default for Luffy {
    fn default() -> Self {
        Self { gamma: 0.1 }
    }
}

/// How much of the trace a rollout begins with, in `uft`: the number of chunks is drawn from a
/// binomial distribution whose probability falls along half a cosine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hint {
    /// Chunks that a trace's turns are cut into, at most.
    pub chunks: usize,
    /// The probability of a chunk at the start.
    pub high: f64,
    /// The probability of a chunk when hints end.
    pub low: f64,
    /// Share of the run's steps with hints.
    pub share: f64,
    /// What the likelihood of the hint's tokens weighs.
    pub weight: f64,
}

impl Default for Hint {
    fn default() -> Self {
        Self {
            chunks: 5,
            high: 0.95,
            low: 0.05,
            share: 0.6,
            weight: 0.001,
        }
    }
}

/// The teacher of `self-distillation`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Distillation {
    /// The most that teacher and student may differ about a token, in nats, before the rest is
    /// cut off.
    pub limit: f64,
}

impl Default for Distillation {
    fn default() -> Self {
        Self { limit: 5.0 }
    }
}

/// Everything that can be chosen about the objective.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Which signals a step is made of; `pact config explain objective.algorithm` says what
    /// each is.
    pub algorithm: Algorithm,
    /// Steps of plain `sft` before the algorithm begins. Annealing spans what is left.
    pub sft_first_steps: u64,
    /// How far below 1 the ratio may fall before a token stops being pushed down. Not set: 0.2;
    /// `gspo` 3e-4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_low: Option<f64>,
    /// How far above 1 the ratio may rise before a token stops being pushed up. Not set: 0.2;
    /// `dapo` 0.28, `gspo` 4e-4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_high: Option<f64>,
    /// Where a ratio this large stops a token of negative advantage too (dual clip; 3 is
    /// usual). Not set: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_dual: Option<f64>,
    /// How token losses become one: `token`, `sequence` or `length`. Not set: as the algorithm
    /// does; `token` for `pact`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<Aggregate>,
    /// The probability that a prompt's rollouts are scored under the prompt alone rather
    /// than under the trace; 0.2 to 0.5 generalised best in the paper.
    pub anchor: f64,
    /// What that probability becomes by the end of training. Not set: it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchor_to: Option<f64>,
    /// `linear` or `cosine`, on the way to `anchor-to`.
    pub anchor_shape: Shape,
    /// Which context the ratio's denominator has: `trace` or `prompt`.
    pub ratio_old: RatioOld,
    /// What the entropy of the rollouts' distributions is worth. Not set: 0.001 for `luffy`,
    /// `ftrl`, `tool-rl` and `match-tir`, else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entropy: Option<f64>,
    /// The pull towards a reference policy.
    pub kl: Kl,
    /// How rewards become advantages.
    pub advantage: Advantage,
    /// What is done about rollouts whose log-probabilities come from elsewhere.
    pub importance: Importance,
    /// What is done about groups of equal rewards.
    pub resample: Resample,
    /// What is done about episodes that are too long.
    pub overlong: Overlong,
    /// The expert trace as a target, in `pact` and `component-sft`.
    pub sft: Sft,
    /// The share of the traces' likelihood, in `chord-mu` and `chord-phi`.
    pub chord: Chord,
    /// The trace as an off-policy member, in `luffy`.
    pub luffy: Luffy,
    /// How much of the trace a rollout begins with, in `uft`.
    pub hint: Hint,
    /// The teacher of `self-distillation`.
    pub distillation: Distillation,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            sft_first_steps: 0,
            clip_low: None,
            clip_high: None,
            clip_dual: None,
            aggregate: None,
            anchor: 0.3,
            anchor_to: None,
            anchor_shape: Shape::default(),
            ratio_old: RatioOld::default(),
            entropy: None,
            kl: Kl::default(),
            advantage: Advantage::default(),
            importance: Importance::default(),
            resample: Resample::default(),
            overlong: Overlong::default(),
            sft: Sft::default(),
            chord: Chord::default(),
            luffy: Luffy::default(),
            hint: Hint::default(),
            distillation: Distillation::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_method_as_published() {
        let config: Config = toml::from_str("").expect("an empty table is a config");
        assert_eq!(config, Config::default());
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.algorithm, Algorithm::Pact);
        assert_eq!(config.ratio_old, RatioOld::Trace);
        assert_eq!(config.anchor, 0.3);
    }

    #[test]
    fn a_field_that_is_not_given_keeps_its_own_components_default() {
        let config: Config = toml::from_str("sft.calls.to = 0.5").expect("a known field");
        assert_eq!(config.sft.calls.from, 0.8);
        assert_eq!(config.sft.calls.anneal, AnnealBy::Scale);
        assert_eq!(config.sft.reasoning, Reasoning::default());
    }

    #[test]
    fn a_config_survives_being_written_down() {
        let text = toml::to_string(&Config::default()).expect("a config is TOML");
        assert!(text.contains("anchor = 0.3\n"), "{text}");
        assert_eq!(toml::from_str(&text), Ok(Config::default()));
    }

    #[test]
    fn an_unknown_field_is_refused() {
        for text in ["anchr = 0.1", "sft.calls.form = 1.0", "algorithm = \"ppo\""] {
            assert!(toml::from_str::<Config>(text).is_err(), "{text}");
        }
    }
}
