//! `pact bench tree`: an update on a group's token tree, in which the context of all rollouts is
//! computed once, against the same update on each rollout by itself.

use anyhow::Result;
use serde_json::json;
use train::{Batch, Fixed};

use super::measurement::{median, table};
use super::subject::{self, Purpose, Subject, Times};
use crate::args::BenchTree;

pub(super) fn run(arguments: &BenchTree) -> Result<()> {
    let mut subject = Subject::new(&arguments.subject, Purpose::Training)?;
    let context = subject.tokens("context", arguments.context);
    let sequences: Vec<Vec<u32>> = (0..arguments.rollouts)
        .map(|i| {
            let rollout = subject.tokens(&format!("rollout {i}"), arguments.rollout_tokens);
            [context.as_slice(), &rollout].concat()
        })
        .collect();
    let alone: Vec<&[Vec<u32>]> = sequences.chunks(1).collect();
    let shared = subject::rollouts(&[&sequences], context.len());
    let unshared = subject::rollouts(&alone, context.len());
    let planned = subject.planned_bytes(&shared, arguments.checkpointing)?;
    let mut learner = subject::learner(&subject.model, arguments.checkpointing)?;
    let mut step = |subject: &mut Subject, batch: &Batch| {
        subject.time(|model| learner.update(model, batch, Fixed::default(), 1.0))
    };
    subject.forget_peak();
    step(&mut subject, &shared)?;
    let peak = subject.peak();
    step(&mut subject, &unshared)?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..subject.repetitions {
        with.push(step(&mut subject, &shared)?);
        without.push(step(&mut subject, &unshared)?);
    }

    let ratio = median(&without) / median(&with);
    let flops = subject.training_flops(&shared);
    let bound = subject.training_flops(&unshared) / flops;
    let tokens = shared.samples[0].tree.len();
    let mut times = Times {
        seconds: with,
        profile: Vec::new(),
    };
    if subject.profiles {
        let update = |model: &mut _| learner.update(model, &shared, Fixed::default(), 1.0);
        times.profile = subject.repeat(update)?.profile;
    }
    let mut measurement = subject.outcome(times, tokens, flops);
    measurement.peak = peak;
    measurement.planned_bytes = Some(planned);

    let mut json = measurement.to_json();
    json.insert("unshared-seconds".into(), json!(without));
    json.insert("ratio".into(), json!(ratio));
    json.insert("bound".into(), json!(bound));
    json.insert("share-of-bound".into(), json!(ratio / bound));
    let row = |what: &str, value: f64, note: String| [what.to_owned(), format!("{value:.2}"), note];
    let mut rows = measurement.rows("tokens of the tree");
    rows.extend([
        row(
            "ratio",
            ratio,
            format!("unshared, the same update takes {:.3} s", median(&without)),
        ),
        row(
            "bound",
            bound,
            "the ratio of the two updates' arithmetic".to_owned(),
        ),
        row(
            "of bound",
            ratio / bound,
            "how much of it is reached".to_owned(),
        ),
    ]);
    super::print(arguments.subject.json, json, &table(&rows))
}
