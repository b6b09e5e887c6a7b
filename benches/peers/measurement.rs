//! What the Rust peers share: their options, how time and memory are taken, and the one line that they print.
//! Knows nothing of what is measured.

use std::collections::HashMap;
use std::time::Instant;

/// The command line: what to measure, then options that are all numbers, as in `train --batch 8`.
pub struct Options {
    /// The first word.
    pub bench: String,
    numbers: HashMap<String, usize>,
}

impl Options {
    pub fn read() -> Self {
        let mut words = std::env::args().skip(1);
        let bench = words.next().expect("the first word is `train` or `decode`");
        let mut numbers = HashMap::new();
        while let Some(word) = words.next() {
            let value = words.next().and_then(|value| value.parse().ok());
            let value = value.unwrap_or_else(|| panic!("`{word}` is not followed by a number"));
            numbers.insert(word.trim_start_matches('-').to_owned(), value);
        }
        // Rayon reads its variable before any of our code could set it.
        let threads = std::env::var("RAYON_NUM_THREADS")
            .ok()
            .and_then(|count| count.parse().ok());
        assert_eq!(
            numbers.get("threads"),
            threads.as_ref(),
            "`--threads` and RAYON_NUM_THREADS differ; `run` sets both"
        );
        Self { bench, numbers }
    }

    pub fn get(&self, name: &str, default: usize) -> usize {
        self.numbers.get(name).copied().unwrap_or(default)
    }
}

/// Wall-clock seconds of each repetition of `work`, after two that are not timed.
pub fn seconds_of(repetitions: usize, mut work: impl FnMut()) -> Vec<f64> {
    for _ in 0..2 {
        work();
    }
    let timed = |_| {
        let begun = Instant::now();
        work();
        begun.elapsed().as_secs_f64()
    };
    (0..repetitions).map(timed).collect()
}

/// Prints the result as one JSON line; `tokens` is what one repetition counts.
pub fn report(bench: &str, peer: &str, version: &str, tokens: usize, seconds: &[f64]) {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0;
    let tokens_of_each = vec![tokens; seconds.len()];
    println!(
        r#"{{"bench": "{bench}", "peer": "{peer}", "tokens-per-second": {}, "seconds": {seconds:?}, "tokens": {tokens_of_each:?}, "peak-bytes": {}, "versions": {{"{peer}": "{version}"}}}}"#,
        tokens as f64 / median,
        peak_bytes(),
    );
}

/// The highest resident size of this process, which Linux tells.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has /proc");
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.expect("the line reads `VmHWM:  123 kB`") * 1024
}
