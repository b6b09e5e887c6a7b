//! `pact bench train`: the whole step of the trainer on sequences of random tokens.

use anyhow::Result;
use model::Flops;

use super::measurement::table;
use super::subject::{self, Subject};
use crate::args::BenchTrain;
use crate::engine;

pub(super) fn run(arguments: &BenchTrain) -> Result<()> {
    let mut subject = Subject::new(&arguments.subject)?;
    let sequences: Vec<Vec<u32>> = (0..arguments.batch)
        .map(|i| subject.tokens(&format!("sequence {i}"), arguments.tokens))
        .collect();
    let batch = subject::imitation(&sequences);
    let mut learner = subject::learner(&subject.model, arguments.checkpointing);
    let mut step = |subject: &mut Subject| {
        subject.time(|model| {
            learner.update(model, &batch, None, 1.0);
        })
    };
    engine::forget_peak();
    step(&mut subject);
    let seconds = (0..subject.repetitions)
        .map(|_| step(&mut subject))
        .collect();

    let architecture = &subject.model.architecture;
    let flops: f64 = (batch.samples.iter())
        .map(|sample| Flops::of_tree(architecture, &sample.tree, sample.targets.len()))
        .map(|flops| flops.with_backward().total())
        .sum();
    let tokens = arguments.batch * arguments.tokens;
    let mut measurement = subject.outcome(seconds, tokens, flops);
    let planned = subject::planned_bytes(&subject.model, &batch, arguments.checkpointing);
    measurement.planned_bytes = Some(planned);
    super::print(
        arguments.subject.json,
        measurement.to_json(),
        &table(&measurement.rows("tokens")),
    )
}
