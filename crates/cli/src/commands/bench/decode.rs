//! `pact bench decode`: sequences sampled together at temperature 1 until each has its tokens.
//! The time is the whole generator's: packing weights, reading prompts, and every step.

use std::time::Duration;

use anyhow::Result;
use model::{Flops, Generator, Model, ModelError, Sampling, attended_pairs};
use serde_json::json;

use super::measurement::{median, table};
use super::subject::{Purpose, Subject};
use crate::args::BenchDecode;

/// Sequences to sample.
struct Work {
    /// One for each group.
    prompts: Vec<Vec<u32>>,
    group_size: usize,
    /// Tokens that each sequence samples.
    new: usize,
    /// One for each sequence.
    seeds: Vec<u64>,
}

pub(super) fn run(arguments: &BenchDecode) -> Result<()> {
    let mut subject = Subject::new(&arguments.subject, Purpose::Sampling)?;
    let groups = arguments.groups.unwrap_or(arguments.batch);
    let group_size = arguments.group_size.unwrap_or(1);
    let work = Work {
        prompts: (0..groups)
            .map(|i| subject.tokens(&format!("prompt {i}"), arguments.prompt))
            .collect(),
        group_size,
        new: arguments.new,
        seeds: (0..groups * group_size)
            .map(|i| subject.sampling_seed(i))
            .collect(),
    };
    let clock = subject.clock.clone();
    let mut first = Vec::new();
    let times = subject.repeat(|model| {
        first.push(work.sample(model, &*clock)?);
        Ok(())
    })?;
    // The first time does not count.
    first.remove(0);
    let later = median(&times.seconds) - median(&first);
    let flops = work.flops(&subject.model).total();
    let measurement = subject.outcome(times, work.seeds.len() * work.new, flops);
    // Every token but each sequence's first.
    let rate = (work.new > 1).then(|| (work.seeds.len() * (work.new - 1)) as f64 / later);
    let mut json = measurement.to_json();
    json.insert("first-token-seconds".into(), json!(first));
    json.insert("later-tokens-per-second".into(), json!(rate));
    let mut rows = measurement.rows("sampled tokens");
    let seconds = format!("{:.3}", median(&first));
    let note = "until every sequence has its first token";
    rows.insert(1, ["first s", &seconds, note].map(str::to_owned));
    if let Some(rate) = rate {
        let note = "of the tokens after the first";
        rows.insert(
            2,
            ["later tok/s", &format!("{rate:.0}"), note].map(str::to_owned),
        );
    }
    super::print(arguments.subject.json, json, &table(&rows))
}

impl Work {
    /// Samples every token; returns the seconds until every sequence has its first.
    fn sample(&self, model: &Model, clock: &dyn Fn() -> Duration) -> Result<f64, ModelError> {
        let began = clock();
        let positions = self.prompts[0].len() + self.new;
        let mut generator = Generator::new(model, Sampling::default(), &[], positions)?;
        for (sequence, &seed) in self.seeds.iter().enumerate() {
            let prompt = &self.prompts[sequence / self.group_size];
            generator.begin(sequence, prompt, self.new, seed);
        }
        let mut ended = generator.step()?.len();
        let first = clock() - began;
        while ended < self.seeds.len() {
            ended += generator.step()?.len();
        }
        Ok(first.as_secs_f64())
    }

    /// A prompt is read once for its group; its last token and those sampled, but for the very
    /// last, are computed for each sequence.
    fn flops(&self, model: &Model) -> Flops {
        let (groups, sequences) = (self.prompts.len(), self.seeds.len());
        let shared = self.prompts[0].len() - 1;
        let pairs = groups * attended_pairs(0..shared)
            + sequences * attended_pairs(shared..shared + self.new);
        let sampled = sequences * self.new;
        Flops::forward(
            &model.architecture,
            groups * shared + sampled,
            pairs,
            sampled,
        )
    }
}
