//! `pact bench train`: the whole step of the trainer on sequences of random tokens.

use anyhow::Result;

use super::measurement::table;
use super::subject::{self, Purpose, Subject};
use crate::args::BenchTrain;
use train::Fixed;

pub(super) fn run(arguments: &BenchTrain) -> Result<()> {
    let mut subject = Subject::new(&arguments.subject, Purpose::Training)?;
    let sequences: Vec<Vec<u32>> = (0..arguments.batch)
        .map(|i| subject.tokens(&format!("sequence {i}"), arguments.tokens))
        .collect();
    let batch = subject::imitation(&sequences);
    let planned = subject.planned_bytes(&batch, arguments.checkpointing)?;
    let mut learner = subject::learner(&subject.model, arguments.checkpointing)?;
    let times = subject.repeat(|model| learner.update(model, &batch, Fixed::default(), 1.0))?;

    let tokens = arguments.batch * arguments.tokens;
    let mut measurement = subject.outcome(times, tokens, subject.training_flops(&batch));
    measurement.planned_bytes = Some(planned);
    super::print(
        arguments.subject.json,
        measurement.to_json(),
        &table(&measurement.rows("tokens")),
    )
}
