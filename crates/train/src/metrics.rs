//! The numbers of a step: each with a line that says what it is, and what should worry whoever
//! watches them (method.md, section 7).

use episode::{Episode, Group, Phase, StopReason};
use objective::{Context, Imitation, Recipe};
use rollout::Spent;

use crate::experience::Experience;
use crate::folder::StepRecord;
use crate::learner::Update;

/// Every name that a step's line of metrics.jsonl can have beside its suite's own, with what it
/// is.
pub const METRICS: [(&str, &str); 60] = [
    ("step", "Training steps before this one."),
    (
        "reward",
        "Mean reward of the rollouts, as training sees it.",
    ),
    (
        "solve-p",
        "Share of calls that solved a sub-answer (1 without a call): mean over rollouts.",
    ),
    (
        "solve-r",
        "Share of sub-answers that were solved: mean over rollouts.",
    ),
    (
        "solve-f1",
        "2 solved / (calls + sub-answers): mean over rollouts.",
    ),
    ("calls", "Calls of a rollout that were executed."),
    (
        "named",
        "Share of a rollout's calls that name a tool of the task (tool world only).",
    ),
    (
        "errors",
        "Calls of a rollout that failed: unknown tool, wrong arguments, an exception.",
    ),
    ("turns", "Turns of a rollout."),
    ("prompt-tokens", "Tokens of a prompt."),
    (
        "episode-tokens",
        "Tokens that the policy sampled in a rollout.",
    ),
    (
        "parse-failures",
        "Calls of a rollout that could not be read.",
    ),
    (
        "cut-off",
        "Share of rollouts that a limit ended (turns, tokens, time).",
    ),
    (
        "flat-groups",
        "Share of groups whose rewards are all equal: they teach nothing.",
    ),
    (
        "anchored",
        "Share of prompts whose rollouts were scored under the prompt alone.",
    ),
    (
        "hint-turns",
        "Turns of the trace that a rollout began with.",
    ),
    (
        "dropped-groups",
        "Groups of equal rewards that were rolled out and left out.",
    ),
    ("rollout-rounds", "Rounds of rollouts in the step."),
    (
        "trace-reward",
        "Mean reward of the traces, where they are members of their groups.",
    ),
    ("loss-rollouts", "The rollouts' part of the loss."),
    ("loss-trace", "The traces' part of the loss."),
    ("sampled-tokens", "Rollout tokens that were pushed on."),
    ("target-tokens", "Trace tokens that were supervised."),
    (
        "clipped",
        "Share of rollout tokens that the clip keeps from being pushed further.",
    ),
    (
        "clipped-prompt",
        "The same of rollouts scored under the prompt alone.",
    ),
    (
        "clipped-trace",
        "The same of rollouts scored under the trace.",
    ),
    (
        "clipped-prompt-epoch-K",
        "`clipped-prompt` of the K-th time that the step's batch was gone through; 0 in the \
         first, unless it is cut into mini-batches.",
    ),
    (
        "clipped-trace-epoch-K",
        "`clipped-trace` of the K-th time, likewise.",
    ),
    (
        "reasoning-logprob",
        "Mean log pi(z|x) of the traces' reasoning, supervised or not.",
    ),
    ("calls-logprob", "Mean log pi(z|x) of the traces' calls."),
    ("answer-logprob", "Mean log pi(z|x) of the traces' answers."),
    (
        "trace-lift-positive",
        "Mean of log pi(y|x,z) - log pi(y|x), in nats a token, over rollouts of positive \
         advantage: how much the trace helps.",
    ),
    (
        "trace-lift-negative",
        "The same over rollouts of negative advantage.",
    ),
    (
        "privilege-gap",
        "The same over all rollouts: it should shrink as the trace is internalised.",
    ),
    (
        "sampler-gap",
        "Largest distance between a token's log-probability when sampled and when scored: \
         rounding only, unless the two disagree.",
    ),
    (
        "kl",
        "Divergence from the reference, in nats a token, as estimated.",
    ),
    (
        "importance",
        "Mean weight of the correction for a sampler that differs.",
    ),
    (
        "entropy",
        "Mean entropy of the rollouts' distributions, in nats.",
    ),
    ("trace-tokens", "Tokens of a trace."),
    (
        "traces-cut",
        "Traces that lost their last turns to `trace.max-tokens`.",
    ),
    (
        "tree-tokens",
        "Tokens that the model computed, shared ones once.",
    ),
    ("tokens-shared", "Share of tokens that sharing saved."),
    (
        "grad-norm",
        "Norm of the gradient before it is clipped; of several updates the largest.",
    ),
    (
        "skipped",
        "1 where a loss or a gradient was not finite, and the weights were left as they were.",
    ),
    (
        "progress",
        "How much of the run is done, 0 to 1, as annealing sees it.",
    ),
    (
        "imitation-weight",
        "What the traces' likelihood weighs (CHORD's mu, PACT's sft.weight).",
    ),
    ("anchor", "The probability of anchoring, as annealed."),
    ("seconds-rollout", "Seconds of rolling out."),
    (
        "seconds-learn",
        "Seconds of scoring, differentiating and stepping.",
    ),
    (
        "seconds-evaluation",
        "Seconds of evaluating since the step before.",
    ),
    (
        "seconds-checkpoint",
        "Seconds of writing checkpoints since the step before.",
    ),
    (
        "seconds-tools",
        "Seconds that episodes waited for their tools, one after another; they wait side by side.",
    ),
    (
        "tokens-per-second-rollout",
        "Tokens sampled for a second of rolling out, its tools included.",
    ),
    (
        "tokens-per-second-learn",
        "Tokens computed for a second of learning, shared ones once.",
    ),
    (
        "memory-peak",
        "The largest memory of the process so far, in bytes.",
    ),
    (
        "cache-peak",
        "The most that keys and values of the rollouts took at once, in bytes.",
    ),
    (
        "cache-recomputed",
        "Tokens computed again since their keys and values had been given up for others'.",
    ),
    (
        "tool-timeouts",
        "Tool calls that were stopped because they took too long.",
    ),
    (
        "tool-restarts",
        "Interpreters or servers of tools that had to be started again.",
    ),
    (
        "tools-unserved",
        "Share of tool calls and sessions that got no process or server: the machine's fault.",
    ),
];

/// What a metric is, by its name in metrics.jsonl.
pub fn describe(name: &str) -> Option<&'static str> {
    let pattern = name
        .rsplit_once("-epoch-")
        .map_or(name.to_owned(), |(metric, _)| format!("{metric}-epoch-K"));
    let mut all = METRICS.iter();
    all.find(|(known, _)| *known == pattern)
        .map(|(_, text)| *text)
}

/// What was rolled out, in numbers.
pub(crate) fn of_rollouts(experience: &Experience, metrics: &mut StepRecord) {
    let groups: Vec<&Group> = experience.groups().collect();
    let episodes: Vec<&Episode> = experience.episodes().collect();
    if episodes.is_empty() {
        return;
    }
    let mean = |of: &dyn Fn(&Episode) -> f64| {
        episodes.iter().map(|e| of(e)).sum::<f64>() / episodes.len() as f64
    };
    metrics.set("reward", mean(&|e| e.score.reward));
    let names = episodes.iter().flat_map(|e| e.score.metrics.keys());
    let names: std::collections::BTreeSet<&String> = names.collect();
    for name in names {
        let of = |e: &Episode| e.score.metrics.get(name).copied().unwrap_or(0.0);
        metrics.set(name, mean(&of));
    }
    metrics.set("turns", mean(&|e| e.turns.len() as f64));
    metrics.set("prompt-tokens", mean(&|e| e.prompt_tokens as f64));
    metrics.set("episode-tokens", mean(&|e| e.sampled_tokens() as f64));
    let failures = |e: &Episode| e.turns.iter().map(|turn| turn.failures.len() as f64).sum();
    metrics.set("parse-failures", mean(&failures));
    metrics.set("cut-off", mean(&|e| f64::from(is_cut_off(e))));
    let flat = groups.iter().filter(|group| !has_signal(group)).count();
    metrics.set("flat-groups", flat as f64 / groups.len() as f64);
    if experience.rolled.iter().any(|one| one.hint_turns > 0) {
        metrics.set("hint-turns", mean(&|e| e.hint_turns as f64));
    }
    let rewards = experience.rolled.iter().filter_map(|one| one.trace_reward);
    let (sum, count) = rewards.fold((0.0, 0), |(sum, count), reward| (sum + reward, count + 1));
    metrics.set("trace-reward", (count > 0).then(|| sum / f64::from(count)));
    if experience.rounds > 1 || experience.dropped > 0 {
        metrics.set("rollout-rounds", experience.rounds as f64);
        metrics.set("dropped-groups", experience.dropped as f64);
    }
}

/// What the step was asked to do, in numbers.
pub(crate) fn of_recipe(recipe: &Recipe, anchored: &[bool], metrics: &mut StepRecord) {
    metrics.set("progress", recipe.progress);
    if let Some(Context::Trace { anchor, .. }) = recipe.rollouts.map(|push| push.context) {
        let count = anchored.iter().filter(|anchored| **anchored).count();
        metrics.set("anchor", anchor);
        metrics.set("anchored", count as f64 / anchored.len() as f64);
    }
    if let Some(Imitation::Likelihood { sft, .. }) = recipe.imitation {
        metrics.set("imitation-weight", sft.weight);
    }
}

/// What the learner did, in numbers.
pub(crate) fn of_update(update: &Update, metrics: &mut StepRecord) {
    let mut both = update.under_prompt;
    both.tokens += update.under_trace.tokens;
    both.clipped += update.under_trace.clipped;
    metrics.set("loss-rollouts", update.loss_rollouts);
    metrics.set("loss-trace", update.loss_trace);
    metrics.set("sampled-tokens", both.tokens as f64);
    metrics.set("target-tokens", update.target_tokens as f64);
    metrics.set("clipped", both.share());
    metrics.set("clipped-prompt", update.under_prompt.share());
    metrics.set("clipped-trace", update.under_trace.share());
    for (epoch, [prompt, trace]) in (1..).zip(&update.epochs) {
        metrics.set(&format!("clipped-prompt-epoch-{epoch}"), prompt.share());
        metrics.set(&format!("clipped-trace-epoch-{epoch}"), trace.share());
    }
    metrics.set("reasoning-logprob", update.reasoning_logprob);
    metrics.set("calls-logprob", update.calls_logprob);
    metrics.set("answer-logprob", update.answer_logprob);
    metrics.set("trace-lift-positive", update.lift.positive);
    metrics.set("trace-lift-negative", update.lift.negative);
    metrics.set("privilege-gap", update.lift.privilege_gap);
    metrics.set("sampler-gap", update.sampler_gap);
    metrics.set("kl", update.kl);
    metrics.set("importance", update.importance);
    metrics.set("entropy", update.entropy);
    metrics.set("trace-tokens", update.trace_tokens);
    metrics.set("traces-cut", update.traces_cut as f64);
    metrics.set("tree-tokens", update.tree_tokens as f64);
    let (computed, unshared) = (update.tree_tokens as f64, update.unshared_tokens as f64);
    metrics.set(
        "tokens-shared",
        (unshared > 0.0).then(|| 1.0 - computed / unshared),
    );
    metrics.set("grad-norm", update.grad_norm);
    metrics.set("skipped", f64::from(!update.refused.is_empty()));
}

/// What the step cost, and what it met with that is not the agent's. `spent` is since the step
/// before.
pub(crate) fn of_costs(experience: &Experience, spent: &Spent, metrics: &mut StepRecord) {
    let seconds = |phase| spent.on(phase).as_secs_f64();
    let positive = |value: f64| (value > 0.0).then_some(value);
    let (rollout, learn) = (seconds(Phase::Rollout), seconds(Phase::Learn));
    metrics.set("seconds-rollout", rollout);
    metrics.set("seconds-learn", learn);
    let between = [
        ("seconds-evaluation", Phase::Evaluation),
        ("seconds-checkpoint", Phase::Checkpoint),
    ];
    for (name, phase) in between {
        metrics.set(name, positive(seconds(phase)));
    }
    metrics.set("seconds-tools", positive(spent.tools.as_secs_f64()));
    let learned = metrics.get("tree-tokens").unwrap_or(0.0);
    let rates = [
        (
            "tokens-per-second-rollout",
            experience.sampled_tokens as f64,
            rollout,
        ),
        ("tokens-per-second-learn", learned, learn),
    ];
    for (name, tokens, seconds) in rates {
        let rate = positive(seconds).and_then(|seconds| positive(tokens / seconds));
        metrics.set(name, rate);
    }
    let cost = &experience.cost;
    metrics.set("cache-peak", positive(cost.cache_peak as f64));
    metrics.set("cache-recomputed", positive(cost.recomputed as f64));
    if let Some(share) = cost.tools.unserved_share() {
        metrics.set("tool-timeouts", cost.tools.timeouts as f64);
        metrics.set("tool-restarts", cost.tools.restarts as f64);
        metrics.set("tools-unserved", share);
    }
}

/// Whether a limit ended an episode.
pub(crate) fn is_cut_off(episode: &Episode) -> bool {
    let ended = [
        StopReason::Answered,
        StopReason::Ended,
        StopReason::ScriptEnded,
    ];
    !ended.contains(&episode.stop)
}

/// Whether a group's rewards differ.
pub(crate) fn has_signal(group: &Group) -> bool {
    let rewards: Vec<f64> = group.episodes.iter().map(|e| e.score.reward).collect();
    objective::has_signal(&rewards)
}

/// Failures of the machine teach the agent that its calls were wrong; a hundredth is a nuisance.
const UNSERVED_WARNING: f64 = 0.01;

/// What somebody should look at, of one step.
pub(crate) fn warnings(metrics: &StepRecord, sampler_gap: f64) -> Vec<&'static str> {
    let is = |name: &str, worrying: &dyn Fn(f64) -> bool| metrics.get(name).is_some_and(worrying);
    let all = [
        (
            is("calls", &|calls| calls == 0.0),
            "no rollout calls a tool: look at `pact show RUN`; is the prompt's format the model's?",
        ),
        (
            is("flat-groups", &|share| share == 1.0),
            "no group's rewards differ, so rollouts teach nothing: easier tasks, a larger \
             `rollout.group-size`, or traces",
        ),
        (
            is("sampler-gap", &|gap| gap > sampler_gap),
            "sampler and trainer disagree about log-probabilities by more than \
             `train.sampler-gap-warning`: are top-p, top-k or min-p set?",
        ),
        (
            is("traces-cut", &|count| count > 0.0),
            "traces are longer than `trace.max-tokens` and lost their last turns",
        ),
        (
            is("skipped", &|skipped| skipped == 1.0),
            "a loss or a gradient was not finite, and the step was skipped: a smaller \
             `optimizer.learning-rate`? `pact show RUN --skipped STEP` shows what it was",
        ),
        (
            is("tools-unserved", &|share| share > UNSERVED_WARNING),
            "more than one in a hundred tool calls got no process or server, and failed for no \
             fault of the agent's: look at `pact doctor`, `sandbox.sessions` and the server",
        ),
        (
            is("tool-restarts", &|count| count > 0.0),
            "an interpreter or a server of tools died and was started again: is memory short?",
        ),
    ];
    (all.into_iter().filter(|(worrying, _)| *worrying))
        .map(|(_, text)| text)
        .collect()
}
