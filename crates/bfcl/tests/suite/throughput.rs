//! How fast a core steps the environments. A measurement, not a check:
//! `cargo test --release -p bfcl --test suite throughput -- --ignored --nocapture`

use std::time::{Duration, Instant};

use bfcl::suite::Selection;
use bfcl::{BfclOptions, BfclSuite};
use env::{Environment, Suite};
use episode::{StopReason, ToolCall, Trace};

use crate::play::data_folder;

const LIVE: usize = 1000;

/// An episode and the calls that are left of its trace, its last one first.
struct Live {
    environment: Box<dyn Environment>,
    calls: Vec<ToolCall>,
}

impl Live {
    fn new(suite: &BfclSuite, trace: &Trace) -> Self {
        let task = suite.tasks().iter().find(|task| task.id == trace.task);
        let calls = trace.turns.iter().rev();
        let calls = calls.flat_map(|turn| turn.calls.iter().rev().cloned());
        Self {
            environment: suite.open(task.unwrap()),
            calls: calls.collect(),
        }
    }
}

#[test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn throughput_of_a_thousand_live_episodes() {
    let Some(folder) = data_folder() else { return };
    let categories = [
        Selection::MultiTurnBase,
        Selection::MultiTurnLongContext,
        Selection::MultiTurn,
    ];
    for category in categories {
        let suite = BfclSuite::load(&BfclOptions {
            folder: folder.clone(),
            categories: vec![category],
            ..BfclOptions::default()
        })
        .unwrap();
        let traces = suite.traces().unwrap();
        let start = Instant::now();
        let chosen = traces.iter().cycle().take(LIVE);
        let mut live: Vec<Live> = chosen.map(|trace| Live::new(&suite, trace)).collect();
        let opened = start.elapsed();

        let start = Instant::now();
        let mut steps = 0;
        let mut slowest = Duration::ZERO;
        while live.iter().any(|episode| !episode.calls.is_empty()) {
            for episode in &mut live {
                let Some(call) = episode.calls.pop() else {
                    continue;
                };
                let before = Instant::now();
                episode.environment.call(&call);
                slowest = slowest.max(before.elapsed());
                steps += 1;
            }
        }
        let stepped = start.elapsed();

        let start = Instant::now();
        for episode in &mut live {
            episode.environment.close(StopReason::Answered, &[]);
            let _ = episode.environment.score();
        }
        let scored = start.elapsed();
        let each = |time: Duration, count: usize| 1e6 * time.as_secs_f64() / count as f64;
        println!(
            "{category:?}: {LIVE} live episodes, {steps} steps: {:.0} a second on one core \
             ({:.1} us each, slowest {:.1} ms); opened in {:.0} us each, scored in {:.0} us each",
            steps as f64 / stepped.as_secs_f64(),
            each(stepped, steps),
            1e3 * slowest.as_secs_f64(),
            each(opened, LIVE),
            each(scored, LIVE),
        );
    }
}
