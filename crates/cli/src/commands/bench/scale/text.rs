//! The outcome for people: a Markdown table of points, one of curves, and the panels of the plot.

use report::{Line, Panel, PowerLaw};

use super::curve::{Bound, Curve};
use super::point::{Factor, Measured, Outcome, Point, Work};
use super::{Machine, of_curve};

pub(super) fn markdown(
    measured: &[(Point, Outcome)],
    curves: &[Curve],
    machine: &Machine,
) -> String {
    let mut text = format!(
        "{} threads, {}, {:.1} GB/s read from memory (more where caches help)\n\n\
         | work | factor | value | tokens/s | GFLOP/s | of products | peak MiB |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: |\n",
        machine.threads,
        model::Instructions::current().name(),
        machine.bandwidth / 1e9
    );
    for (point, outcome) in measured {
        let (work, factor) = (point.work.name(), point.factor.name());
        let start = format!(
            "| {work} | {factor} | {} |",
            value(point.factor, point.value())
        );
        text += &match outcome {
            Outcome::Skipped(reason) => format!("{start} skipped: {reason} | | | |\n"),
            Outcome::Measured(it) => format!(
                "{start} {:.0} | {:.1} | {:.0}% | {:.0} |\n",
                it.tokens_per_second,
                it.flops / 1e9,
                100.0 * it.flops / it.gemm,
                it.peak_bytes / f64::from(1 << 20)
            ),
        };
    }
    text += "\n| work | factor | speed grows as | memory grows as | bound at the low end | bound at \
             the high end |\n| --- | --- | --- | --- | --- | --- |\n";
    for curve in curves {
        let ends: Vec<String> = curve
            .ends
            .iter()
            .map(|(_, bound)| bound_text(bound))
            .collect();
        text += &format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            curve.work.name(),
            curve.factor.name(),
            law(curve.speed),
            law(curve.memory),
            ends[0],
            ends.last().unwrap_or(&ends[0])
        );
    }
    text
}

fn value(factor: Factor, value: usize) -> String {
    match factor {
        Factor::Model => format!("{:.1}M", value as f64 / 1e6),
        _ => value.to_string(),
    }
}

fn law(law: Option<PowerLaw>) -> String {
    match law {
        Some(law) => format!("x^{:.2} (r2 {:.2})", law.exponent, law.r2),
        None => "too few points".to_owned(),
    }
}

fn bound_text(bound: &Bound) -> String {
    format!(
        "{}: {:.0}% of products, {:.0}% of reading",
        bound.name(),
        100.0 * bound.compute,
        100.0 * bound.bandwidth
    )
}

/// A number of a measurement.
type Quantity = fn(&Measured) -> f64;

/// Speed and memory, side by side, for each factor.
pub(super) fn panels(measured: &[(Point, Outcome)]) -> Vec<Panel> {
    let quantities: [(&str, Quantity); 2] = [
        ("tokens/s", |measured| measured.tokens_per_second),
        ("peak bytes", |measured| measured.peak_bytes),
    ];
    let line = |work: Work, factor, of: Quantity| Line {
        name: work.name().to_owned(),
        points: of_curve(measured, work, factor)
            .map(|(point, measured)| (point.value() as f64, of(measured)))
            .filter(|(_, y)| *y > 0.0)
            .collect(),
        band: Vec::new(),
    };
    let panel = |factor: Factor, (y, of): (&str, Quantity)| Panel {
        title: factor.name().to_owned(),
        x: factor.unit().to_owned(),
        y: y.to_owned(),
        lines: [Work::Train, Work::Decode]
            .map(|work| line(work, factor, of))
            .into(),
    };
    (Factor::ALL.into_iter())
        .flat_map(|factor| quantities.map(|quantity| panel(factor, quantity)))
        .collect()
}
