//! From what happened to what is differentiated: each task's rollouts and trace become one
//! token tree, and its objectives streams over the tree's tokens (method.md, sections 3 to 6).

use chat::Chat;
use episode::{Author, Group, Part, Segment, Task, Trace};
use model::TokenTree;
use objective::{Algorithm, AnswerAs, Target, TargetCounts, group_relative};

use crate::TrainError;

/// What one step knows of one task.
pub struct Example<'a> {
    /// The task itself.
    pub task: &'a Task,
    /// How an expert solved it, if that is known.
    pub trace: Option<&'a Trace>,
    /// Absent with `algorithm = "sft"`.
    pub group: Option<&'a Group>,
    /// Whether its rollouts are scored under the prompt alone.
    pub anchored: bool,
    /// Whether the trace is followed by the same trace once more (a worked example).
    pub repeated: bool,
}

/// Rollout tokens to push on. Vectors are `[sampled tokens]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rollouts {
    /// Place of each token among the tree's targets.
    pub places: Vec<usize>,
    /// Advantage of the episode that each token belongs to.
    pub advantages: Vec<f32>,
    /// Log-probability when sampled, under the prompt alone.
    pub sampled: Vec<f32>,
    /// Whether they are scored under the trace.
    pub conditioned: bool,
}

/// Trace tokens to imitate. Vectors are `[target tokens]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imitation {
    /// Place of each token among the tree's targets.
    pub places: Vec<usize>,
    /// What each is supervised as.
    pub targets: Vec<Option<Target>>,
}

/// One task's tree with its streams.
pub struct Sample {
    /// All its sequences.
    pub tree: TokenTree,
    /// Tokens of the tree whose log-probabilities are needed, as indices into it.
    pub targets: Vec<usize>,
    /// The rollouts' stream.
    pub rollouts: Rollouts,
    /// The trace's stream.
    pub imitation: Imitation,
    /// Tokens of its sequences if none were shared.
    pub unshared_tokens: usize,
    /// Tokens of its trace, prompt not counted.
    pub trace_tokens: usize,
}

/// What one update is made of. Counts are over the whole batch; each loss is divided by its
/// own once.
#[derive(Default)]
pub struct Batch {
    /// One for each task.
    pub samples: Vec<Sample>,
    /// Rollout tokens in all, those of advantage 0 included.
    pub sampled_tokens: usize,
    /// Trace tokens in all, by component.
    pub target_counts: TargetCounts,
    /// How much of the run is done, 0 to 1.
    pub progress: f64,
}

/// A sequence and what to do with its tokens: `(place in the sequence, …)`.
#[derive(Default)]
struct Row {
    tokens: Vec<u32>,
    pushed: Vec<(usize, f32, f32)>,
    imitated: Vec<(usize, Target)>,
}

impl Batch {
    /// The batch of these examples at `progress` of the run, 0 to 1.
    pub fn build(
        chat: &Chat,
        examples: &[Example<'_>],
        again: &str,
        progress: f64,
        config: &objective::Config,
    ) -> Result<Self, TrainError> {
        let mut samples = Vec::new();
        for example in examples {
            let rows = Rows::new(chat, example, again, progress, config);
            let rows = rows.map_err(|source| TrainError::Chat {
                task: example.task.id.clone(),
                source,
            })?;
            samples.push(rows.into_sample());
        }
        let mut target_counts = TargetCounts::default();
        for sample in &samples {
            target_counts += TargetCounts::of(&sample.imitation.targets);
        }
        Ok(Self {
            sampled_tokens: samples.iter().map(|s| s.rollouts.places.len()).sum(),
            target_counts,
            samples,
            progress,
        })
    }
}

struct Rows {
    rows: Vec<Row>,
    conditioned: bool,
    trace_tokens: usize,
}

impl Rows {
    fn new(
        chat: &Chat,
        example: &Example<'_>,
        again: &str,
        progress: f64,
        config: &objective::Config,
    ) -> Result<Self, chat::ChatError> {
        let mut all = Self {
            rows: Vec::new(),
            conditioned: false,
            trace_tokens: 0,
        };
        let mut context = None;
        if let (Some(trace), true) = (example.trace, config.algorithm != Algorithm::Grpo) {
            let mut expert = chat.expert(example.task, trace)?;
            for segment in expert.segments() {
                all.imitate(chat, segment, &[], 0, progress, config);
            }
            all.trace_tokens = expert.context().len() - expert.prompt_tokens();
            let is_one_segment = expert.segments().len() == 1;
            expert.push_user(again)?;
            if example.repeated && is_one_segment {
                let once = chat.expert(example.task, trace)?;
                let prompt = once.prompt_tokens();
                let again = expert.context();
                all.imitate(chat, &once.segments()[0], again, prompt, progress, config);
            }
            context = Some(expert.context().to_vec());
        }
        if let Some(group) = example.group {
            let conditioned = config.algorithm == Algorithm::Pact && !example.anchored;
            let context = context.filter(|_| conditioned);
            all.conditioned = context.is_some();
            all.push(group, context.as_deref(), config);
        }
        Ok(all)
    }

    /// The trace as targets: all of `segment`, or what follows its first `prompt` tokens
    /// behind `context`.
    fn imitate(
        &mut self,
        chat: &Chat,
        segment: &Segment,
        context: &[u32],
        prompt: usize,
        progress: f64,
        config: &objective::Config,
    ) {
        let shift = |place: usize| context.len() + place - prompt;
        let targets = trace_targets(chat, segment, progress, config);
        let imitated: Vec<(usize, Target)> = (targets.iter().enumerate())
            .filter_map(|(place, target)| Some((shift(place), (*target)?)))
            .collect();
        let Some(&(last, _)) = imitated.last() else {
            return;
        };
        let mut tokens = [context, &segment.tokens[prompt..]].concat();
        tokens.truncate(last + 1);
        self.rows.push(Row {
            tokens,
            imitated,
            ..Row::default()
        });
    }

    /// The rollouts as sampled, behind `context` in place of their prompt if there is one.
    fn push(&mut self, group: &Group, context: Option<&[u32]>, config: &objective::Config) {
        let rewards: Vec<f64> = group.episodes.iter().map(|e| e.score.reward).collect();
        let advantages = group_relative(&rewards, config.advantage.normalise);
        for (episode, advantage) in group.episodes.iter().zip(advantages) {
            for segment in &episode.segments {
                let prompt = context.map_or(0, |_| episode.prompt_tokens);
                let context = context.unwrap_or_default();
                let pushed: Vec<(usize, f32, f32)> = (segment.authors.iter().enumerate())
                    .filter(|(_, author)| **author == Author::Policy)
                    .map(|(place, _)| {
                        let at = context.len() + place - prompt;
                        (at, advantage as f32, segment.logprobs[place])
                    })
                    .collect();
                let Some(&(last, ..)) = pushed.last() else {
                    continue;
                };
                let mut tokens = [context, &segment.tokens[prompt..]].concat();
                tokens.truncate(last + 1);
                self.rows.push(Row {
                    tokens,
                    pushed,
                    ..Row::default()
                });
            }
        }
    }

    fn into_sample(self) -> Sample {
        let sequences: Vec<&[u32]> = self.rows.iter().map(|row| &row.tokens[..]).collect();
        let (tree, paths) = TokenTree::from_sequences(&sequences);
        let mut targets = Vec::new();
        let mut place_of = vec![usize::MAX; tree.len()];
        let mut place = |token: usize| {
            if place_of[token] == usize::MAX {
                place_of[token] = targets.len();
                targets.push(token);
            }
            place_of[token]
        };
        let mut rollouts = Rollouts {
            conditioned: self.conditioned,
            ..Rollouts::default()
        };
        let mut imitation = Imitation::default();
        for (row, path) in self.rows.iter().zip(&paths) {
            for &(at, advantage, sampled) in &row.pushed {
                rollouts.places.push(place(path[at]));
                rollouts.advantages.push(advantage);
                rollouts.sampled.push(sampled);
            }
            for &(at, target) in &row.imitated {
                imitation.places.push(place(path[at]));
                imitation.targets.push(Some(target));
            }
        }
        Sample {
            trace_tokens: self.trace_tokens,
            unshared_tokens: sequences.iter().map(|s| s.len()).sum(),
            tree,
            targets,
            rollouts,
            imitation,
        }
    }
}

/// What each token of a trace's segment is supervised as, at this progress.
fn trace_targets(
    chat: &Chat,
    segment: &Segment,
    progress: f64,
    config: &objective::Config,
) -> Vec<Option<Target>> {
    let mut targets = vec![None; segment.tokens.len()];
    let turns = runs(&segment.authors, |author| *author == Author::Policy);
    let with_calls: Vec<_> = (turns.iter())
        .filter(|turn| segment.parts[turn.start..turn.end].contains(&Part::Call))
        .collect();
    let calls = &config.sft.calls.component();
    let kept_calls = calls.segments_at(with_calls.len(), progress);
    let last_call = with_calls[..kept_calls].last().map_or(0, |turn| turn.end);
    for turn in &turns {
        for place in turn.clone() {
            targets[place] = match segment.parts[place] {
                Part::Call if place < last_call => Some(Target::Call),
                Part::Answer if config.sft.answer == AnswerAs::Call => Some(Target::Call),
                _ => None,
            };
        }
        let (tokens, parts) = (&segment.tokens[turn.clone()], &segment.parts[turn.clone()]);
        let segments = chat.reasoning_segments(tokens, parts);
        let reasoning = &config.sft.reasoning.component();
        let kept = reasoning.segments_at(segments.len(), progress);
        for place in segments.into_iter().take(kept).flatten() {
            targets[turn.start + place] = Some(Target::Reasoning);
        }
    }
    targets
}

/// The maximal runs of items that satisfy `wanted`.
fn runs<T>(items: &[T], wanted: impl Fn(&T) -> bool) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        match runs.last_mut() {
            _ if !wanted(item) => {}
            Some(run) if run.end == at => run.end += 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}
