//! From what happened to what is differentiated: each task's rollouts and trace become one
//! token tree, and its objectives streams over the tree's tokens (method.md, sections 3 to 6).

use std::ops::Range;

use chat::{Chat, ChatError};
use episode::{Author, Group, Part, Segment, Task, Trace};
use model::TokenTree;
use objective::{
    AnnealBy, AnswerAs, Beyond, Context, Imitation, Recipe, RolloutCounts, Sft, Target,
    TargetCounts, TraceToken,
};

use crate::TrainError;
use crate::config;
use crate::context;

/// What one step knows of one task.
pub struct Example<'a> {
    /// The task itself.
    pub task: &'a Task,
    /// How an expert solved it, if that is known.
    pub trace: Option<&'a Trace>,
    /// Absent where nothing is sampled.
    pub group: Option<&'a Group>,
    /// Advantages of the group's episodes, `[episodes][sampled tokens]`; `None` for an episode
    /// that is left out of the loss.
    pub advantages: Vec<Option<Vec<f32>>>,
    /// The trace's own advantage, where it is a member of the group.
    pub trace_advantage: f32,
    /// Whether its rollouts are scored under the prompt alone.
    pub anchored: bool,
    /// Whether the trace is followed by the same trace once more (a worked example).
    pub repeated: bool,
    /// Turns of the trace that the rollouts began with.
    pub hint_turns: usize,
}

impl<'a> Example<'a> {
    /// A task with its trace, of which nothing was sampled.
    pub fn of_trace(task: &'a Task, trace: &'a Trace) -> Self {
        Self {
            task,
            trace: Some(trace),
            group: None,
            advantages: Vec::new(),
            trace_advantage: 0.0,
            anchored: false,
            repeated: false,
            hint_turns: 0,
        }
    }
}

/// Rollout tokens to push on. Vectors are `[sampled tokens]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rollouts {
    /// Place of each token among the tree's targets.
    pub places: Vec<usize>,
    /// What each token was better by.
    pub advantages: Vec<f32>,
    /// Log-probability when sampled, under the prompt alone.
    pub sampled: Vec<f32>,
    /// Each episode's tokens among these, of those that have any.
    pub episodes: Vec<Range<usize>>,
    /// The place of each of these episodes in its group.
    pub numbers: Vec<usize>,
    /// Episodes that are not left out, those without a token included.
    pub count: usize,
    /// Whether they are scored under the trace.
    pub conditioned: bool,
    /// Place of each token under the trace, where a teacher scores it there; else empty.
    pub taught: Vec<usize>,
}

/// Trace tokens to imitate. Vectors are `[the expert's tokens]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imitated {
    /// Place of each token among the tree's targets.
    pub places: Vec<usize>,
    /// What each is, and whether it is supervised.
    pub tokens: Vec<TraceToken>,
}

/// A trace as a member of its group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OffPolicy {
    /// Place of each of its tokens among the tree's targets.
    pub places: Vec<usize>,
    /// What it was better by.
    pub advantage: f32,
}

/// One task's tree with its streams.
#[derive(Default)]
pub struct Sample {
    /// The place of its example among those of the batch.
    pub example: usize,
    /// All its sequences.
    pub tree: TokenTree,
    /// Tokens of the tree whose log-probabilities are needed, as indices into it.
    pub targets: Vec<usize>,
    /// The rollouts' stream.
    pub rollouts: Rollouts,
    /// The trace's stream.
    pub imitation: Imitated,
    /// The trace's stream as a member of the group.
    pub off_policy: OffPolicy,
    /// Tokens of its sequences if none were shared.
    pub unshared_tokens: usize,
    /// Tokens of its trace, prompt not counted.
    pub trace_tokens: usize,
    /// Whether the trace was too long and lost its end.
    pub trace_cut: bool,
}

/// What one update is made of. Counts are over the whole batch; each loss is divided by its
/// own once.
#[derive(Default)]
pub struct Batch {
    /// One for each task.
    pub samples: Vec<Sample>,
    /// Rollouts that are pushed on, with their tokens; a trace that is a member counts.
    pub rollout_counts: RolloutCounts,
    /// Trace tokens that are targets, by component.
    pub target_counts: TargetCounts,
    /// What is done with them.
    pub recipe: Recipe,
}

/// A sequence and what to do with its tokens.
#[derive(Default)]
struct Row {
    tokens: Vec<u32>,
    uses: Vec<(usize, Use)>,
}

/// What a token of a sequence is for.
#[derive(Clone, Copy)]
enum Use {
    Pushed {
        episode: usize,
        advantage: f32,
        sampled: f32,
    },
    Taught,
    Imitated(TraceToken),
    OffPolicy,
}

impl Batch {
    /// The batch of these examples, by the recipe of the step.
    pub fn build(
        chat: &Chat,
        examples: &[Example<'_>],
        trace: &config::Trace,
        recipe: &Recipe,
    ) -> Result<Self, TrainError> {
        let of_example = |(place, example): (usize, &Example<'_>)| {
            let sequences = Sequences {
                chat,
                example,
                config: trace,
                recipe,
                sample: Sample {
                    example: place,
                    ..Sample::default()
                },
                rows: Vec::new(),
            };
            sequences.into_sample().map_err(|source| TrainError::Chat {
                task: example.task.id.clone(),
                source,
            })
        };
        let samples = (examples.iter().enumerate()).map(of_example);
        let samples: Vec<Sample> = samples.collect::<Result<_, _>>()?;
        Ok(Self::of(samples, *recipe))
    }

    /// The batch of these samples, but for those of which nothing is needed: no rollout of
    /// theirs is kept, and no trace.
    pub fn of(samples: Vec<Sample>, recipe: Recipe) -> Self {
        let mut batch = Self {
            recipe,
            ..Self::default()
        };
        for sample in &samples {
            let off_policy = sample.off_policy.places.len();
            batch.rollout_counts.tokens += sample.rollouts.places.len() + off_policy;
            batch.rollout_counts.rollouts += sample.rollouts.count + usize::from(off_policy > 0);
            batch.target_counts += TargetCounts::of(&sample.imitation.tokens);
        }
        batch.samples = samples;
        batch.samples.retain(|sample| !sample.targets.is_empty());
        batch
    }
}

/// The sequences of one example, as they are collected.
struct Sequences<'a> {
    chat: &'a Chat,
    example: &'a Example<'a>,
    config: &'a config::Trace,
    recipe: &'a Recipe,
    sample: Sample,
    rows: Vec<Row>,
}

impl Sequences<'_> {
    fn into_sample(mut self) -> Result<Sample, ChatError> {
        let context = match self.example.trace {
            Some(trace) => self.trace(trace)?,
            None => None,
        };
        if let (Some(group), Some(push)) = (self.example.group, self.recipe.rollouts) {
            let teaches = matches!(push.context, Context::Teacher { .. });
            match context {
                Some(context) if teaches => {
                    self.push(group, None);
                    self.teach(group, &context);
                }
                context => {
                    self.sample.rollouts.conditioned = context.is_some();
                    self.push(group, context.as_deref());
                }
            }
        }
        Ok(self.plant())
    }

    /// Takes the trace up as the recipe says; the context that rollouts are scored under, if
    /// that is not the prompt alone.
    fn trace(&mut self, trace: &Trace) -> Result<Option<Vec<u32>>, ChatError> {
        let scores = self.recipe.rollouts.is_some_and(|push| match push.context {
            Context::Prompt => false,
            Context::Trace { .. } => !self.example.anchored,
            Context::Teacher { .. } => true,
        });
        if self.recipe.imitation.is_none() && !scores {
            return Ok(None);
        }
        let (chat, task) = (self.chat, self.example.task);
        let (mut trace, is_cut) = context::fitted(chat, task, trace, self.config.max_tokens)?;
        if let Some(Imitation::Likelihood { sft, .. }) = &self.recipe.imitation {
            trace = context::at_progress(chat, trace, &sft.reasoning, self.recipe.progress);
        }
        let expert = chat.expert(task, &trace)?;
        self.sample.trace_cut = is_cut;
        self.sample.trace_tokens = expert.context().len() - expert.prompt_tokens();
        match self.recipe.imitation {
            Some(Imitation::Likelihood { sft, .. }) => {
                for segment in expert.segments() {
                    self.imitate(segment, &[], 0, &sft);
                }
                if self.example.repeated && expert.segments().len() == 1 {
                    let mut again = expert.clone();
                    again.push_user(&self.config.again)?;
                    let prompt = expert.prompt_tokens();
                    self.imitate(&expert.segments()[0], again.context(), prompt, &sft);
                }
            }
            Some(Imitation::Hint { .. }) => {
                for segment in expert.segments() {
                    self.follow_hint(segment);
                }
            }
            Some(Imitation::OffPolicy { .. }) => {
                self.sample.off_policy.advantage = self.example.trace_advantage;
                for segment in expert.segments() {
                    let mine = authored(segment).map(|place| (place, Use::OffPolicy));
                    self.row(&[], &segment.tokens, mine.collect());
                }
            }
            None => {}
        }
        match scores {
            true => Ok(Some(context::privileged(chat, task, &trace, self.config)?)),
            false => Ok(None),
        }
    }

    /// The trace as targets: all of `segment`, or what follows its first `prompt` tokens
    /// behind `context`.
    fn imitate(&mut self, segment: &Segment, context: &[u32], prompt: usize, sft: &Sft) {
        let tokens = trace_tokens(self.chat, segment, self.recipe.progress, sft);
        let uses = (tokens.into_iter())
            .map(|(place, token)| (context.len() + place - prompt, Use::Imitated(token)));
        self.row(context, &segment.tokens[prompt..], uses.collect());
    }

    /// The turns that the rollouts began with, all of their tokens as targets.
    fn follow_hint(&mut self, segment: &Segment) {
        let turns = segment.runs_of(Author::Policy);
        let hint = turns.into_iter().take(self.example.hint_turns).flatten();
        let uses = hint.map(|place| {
            let token = TraceToken {
                component: component(segment.parts[place]),
                supervised: true,
            };
            (place, Use::Imitated(token))
        });
        self.row(&[], &segment.tokens, uses.collect());
    }

    /// The rollouts as sampled, behind `context` in place of their prompt if there is one.
    fn push(&mut self, group: &Group, context: Option<&[u32]>) {
        for (number, (episode, advantages)) in
            (group.episodes.iter().zip(&self.example.advantages)).enumerate()
        {
            let Some(advantages) = advantages else {
                continue;
            };
            self.sample.rollouts.count += 1;
            let mut advantages = advantages.iter();
            for segment in &episode.segments {
                let prompt = context.map_or(0, |_| episode.prompt_tokens);
                let context = context.unwrap_or_default();
                let pushed = authored(segment).map(|place| {
                    let advantage = advantages.next().expect("every sampled token has one");
                    let pushed = Use::Pushed {
                        episode: number,
                        advantage: *advantage,
                        sampled: segment.logprobs[place],
                    };
                    (context.len() + place - prompt, pushed)
                });
                let uses = pushed.collect();
                self.row(context, &segment.tokens[prompt..], uses);
            }
        }
    }

    /// The same rollouts once more behind `context`, to be scored there and not pushed on.
    fn teach(&mut self, group: &Group, context: &[u32]) {
        let kept = (group.episodes.iter()).zip(&self.example.advantages);
        for (episode, _) in kept.filter(|(_, advantages)| advantages.is_some()) {
            for segment in &episode.segments {
                let at = |place| context.len() + place - episode.prompt_tokens;
                let uses = authored(segment).map(|place| (at(place), Use::Taught));
                let tokens = &segment.tokens[episode.prompt_tokens..];
                self.row(context, tokens, uses.collect());
            }
        }
    }

    /// A sequence, up to its last token that is for something.
    fn row(&mut self, context: &[u32], tokens: &[u32], uses: Vec<(usize, Use)>) {
        let Some(&(last, _)) = uses.last() else {
            return;
        };
        let mut tokens = [context, tokens].concat();
        tokens.truncate(last + 1);
        self.rows.push(Row { tokens, uses });
    }

    /// The tree of all sequences, with its streams.
    fn plant(self) -> Sample {
        let sequences: Vec<&[u32]> = self.rows.iter().map(|row| &row.tokens[..]).collect();
        let (tree, paths) = TokenTree::from_sequences(&sequences);
        let mut sample = self.sample;
        sample.unshared_tokens = sequences.iter().map(|s| s.len()).sum();
        let mut place_of = vec![usize::MAX; tree.len()];
        let mut last_episode = None;
        for (row, path) in self.rows.iter().zip(&paths) {
            for &(at, it) in &row.uses {
                let token = path[at];
                if place_of[token] == usize::MAX {
                    place_of[token] = sample.targets.len();
                    sample.targets.push(token);
                }
                let place = place_of[token];
                match it {
                    Use::Pushed {
                        episode,
                        advantage,
                        sampled,
                    } => {
                        let rollouts = &mut sample.rollouts;
                        let end = rollouts.places.len();
                        if last_episode.replace(episode) != Some(episode) {
                            rollouts.episodes.push(end..end);
                            rollouts.numbers.push(episode);
                        }
                        rollouts.places.push(place);
                        rollouts.advantages.push(advantage);
                        rollouts.sampled.push(sampled);
                        let current = rollouts.episodes.last_mut();
                        current.expect("an episode has begun").end = end + 1;
                    }
                    Use::Taught => sample.rollouts.taught.push(place),
                    Use::Imitated(token) => {
                        sample.imitation.places.push(place);
                        sample.imitation.tokens.push(token);
                    }
                    Use::OffPolicy => sample.off_policy.places.push(place),
                }
            }
        }
        sample.tree = tree;
        sample
    }
}

/// Places of the tokens that the policy, or the expert in its place, wrote.
fn authored(segment: &Segment) -> impl Iterator<Item = usize> {
    segment.runs_of(Author::Policy).into_iter().flatten()
}

fn component(part: Part) -> Target {
    match part {
        Part::Reasoning => Target::Reasoning,
        Part::Call => Target::Call,
        Part::Answer | Part::Context => Target::Answer,
    }
}

/// The expert's tokens of a trace's segment, by place, each with what it is supervised as at
/// this progress.
fn trace_tokens(
    chat: &Chat,
    segment: &Segment,
    progress: f64,
    sft: &Sft,
) -> Vec<(usize, TraceToken)> {
    let turns = segment.runs_of(Author::Policy);
    let with_calls: Vec<_> = (turns.iter())
        .filter(|turn| segment.parts[turn.start..turn.end].contains(&Part::Call))
        .collect();
    let calls = sft.calls.component();
    let kept_calls = calls.segments_at(with_calls.len(), progress);
    let last_call = with_calls[..kept_calls].last().map_or(0, |turn| turn.end);
    let answers = match sft.answer.target {
        AnswerAs::Call => true,
        AnswerAs::Own => sft.answer.component().segments_at(1, progress) > 0,
        AnswerAs::None => false,
    };
    let mut tokens = Vec::new();
    for turn in turns {
        let (ids, parts) = (&segment.tokens[turn.clone()], &segment.parts[turn.clone()]);
        let segments = chat.reasoning_segments(ids, parts);
        let kept = kept_segments(sft, segments.len(), progress);
        let reasoned = segments[..kept].last().map_or(0, |segment| segment.end);
        for place in turn.clone() {
            let component = component(segment.parts[place]);
            let supervised = match component {
                Target::Reasoning => place < turn.start + reasoned,
                Target::Call => place < last_call,
                Target::Answer => answers,
            };
            tokens.push((
                place,
                TraceToken {
                    component,
                    supervised,
                },
            ));
        }
    }
    tokens
}

/// How many of a turn's segments of reasoning are targets. Where the others are gone from the
/// trace, those that are left are.
fn kept_segments(sft: &Sft, segments: usize, progress: f64) -> usize {
    let reasoning = sft.reasoning.component();
    let dropped = sft.reasoning.beyond == Beyond::Drop && reasoning.by == AnnealBy::Segment;
    match dropped {
        true => segments * reasoning.segments_at(1, progress),
        false => reasoning.segments_at(segments, progress),
    }
}
