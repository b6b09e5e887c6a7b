//! `pact compare`: methods against a baseline, task by task and seed by seed.

use anyhow::Result;
use report::{Method, MethodRun, Question, ReportError, StandingPage, Standings, common_modes};

use crate::args::Compare;
use crate::exit::{Exit, UsageError};
use crate::suggestion;

pub(crate) fn run(arguments: &Compare) -> Result<Exit> {
    let runs = arguments.runs.iter().map(|run| {
        let read = MethodRun::read(&run.folder)?;
        Ok((run.method.clone(), read))
    });
    let methods = Method::of_runs(runs.collect::<Result<_, ReportError>>()?)?;
    if let [only] = &methods[..] {
        return Err(UsageError(format!(
            "all runs are of one method, `{}`, expected two methods or more\nhint: runs whose \
             configs differ in the seed alone are of one method; `NAME=RUN` says otherwise",
            only.name
        ))
        .into());
    }
    let names: Vec<&str> = methods.iter().map(|method| method.name.as_str()).collect();
    let baseline = match &arguments.baseline {
        Some(name) => known(&names, name, "--baseline")?,
        None => names[0],
    };
    let gates: Vec<(&str, f64)> = (arguments.require_better.iter())
        .map(|text| gate(&names, baseline, text))
        .collect::<Result<_, _>>()?;

    let modes = match arguments.mode {
        Some(mode) => vec![mode.into()],
        None => common_modes(&methods)?,
    };
    let standings = modes.into_iter().map(|mode| {
        let question = Question {
            metric: &arguments.metric,
            mode,
            step: arguments.step,
            scenario: None,
        };
        let standings = Standings::of(&methods, &[baseline], &question)?;
        standings.check_pairs(baseline)?;
        Ok(standings)
    });
    let page = StandingPage {
        metric: arguments.metric.clone(),
        baseline: baseline.to_owned(),
        standings: standings.collect::<Result<_, ReportError>>()?,
    };
    super::print(&match (arguments.json, arguments.markdown) {
        (true, _) => format!("{}\n", page.to_json()),
        (_, true) => page.to_markdown(),
        _ => page.to_text(),
    })?;
    Ok(match gates.iter().all(|gate| is_met(&page, *gate)) {
        true => Exit::Done,
        false => Exit::GateNotMet,
    })
}

fn known<'a>(names: &[&'a str], name: &str, option: &str) -> Result<&'a str, UsageError> {
    let found = names.iter().find(|it| **it == name);
    found.copied().ok_or_else(|| {
        let near = suggestion::hint(name, names.iter().copied());
        let hint = match near.is_empty() {
            true => format!("\nhint: there are `{}`", names.join("`, `")),
            false => near,
        };
        UsageError(format!("`{option} {name}`: there is no such method{hint}"))
    })
}

/// A method and the percent points by which it is to be better. Names may have `=` in them.
fn gate<'a>(names: &[&'a str], baseline: &str, text: &str) -> Result<(&'a str, f64), UsageError> {
    const OPTION: &str = "--require-better";
    let (name, margin) = match text.rsplit_once('=') {
        Some((name, margin)) if !names.contains(&text) => match margin.parse::<f64>() {
            Ok(margin) if margin.is_finite() => (name, margin),
            _ => (text, 0.0),
        },
        _ => (text, 0.0),
    };
    if name == baseline {
        return Err(UsageError(format!(
            "`{OPTION} {text}`: `{name}` is the baseline, which is never better than itself"
        )));
    }
    Ok((known(names, name, OPTION)?, margin))
}

/// Whether the method is better in every mode; says where it is not.
fn is_met(page: &StandingPage, (name, margin): (&str, f64)) -> bool {
    let mut is_met = true;
    for standings in &page.standings {
        let method = standings.find(name).expect("every method has a standing");
        let low = 100.0 * method.against[&page.baseline].difference.low;
        if low <= margin {
            let mode = format!("{:?}", standings.mode).to_lowercase();
            eprintln!(
                "gate not met: {mode}: the interval of {name} less {} begins at {low:+.2}, asked \
                 for was more than {margin:+.2}",
                page.baseline
            );
            is_met = false;
        }
    }
    is_met
}
