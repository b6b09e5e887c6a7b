//! `pact bench scale`: how speed and memory change with one factor at a time around a base
//! point, in training and in decoding; how steep each curve is, and what bounds its ends.
//!
//! Every point is a process of its own, so that its memory is its own. The cheapest points are
//! measured first, until the budget is spent.

mod curve;
mod point;
mod text;

use std::fs;
use std::path::Path;

use anyhow::{Result, anyhow};
use serde_json::json;

use self::curve::Curve;
use self::point::{Factor, Measured, Outcome, Point, Work};
use crate::args::BenchScale;
use crate::config::Engine;
use crate::{clock, engine};

/// The machine that points are measured on.
struct Machine {
    /// Bytes a second that are read from memory.
    bandwidth: f64,
    /// Bytes that a point may take.
    memory: Option<u64>,
    /// Threads of the base point.
    threads: usize,
}

pub(super) fn run(arguments: &BenchScale) -> Result<()> {
    let config = Engine {
        threads: arguments.threads,
        ..Engine::default()
    };
    engine::start(&config)?;
    let clock = clock::start();
    let machine = Machine {
        bandwidth: model::measure_bandwidth(&*clock),
        memory: engine::memory(&config)?,
        threads: rayon::current_num_threads(),
    };
    let measured = measure(points(arguments, &machine), &machine, arguments, &*clock)?;
    let curves = Curve::all(&measured, &machine);

    let points: Vec<_> = measured
        .iter()
        .map(|(point, it)| point.to_json(it))
        .collect();
    let fits: Vec<_> = curves.iter().map(Curve::to_json).collect();
    let json = json!({
        "points": points,
        "curves": fits,
        "bandwidth-bytes-per-second": machine.bandwidth,
        "threads": machine.threads,
        "instructions": model::Instructions::current().name(),
    });
    let table = text::markdown(&measured, &curves, &machine);
    if let Some(folder) = &arguments.out {
        let write = |name: &str, text: &str| write(&folder.join(name), text);
        fs::create_dir_all(folder).map_err(|error| anyhow!("`{}`: {error}", folder.display()))?;
        write("scale.json", &format!("{json:#}\n"))?;
        write("scale.md", &table)?;
        write("scale.svg", &report::log_log_svg(&text::panels(&measured)))?;
    }
    match arguments.json {
        true => crate::commands::print(&format!("{json}\n")),
        false => crate::commands::print(&table),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| anyhow!("`{}`: {error}", path.display()))
}

/// Every point of every curve, in the order of the table.
fn points(arguments: &BenchScale, machine: &Machine) -> Vec<Point> {
    let mut points = Vec::new();
    for work in [Work::Train, Work::Decode] {
        let base = Point::base(work, arguments, machine.threads);
        for factor in Factor::ALL {
            points.extend(factor.points(&base, arguments.vocabulary, machine.threads));
        }
    }
    points
}

/// Measures what fits memory and budget, the cheapest first.
fn measure(
    points: Vec<Point>,
    machine: &Machine,
    arguments: &BenchScale,
    clock: &dyn Fn() -> std::time::Duration,
) -> Result<Vec<(Point, Outcome)>> {
    let began = clock();
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|&a, &b| points[a].flops().total_cmp(&points[b].flops()));
    let mut outcomes: Vec<Option<Outcome>> = vec![None; points.len()];
    for i in order {
        let point = &points[i];
        // The base point lies on every curve.
        let same = (0..i)
            .chain(i + 1..points.len())
            .find(|&other| points[other].is_same_work(point) && outcomes[other].is_some());
        let left = arguments.budget - (clock() - began).as_secs_f64();
        let known = (points.iter().zip(&outcomes))
            .filter_map(|(point, outcome)| Some((point, outcome.as_ref()?.measured()?)));
        let outcome = match (same, point.too_large(machine)) {
            (Some(same), _) => outcomes[same].clone().expect("it was just found"),
            (None, Some(reason)) => Outcome::Skipped(reason),
            (None, None) => match point.expected_seconds(known) {
                Some(seconds) if seconds > left => Outcome::Skipped(format!(
                    "would take about {seconds:.0} s, of {:.0} that are left",
                    left.max(0.0)
                )),
                expected => {
                    eprintln!("measuring {}", point.words());
                    point.measure(expected)?
                }
            },
        };
        outcomes[i] = Some(outcome);
    }
    let outcomes = outcomes
        .into_iter()
        .map(|it| it.expect("every point had its turn"));
    Ok(points.into_iter().zip(outcomes).collect())
}

/// The points of one curve that were measured.
fn of_curve(
    measured: &[(Point, Outcome)],
    work: Work,
    factor: Factor,
) -> impl Iterator<Item = (&Point, &Measured)> {
    let on_curve = move |point: &Point| point.work == work && point.factor == factor;
    (measured.iter())
        .filter(move |(point, _)| on_curve(point))
        .filter_map(|(point, outcome)| Some((point, outcome.measured()?)))
}
