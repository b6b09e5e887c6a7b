//! Which episodes a page asks for, and in which order.

use std::cmp::Ordering;

use episode::StopReason;
use serde::Deserialize;

use crate::index::Row;

/// The longest page of a list.
pub(crate) const PAGE: usize = 100;

/// A filter as an address tells it. What is not said holds nothing back.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Query {
    /// A source by name; the first if not said.
    pub(crate) source: Option<String>,
    pub(crate) scenario: Option<String>,
    pub(crate) stop: Option<StopReason>,
    /// The least reward, inclusive.
    pub(crate) reward_from: Option<f64>,
    /// The largest reward, inclusive.
    pub(crate) reward_to: Option<f64>,
    /// The first step, inclusive.
    pub(crate) step_from: Option<u64>,
    /// The last step, inclusive.
    pub(crate) step_to: Option<u64>,
    /// Only episodes in which a call failed or could not be read.
    pub(crate) failed: bool,
    /// Words of the task's id, a turn, an observation or a reply; case does not matter.
    pub(crate) text: Option<String>,
    pub(crate) sort: Order,
    /// How many episodes of the list come before this page.
    pub(crate) after: usize,
    /// An episode whose place in the list is asked for too.
    pub(crate) locate: Option<usize>,
}

/// The order of a list; those that are equal stand as in the file.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    /// As in the file.
    #[default]
    File,
    /// The file's last first.
    Newest,
    /// The largest reward first.
    Best,
    /// The smallest reward first.
    Worst,
    /// The most turns first.
    Turns,
    /// The most sampled tokens first.
    Tokens,
    /// The most failed calls first.
    Failures,
}

impl Query {
    /// Whether a row passes everything but the text.
    fn passes(&self, row: &Row) -> bool {
        let step = |ok: &dyn Fn(u64) -> bool| row.step.is_some_and(ok);
        self.scenario
            .as_deref()
            .is_none_or(|it| *row.scenario == *it)
            && self.stop.is_none_or(|stop| row.stop == stop)
            && self.reward_from.is_none_or(|least| row.reward >= least)
            && self.reward_to.is_none_or(|most| row.reward <= most)
            && self.step_from.is_none_or(|first| step(&|it| it >= first))
            && self.step_to.is_none_or(|last| step(&|it| it <= last))
            && (!self.failed || row.failures > 0)
    }

    /// The numbers of the rows that pass, in order; with `hits`, ascending, only of those.
    pub(crate) fn select(&self, rows: &[Row], hits: Option<&[usize]>) -> Vec<usize> {
        let passes = |number: &usize| rows.get(*number).is_some_and(|row| self.passes(row));
        let mut numbers: Vec<usize> = match hits {
            Some(hits) => hits.iter().copied().filter(passes).collect(),
            None => (0..rows.len()).filter(passes).collect(),
        };
        let by = |compare: &dyn Fn(&Row, &Row) -> Ordering, numbers: &mut Vec<usize>| {
            numbers.sort_by(|&a, &b| compare(&rows[a], &rows[b]));
        };
        match self.sort {
            Order::File => {}
            Order::Newest => numbers.reverse(),
            Order::Best => by(&|a, b| b.reward.total_cmp(&a.reward), &mut numbers),
            Order::Worst => by(&|a, b| a.reward.total_cmp(&b.reward), &mut numbers),
            Order::Turns => by(&|a, b| b.turns.cmp(&a.turns), &mut numbers),
            Order::Tokens => by(
                &|a, b| b.sampled_tokens.cmp(&a.sampled_tokens),
                &mut numbers,
            ),
            Order::Failures => by(&|a, b| b.failures.cmp(&a.failures), &mut numbers),
        }
        numbers
    }
}
