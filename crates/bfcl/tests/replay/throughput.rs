//! How many calls a core executes. A measurement: `cargo test --release -p bfcl --test replay
//! -- --ignored --nocapture`.

use std::time::Instant;

use crate::records::{Questions, calls, data_folder, list, rows, text};

#[test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn data_throughput_of_the_executor() {
    let Some(folder) = data_folder() else { return };
    let questions = Questions::load(&folder);
    let oracles = rows(&folder.join("oracles"), &["initial_state", "turns"]);
    for long_context in [false, true] {
        let records: Vec<(&str, Vec<&str>)> = oracles
            .iter()
            .map(|(_, row)| row)
            .filter(|row| row.get("long_context").unwrap().is_true() == long_context)
            .map(|row| (text(row, "id"), calls_of(row)))
            .collect();
        let (mut episodes, mut executed, mut characters) = (0, 0, 0);
        let begin = Instant::now();
        while begin.elapsed().as_secs_f64() < 5.0 {
            for (id, calls) in &records {
                let mut opened = questions.open(id, long_context);
                for call in calls {
                    characters += opened.instances.execute(call).len();
                }
                episodes += 1;
                executed += calls.len();
            }
        }
        let seconds = begin.elapsed().as_secs_f64();
        println!(
            "long context {long_context}: {:.0} calls/s, {:.0} episodes/s, {:.1} us a call with \
             its share of opening, {:.0} bytes a result",
            executed as f64 / seconds,
            f64::from(episodes) / seconds,
            1e6 * seconds / executed as f64,
            characters as f64 / executed as f64,
        );
    }
}

fn calls_of(row: &python::Dict) -> Vec<&str> {
    let turns = list(row, "turns").iter();
    turns
        .flat_map(|turn| calls(turn.as_dict().unwrap()))
        .map(|(call, _)| call)
        .collect()
}
