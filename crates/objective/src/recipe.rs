//! What an algorithm does in one step, every choice made: the pieces that all algorithms share,
//! put together as each one's paper has it (arXiv numbers stand beside [`Algorithm`]).

use crate::config::Sft;
use crate::{
    Aggregate, Algorithm, Anneal, Clip, Config, Estimator, Importance, KlEstimator, Mu, PolicyLoss,
    RatioOld, TokenWeight,
};

/// What an algorithm does in one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// How much of the run is done, 0 to 1.
    pub progress: f64,
    /// What is done with rollouts; `None` where none are sampled.
    pub rollouts: Option<Push>,
    /// What is done with traces.
    pub imitation: Option<Imitation>,
}

impl Default for Recipe {
    /// The first step of the published method.
    fn default() -> Self {
        Config::default().recipe(0, 1, 1)
    }
}

/// How rollouts are pushed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Push {
    /// How rewards become advantages.
    pub estimator: Estimator,
    /// What a token's advantage does.
    pub loss: PolicyLoss,
    /// How token losses become one.
    pub aggregate: Aggregate,
    /// The length that [`Aggregate::Length`] divides by.
    pub longest: usize,
    /// What the rollouts' loss weighs.
    pub weight: f64,
    /// Under which context they are scored.
    pub context: Context,
    /// What the divergence from the reference weighs; 0 needs no reference.
    pub kl: f64,
    /// How it is estimated.
    pub kl_estimator: KlEstimator,
    /// What entropy is worth.
    pub entropy: f64,
    /// The correction for a sampler that differs from the trainer.
    pub importance: Importance,
    /// Rounds of rollouts until all groups have variance; 1 takes them as they are.
    pub rounds: usize,
    /// Whether episodes that a limit cut off are left out of the loss.
    pub filter_overlong: bool,
    /// Tokens before `longest` over which the reward falls by 1; 0 is none.
    pub overlong_cache: usize,
    /// The hint that rollouts begin with: the probability of each chunk.
    pub hint: Option<HintOdds>,
}

/// Under which context rollouts are scored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Context {
    /// The prompt that they were sampled from.
    Prompt,
    /// Prompt and trace, but for a share `anchor` of the prompts (method.md, section 3).
    Trace {
        /// The probability of the prompt alone.
        anchor: f64,
        /// Which context the ratio's denominator has.
        ratio_old: RatioOld,
    },
    /// The prompt, and prompt and trace beside it for the teacher.
    Teacher {
        /// Nats by which teacher and student may differ about a token.
        limit: f64,
    },
}

/// How traces are imitated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Imitation {
    /// Their weighted likelihood.
    Likelihood {
        /// What the components weigh.
        sft: Sft,
        /// What each token's weight depends on besides.
        by: TokenWeight,
    },
    /// As a further member of their group, with the advantage of their reward.
    OffPolicy {
        /// Of the shaping p / (p + gamma).
        gamma: f64,
    },
    /// The likelihood of the hint that rollouts began with: a mean over its tokens.
    Hint {
        /// What it weighs.
        weight: f64,
    },
}

/// How long a hint is: a binomial draw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HintOdds {
    /// Chunks of a trace, at most.
    pub chunks: usize,
    /// The step, of `steps` with hints.
    pub step: u64,
    /// Steps with hints.
    pub steps: u64,
    /// The probability at the end.
    pub low: f64,
    /// The probability at the start.
    pub high: f64,
}

/// How many tokens and rollouts a batch pushes on: what its losses are divided by, once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RolloutCounts {
    /// Sampled tokens, those of advantage 0 included.
    pub tokens: usize,
    /// Rollouts that are not left out, those without a token included.
    pub rollouts: usize,
}

impl Aggregate {
    /// What the summed loss of one rollout of `length` tokens is multiplied by.
    pub fn share(self, length: usize, counts: RolloutCounts, longest: usize) -> f64 {
        let divisor = match self {
            Self::Token => counts.tokens,
            Self::Sequence => length * counts.rollouts,
            Self::Length => longest * counts.rollouts,
        };
        1.0 / divisor.max(1) as f64
    }
}

impl Algorithm {
    /// `sft`, `reinforce-plus-plus`, …
    pub fn name(self) -> &'static str {
        match self {
            Self::Sft => "sft",
            Self::ComponentSft => "component-sft",
            Self::RejectionSft => "rejection-sft",
            Self::ReinforcePlusPlus => "reinforce-plus-plus",
            Self::ReinforcePlusPlusBaseline => "reinforce-plus-plus-baseline",
            Self::Rloo => "rloo",
            Self::Grpo => "grpo",
            Self::DrGrpo => "dr-grpo",
            Self::Dapo => "dapo",
            Self::Gspo => "gspo",
            Self::Cispo => "cispo",
            Self::ChordMu => "chord-mu",
            Self::ChordPhi => "chord-phi",
            Self::Luffy => "luffy",
            Self::Uft => "uft",
            Self::SelfDistillation => "self-distillation",
            Self::Ftrl => "ftrl",
            Self::ToolRl => "tool-rl",
            Self::MatchTir => "match-tir",
            Self::Pact => "pact",
        }
    }

    /// Whether its advantage divides by the standard deviation of a group.
    pub(crate) fn has_group_std(self) -> bool {
        let estimator = Config {
            algorithm: self,
            ..Config::default()
        }
        .estimator();
        self.samples() && matches!(estimator, Estimator::Group { .. })
    }
}

impl Config {
    /// What step `step` of `steps` does. `longest` is the most tokens of an episode.
    pub fn recipe(&self, step: u64, steps: u64, longest: usize) -> Recipe {
        if step < self.sft_first_steps {
            return Recipe {
                progress: 0.0,
                rollouts: None,
                imitation: Some(likelihood(Sft::plain(1.0), TokenWeight::None)),
            };
        }
        let (step, steps) = (step - self.sft_first_steps, steps - self.sft_first_steps);
        let progress = step as f64 / steps.max(1) as f64;
        let hint_steps = (self.hint.share * steps as f64).round() as u64;
        let hint = HintOdds {
            chunks: self.hint.chunks,
            step,
            steps: hint_steps,
            low: self.hint.low,
            high: self.hint.high,
        };
        let mu = self.mu().map_or(0.0, |mu| mu.at(step));
        let push = Push {
            estimator: self.estimator(),
            loss: self.policy_loss(),
            aggregate: self.aggregate.unwrap_or(self.own_aggregate()),
            longest,
            weight: 1.0 - mu,
            context: self.context(progress),
            kl: self.kl_weight(),
            kl_estimator: self.kl.estimator,
            entropy: self.entropy.unwrap_or(match self.algorithm {
                Algorithm::Luffy | Algorithm::Ftrl | Algorithm::ToolRl | Algorithm::MatchTir => {
                    0.001
                }
                _ => 0.0,
            }),
            importance: self.importance,
            rounds: match self.resamples() {
                true => self.resample.rounds,
                false => 1,
            },
            filter_overlong: self.overlong.filter,
            overlong_cache: self.overlong.cache.unwrap_or(match self.algorithm {
                // 4,096 of 20,480, in the paper.
                Algorithm::Dapo => longest / 5,
                _ => 0,
            }),
            hint: (self.algorithm == Algorithm::Uft).then_some(hint),
        };
        Recipe {
            progress,
            rollouts: self.algorithm.samples().then_some(push),
            imitation: self.imitation(mu),
        }
    }

    /// What the divergence from the reference weighs.
    pub fn kl_weight(&self) -> f64 {
        self.kl.weight.unwrap_or(match self.algorithm {
            Algorithm::Ftrl | Algorithm::ToolRl | Algorithm::MatchTir => 0.001,
            _ => 0.0,
        })
    }

    /// Whether any step needs traces of the tasks.
    pub fn uses_traces(&self) -> bool {
        self.algorithm.uses_traces() || self.sft_first_steps > 0
    }

    fn estimator(&self) -> Estimator {
        let normalise = |own: bool| Estimator::Group {
            normalise: self.advantage.normalise.unwrap_or(own),
        };
        let batch = |baseline: bool| Estimator::Batch {
            baseline,
            discount: self.advantage.discount.unwrap_or(1.0),
        };
        match self.algorithm {
            Algorithm::RejectionSft => Estimator::Kept {
                threshold: self.advantage.threshold,
            },
            Algorithm::ReinforcePlusPlus => batch(false),
            Algorithm::ReinforcePlusPlusBaseline => batch(true),
            Algorithm::Rloo => Estimator::LeaveOneOut,
            Algorithm::MatchTir => Estimator::Turns {
                discount: self.advantage.discount.unwrap_or(0.9),
            },
            Algorithm::DrGrpo | Algorithm::Luffy => normalise(false),
            _ => normalise(true),
        }
    }

    pub(crate) fn policy_loss(&self) -> PolicyLoss {
        let clip = |low: f64, high: f64| Clip {
            low: self.clip_low.unwrap_or(low),
            high: self.clip_high.unwrap_or(high),
        };
        match self.algorithm {
            Algorithm::RejectionSft => PolicyLoss::Likelihood,
            Algorithm::Luffy => PolicyLoss::Ratio,
            Algorithm::Gspo => PolicyLoss::Sequence {
                clip: clip(3e-4, 4e-4),
            },
            Algorithm::Cispo => PolicyLoss::Cispo {
                clip: clip(0.2, 0.2),
            },
            Algorithm::Dapo => PolicyLoss::Clipped {
                clip: clip(0.2, 0.28),
                dual: self.clip_dual,
            },
            _ => PolicyLoss::Clipped {
                clip: clip(0.2, 0.2),
                dual: self.clip_dual,
            },
        }
    }

    fn own_aggregate(&self) -> Aggregate {
        match self.algorithm {
            Algorithm::DrGrpo | Algorithm::Luffy => Aggregate::Length,
            Algorithm::Grpo
            | Algorithm::Gspo
            | Algorithm::ChordMu
            | Algorithm::ChordPhi
            | Algorithm::Uft
            | Algorithm::Ftrl
            | Algorithm::ToolRl
            | Algorithm::MatchTir => Aggregate::Sequence,
            _ => Aggregate::Token,
        }
    }

    fn context(&self, progress: f64) -> Context {
        let anchor = Anneal {
            from: self.anchor,
            to: self.anchor_to.unwrap_or(self.anchor),
            shape: self.anchor_shape,
        };
        match self.algorithm {
            Algorithm::Pact => Context::Trace {
                anchor: anchor.at(progress),
                ratio_old: self.ratio_old,
            },
            Algorithm::SelfDistillation => Context::Teacher {
                limit: self.distillation.limit,
            },
            _ => Context::Prompt,
        }
    }

    fn imitation(&self, mu: f64) -> Option<Imitation> {
        match self.algorithm {
            Algorithm::Sft => Some(likelihood(Sft::plain(1.0), TokenWeight::None)),
            Algorithm::ComponentSft | Algorithm::Pact => {
                Some(likelihood(self.sft, TokenWeight::None))
            }
            Algorithm::ChordMu => Some(likelihood(Sft::plain(mu), TokenWeight::None)),
            Algorithm::ChordPhi => Some(likelihood(Sft::plain(mu), TokenWeight::Phi)),
            Algorithm::Luffy => Some(Imitation::OffPolicy {
                gamma: self.luffy.gamma,
            }),
            Algorithm::Uft => Some(Imitation::Hint {
                weight: self.hint.weight,
            }),
            _ => None,
        }
    }

    /// CHORD's share; `None` for other algorithms.
    fn mu(&self) -> Option<Mu> {
        let (decay_steps, peak, valley) = match self.algorithm {
            Algorithm::ChordMu => (200, 0.9, 0.05),
            Algorithm::ChordPhi => (0, 0.1, 0.1),
            _ => return None,
        };
        Some(Mu {
            warmup_steps: self.chord.warmup_steps.unwrap_or(0),
            decay_steps: self.chord.decay_steps.unwrap_or(decay_steps),
            peak: self.chord.peak.unwrap_or(peak),
            valley: self.chord.valley.unwrap_or(valley),
        })
    }

    fn resamples(&self) -> bool {
        let own = self.algorithm == Algorithm::Dapo;
        self.resample.enabled.unwrap_or(own)
    }
}

fn likelihood(sft: Sft, by: TokenWeight) -> Imitation {
    Imitation::Likelihood { sft, by }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(algorithm: Algorithm) -> Config {
        Config {
            algorithm,
            ..Config::default()
        }
    }

    fn push(config: &Config, step: u64) -> Push {
        let recipe = config.recipe(step, 100, 1000);
        recipe.rollouts.expect("an algorithm that samples")
    }

    #[test]
    fn an_algorithms_name_is_the_one_in_the_config() {
        for algorithm in Algorithm::ALL {
            let text = format!("algorithm = \"{}\"", algorithm.name());
            let config: Config = toml::from_str(&text).expect("a known algorithm");
            assert_eq!(config.algorithm, algorithm);
            assert_eq!(config.check(), Ok(()), "{text}");
        }
    }

    #[test]
    fn pact_without_trace_and_likelihood_is_grpo_with_a_mean_over_tokens() {
        let pact = Config {
            anchor: 1.0,
            sft: Sft {
                weight: 0.0,
                ..Sft::default()
            },
            ..Config::default()
        };
        let grpo = Config {
            aggregate: Some(Aggregate::Token),
            ..config(Algorithm::Grpo)
        };
        let alike = |push: Push| Push {
            context: Context::Prompt,
            ..push
        };
        assert_eq!(alike(push(&pact, 7)), push(&grpo, 7));
    }

    #[test]
    fn the_algorithms_differ_where_their_papers_say() {
        let check = |algorithm, expected: fn(&Push) -> bool| {
            let push = push(&config(algorithm), 0);
            assert!(expected(&push), "{push:?}");
        };
        check(Algorithm::Grpo, |it| it.aggregate == Aggregate::Sequence);
        check(Algorithm::DrGrpo, |it| {
            it.aggregate == Aggregate::Length
                && it.longest == 1000
                && it.estimator == Estimator::Group { normalise: false }
        });
        check(Algorithm::Dapo, |it| {
            let clip = Clip {
                low: 0.2,
                high: 0.28,
            };
            it.rounds == 10
                && it.overlong_cache == 200
                && it.loss == PolicyLoss::Clipped { clip, dual: None }
        });
        check(Algorithm::MatchTir, |it| {
            (it.kl, it.entropy) == (0.001, 0.001)
                && it.estimator == Estimator::Turns { discount: 0.9 }
        });
        check(Algorithm::Rloo, |it| {
            it.estimator == Estimator::LeaveOneOut && it.aggregate == Aggregate::Token
        });
    }

    #[test]
    fn chords_share_goes_from_the_traces_to_the_rollouts() {
        let chord = config(Algorithm::ChordMu);
        assert!((push(&chord, 0).weight - 0.1).abs() < 1e-12);
        let imitation = chord.recipe(0, 100, 1000).imitation;
        let Some(Imitation::Likelihood { sft, by }) = imitation else {
            panic!("{imitation:?}");
        };
        assert_eq!((sft, by), (Sft::plain(0.9), TokenWeight::None));
    }

    #[test]
    fn the_traces_come_first_where_asked() {
        let mut late = config(Algorithm::MatchTir);
        late.sft_first_steps = 20;
        assert_eq!(late.recipe(19, 100, 9).rollouts, None);
        assert!(late.recipe(20, 100, 9).rollouts.is_some());
        assert_eq!(late.recipe(20, 100, 9).progress, 0.0);
        assert_eq!(late.recipe(60, 100, 9).progress, 0.5);
        assert!(late.uses_traces());
    }

    #[test]
    fn anchoring_can_be_annealed() {
        let pact = Config {
            anchor: 0.2,
            anchor_to: Some(0.6),
            ..Config::default()
        };
        let Context::Trace { anchor, .. } = push(&pact, 50).context else {
            panic!("PACT scores under the trace");
        };
        assert!((anchor - 0.4).abs() < 1e-12);
    }

    #[test]
    fn a_rollouts_share_is_of_the_whole_batch() {
        let counts = RolloutCounts {
            tokens: 50,
            rollouts: 4,
        };
        let check = |aggregate: Aggregate, expected: f64| {
            assert_eq!(aggregate.share(10, counts, 100), expected);
        };
        check(Aggregate::Token, 1.0 / 50.0);
        check(Aggregate::Sequence, 1.0 / 40.0);
        check(Aggregate::Length, 1.0 / 400.0);
        assert_eq!(Aggregate::Token.share(0, RolloutCounts::default(), 1), 1.0);
    }
}
