//! Policies that watch the turn loop.

use std::collections::{BTreeMap, BTreeSet};

use episode::Seed;
use rollout::{Policy, PolicyError, SampledTurn, TurnEnd, TurnRequest};

/// What a policy was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) task: String,
    pub(crate) sample: usize,
    pub(crate) turn: usize,
    pub(crate) context: Vec<u32>,
    pub(crate) seed: Seed,
    /// How many steps had been taken before.
    pub(crate) step: usize,
}

/// Passes everything on, and keeps a record.
pub(crate) struct Recorder<P> {
    pub(crate) inner: P,
    pub(crate) asked: Vec<Asked>,
    pub(crate) released: Vec<usize>,
    pub(crate) most_live: usize,
    live: BTreeSet<usize>,
    steps: usize,
}

impl<P> Recorder<P> {
    pub(crate) fn new(inner: P) -> Self {
        Self {
            inner,
            asked: Vec::new(),
            released: Vec::new(),
            most_live: 0,
            live: BTreeSet::new(),
            steps: 0,
        }
    }
}

impl<P: Policy> Policy for Recorder<P> {
    fn begin(&mut self, request: &TurnRequest<'_>) -> Result<(), PolicyError> {
        self.live.insert(request.episode);
        self.most_live = self.most_live.max(self.live.len());
        self.asked.push(Asked {
            task: request.task.to_owned(),
            sample: request.sample,
            turn: request.turn,
            context: request.context.to_vec(),
            seed: request.seed,
            step: self.steps,
        });
        self.inner.begin(request)
    }

    fn step(&mut self) -> Result<Vec<SampledTurn>, PolicyError> {
        self.steps += 1;
        self.inner.step()
    }

    fn release(&mut self, episode: usize) {
        self.live.remove(&episode);
        self.released.push(episode);
        self.inner.release(episode);
    }
}

/// Draws each turn from a list by the turn's seed, and says it token by token.
pub(crate) struct Dice {
    pub(crate) turns: Vec<Vec<u32>>,
    pub(crate) under_way: BTreeMap<usize, (usize, SampledTurn)>,
}

impl Dice {
    pub(crate) fn new(turns: Vec<Vec<u32>>) -> Self {
        Self {
            turns,
            under_way: BTreeMap::new(),
        }
    }
}

impl Policy for Dice {
    fn begin(&mut self, request: &TurnRequest<'_>) -> Result<(), PolicyError> {
        let drawn = request.seed.0 % self.turns.len() as u64;
        let tokens = self.turns[drawn as usize].clone();
        let turn = SampledTurn {
            episode: request.episode,
            logprobs: vec![-1.5; tokens.len()],
            tokens,
            end: TurnEnd::Stop,
        };
        self.under_way.insert(request.episode, (0, turn));
        Ok(())
    }

    fn step(&mut self) -> Result<Vec<SampledTurn>, PolicyError> {
        let mut ended = Vec::new();
        self.under_way.retain(|_, (said, turn)| {
            *said += 1;
            let over = *said >= turn.tokens.len();
            if over {
                ended.push(turn.clone());
            }
            !over
        });
        Ok(ended)
    }

    fn release(&mut self, episode: usize) {
        self.under_way.remove(&episode);
    }
}

/// Cannot go on.
pub(crate) struct Broken;

impl Policy for Broken {
    fn begin(&mut self, _request: &TurnRequest<'_>) -> Result<(), PolicyError> {
        Err(PolicyError("the server is gone".into()))
    }

    fn step(&mut self) -> Result<Vec<SampledTurn>, PolicyError> {
        Ok(Vec::new())
    }

    fn release(&mut self, _episode: usize) {}
}
