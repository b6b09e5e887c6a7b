//! `pact bench decode`: sequences sampled together at temperature 1 until each has its tokens.
//! The time is the whole generator's: packing weights, reading prompts, and every step.

use anyhow::Result;
use model::{Flops, Generator, Model, Sampling, attended_pairs};

use super::measurement::table;
use super::subject::Subject;
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
    let mut subject = Subject::new(&arguments.subject)?;
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
    let times = subject.repeat(|model| work.sample(model));
    let flops = work.flops(&subject.model).total();
    let measurement = subject.outcome(times, work.seeds.len() * work.new, flops);
    super::print(
        arguments.subject.json,
        measurement.to_json(),
        &table(&measurement.rows("sampled tokens")),
    )
}

impl Work {
    fn sample(&self, model: &Model) {
        let positions = self.prompts[0].len() + self.new;
        let mut generator = Generator::new(model, Sampling::default(), &[], positions);
        for (sequence, &seed) in self.seeds.iter().enumerate() {
            let prompt = &self.prompts[sequence / self.group_size];
            generator.begin(sequence, prompt, self.new, seed);
        }
        let mut ended = 0;
        while ended < self.seeds.len() {
            for turn in generator.step() {
                assert_eq!(
                    turn.tokens.len(),
                    self.new,
                    "nothing stops a turn but its limit"
                );
                ended += 1;
            }
        }
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
