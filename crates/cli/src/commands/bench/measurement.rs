//! The outcome of a measurement: a table for people, one object for programs.

use serde_json::{Map, Value, json};

/// What was measured.
pub(super) struct Measurement {
    /// Of each repetition.
    pub(super) seconds: Vec<f64>,
    /// Of one repetition.
    pub(super) tokens: usize,
    /// Floating-point operations of one repetition, counted from shapes.
    pub(super) flops: f64,
    pub(super) peak: Peak,
    /// What `pact train --plan` would say of it. `None` where nothing is learned.
    pub(super) planned_bytes: Option<u64>,
    /// Operations a second of matrix products alone.
    pub(super) gemm: f64,
    pub(super) parameters: usize,
    pub(super) threads: usize,
    pub(super) instructions: &'static str,
    /// Share of the threads' time by phase; empty unless asked for.
    pub(super) profile: Vec<(&'static str, f64)>,
}

/// The most memory at a time, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Peak {
    /// Of the process. `None` where the system does not say.
    pub(super) process: Option<u64>,
    /// What arrays had of a card. `None` on the CPU.
    pub(super) card: Option<u64>,
}

impl Measurement {
    pub(super) fn tokens_per_second(&self) -> f64 {
        self.tokens as f64 / median(&self.seconds)
    }

    /// Operations a second.
    fn rate(&self) -> f64 {
        self.flops / median(&self.seconds)
    }

    pub(super) fn to_json(&self) -> Map<String, Value> {
        let fields = [
            ("tokens-per-second", json!(self.tokens_per_second())),
            ("seconds", json!(self.seconds)),
            ("tokens", json!(self.tokens)),
            ("peak-bytes", json!(self.peak.process)),
            ("planned-bytes", json!(self.planned_bytes)),
            ("gflops", json!(self.rate() / 1e9)),
            ("gemm-gflops", json!(self.gemm / 1e9)),
            ("gemm-share", json!(self.rate() / self.gemm)),
            ("threads", json!(self.threads)),
            ("instructions", json!(self.instructions)),
            ("parameters", json!(self.parameters)),
        ];
        let mut json: Map<String, Value> = (fields.into_iter())
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        if let Some(bytes) = self.peak.card {
            json.insert("card-peak-bytes".to_owned(), json!(bytes));
        }
        if !self.profile.is_empty() {
            let shares = self
                .profile
                .iter()
                .map(|(phase, share)| ((*phase).to_owned(), json!(share)));
            json.insert("profile".to_owned(), Value::Object(shares.collect()));
        }
        json
    }

    /// Lines of the table of phases, below a title, if phases were measured.
    fn profile_rows(&self) -> Vec<[String; 3]> {
        if self.profile.is_empty() {
            return Vec::new();
        }
        let title = ["phase", "%", "of the threads' time"].map(str::to_owned);
        let row = |(phase, share): &(&str, f64)| {
            [
                (*phase).to_owned(),
                format!("{:.1}", 100.0 * share),
                String::new(),
            ]
        };
        let titles = [Default::default(), title].into_iter();
        titles.chain(self.profile.iter().map(row)).collect()
    }

    /// Lines of the table: what, how much, and a word on it. `unit` names the tokens.
    pub(super) fn rows(&self, unit: &str) -> Vec<[String; 3]> {
        let row = |what: &str, value: String, note: String| [what.to_owned(), value, note];
        let (least, most) = (self.seconds.iter()).fold((f64::MAX, 0.0_f64), |(least, most), &s| {
            (least.min(s), most.max(s))
        });
        let times = format!(
            "{} {unit} in {:.3} s, the median of {} between {least:.3} and {most:.3}",
            self.tokens,
            median(&self.seconds),
            self.seconds.len()
        );
        let share = format!(
            "{:.0}% of the {:.1} that matrix products alone reach",
            100.0 * self.rate() / self.gemm,
            self.gemm / 1e9
        );
        let planned = |of: &str| match self.planned_bytes {
            Some(_) => format!("of {of}; planned were {}", mib(self.planned_bytes)),
            None => format!("of {of}"),
        };
        let memory = match self.peak.card {
            Some(_) => row("peak MiB", mib(self.peak.card), planned("the card")),
            None => {
                let note = planned("the whole process");
                row("peak MiB", mib(self.peak.process), note)
            }
        };
        let million = self.parameters as f64 / 1e6;
        let mut rows = vec![
            row(
                "tokens/s",
                format!("{:.0}", self.tokens_per_second()),
                times,
            ),
            row("GFLOP/s", format!("{:.1}", self.rate() / 1e9), share),
            memory,
            row("parameters", format!("{million:.1}M"), String::new()),
        ];
        rows.extend(self.profile_rows());
        rows
    }
}

/// In MiB.
pub(super) fn mib(bytes: Option<u64>) -> String {
    let text = |bytes: u64| format!("{:.0}", bytes as f64 / f64::from(1 << 20));
    bytes.map_or("unknown".to_owned(), text)
}

/// Columns two spaces apart; numbers to the right.
pub(super) fn table(rows: &[[String; 3]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    rows.iter()
        .map(|[what, value, note]| {
            let line = format!("{what:first$}  {value:>second$}  {note}");
            format!("{}\n", line.trim_end())
        })
        .collect()
}

/// The middle value, or the mean of the two in the middle.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn rates_are_taken_over_the_median() {
        let measurement = Measurement {
            seconds: vec![9.0, 2.0, 1.0],
            tokens: 100,
            flops: 4e9,
            peak: Peak {
                process: Some(3 << 20),
                card: None,
            },
            planned_bytes: Some(2 << 20),
            gemm: 8e9,
            parameters: 1_500_000,
            threads: 2,
            instructions: "avx2",
            profile: vec![("head", 0.25), ("waiting", 0.75)],
        };
        let json = measurement.to_json();
        assert_eq!(json["tokens-per-second"], json!(50.0));
        assert_eq!(json["gflops"], json!(2.0));
        assert_eq!(json["gemm-share"], json!(0.25));
        assert_eq!(json["profile"]["head"], json!(0.25));
        assert_eq!(
            table(&measurement.rows("tokens")),
            "\
tokens/s      50  100 tokens in 2.000 s, the median of 3 between 1.000 and 9.000
GFLOP/s      2.0  25% of the 8.0 that matrix products alone reach
peak MiB       3  of the whole process; planned were 2
parameters  1.5M

phase          %  of the threads' time
head        25.0
waiting     75.0
"
        );
    }
}
