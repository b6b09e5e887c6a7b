//! The model as a policy: what a rollout asks for, answered by the model's generator.

use model::{CacheStats, Generator, Model, ModelError, Sampling};
use rollout::{Policy, PolicyError, SampledTurn, TurnEnd, TurnRequest};

/// Samples turns from a model whose weights stand still meanwhile.
pub struct ModelPolicy<'m> {
    generator: Generator<'m>,
    positions: usize,
}

impl<'m> ModelPolicy<'m> {
    /// A policy that samples as `config` says, ends turns at `stop_tokens` and keeps its
    /// key-value cache within `cache_bytes`; refuses a limit that could not hold one episode.
    pub fn new(
        model: &'m Model,
        config: &rollout::Config,
        stop_tokens: &[u32],
        cache_bytes: Option<usize>,
    ) -> Result<Self, ModelError> {
        let sampling = Sampling {
            temperature: config.temperature as f32,
            top_p: config.top_p as f32,
            top_k: config.top_k,
            min_p: config.min_p as f32,
        };
        let positions = config.max_tokens + 1;
        let mut generator = Generator::new(model, sampling, stop_tokens, positions)?;
        if let Some(bytes) = cache_bytes {
            generator = generator.bounded(bytes)?;
        }
        Ok(Self {
            generator,
            positions,
        })
    }

    /// What the key-value cache holds and has done.
    pub fn cache_stats(&self) -> CacheStats {
        self.generator.stats()
    }
}

impl Policy for ModelPolicy<'_> {
    fn begin(&mut self, request: &TurnRequest<'_>) -> Result<(), PolicyError> {
        assert!(
            request.context.len() + request.max_tokens <= self.positions,
            "a turn stays within the episode's token limit"
        );
        let (context, limit) = (request.context, request.max_tokens);
        self.generator
            .begin(request.episode, context, limit, request.seed.0);
        Ok(())
    }

    fn step(&mut self) -> Result<Vec<SampledTurn>, PolicyError> {
        let ended = self.generator.step().map_err(|it| PolicyError(it.into()))?;
        Ok(ended
            .into_iter()
            .map(|turn| SampledTurn {
                episode: turn.sequence,
                tokens: turn.tokens,
                logprobs: turn.logprobs,
                end: if turn.stopped {
                    TurnEnd::Stop
                } else {
                    TurnEnd::TokenLimit
                },
            })
            .collect())
    }

    fn release(&mut self, episode: usize) {
        self.generator.release(episode);
    }
}
