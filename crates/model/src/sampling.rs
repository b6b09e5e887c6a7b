//! One token from one row of logits, and the log-probability of that choice.
//! The caller owns the seeds; the same row, settings and generator give the same token.

use std::cell::RefCell;
use std::cmp::Ordering;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::instructions::vectorised;
use crate::numeric;

/// How a token is chosen. The default samples from the model's own distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sampling {
    /// Divides the logits; 0 takes the likeliest token.
    pub temperature: f32,
    /// Keeps the likeliest tokens that together reach this probability; 1 keeps all.
    pub top_p: f32,
    /// Keeps this many of the likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps tokens at least this many times as probable as the likeliest; 0 keeps all.
    pub min_p: f32,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
        }
    }
}

impl Sampling {
    /// The likeliest token, always.
    pub const GREEDY: Self = Self {
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        min_p: 0.0,
    };

    /// Refuses settings that mean nothing.
    pub fn check(&self) -> Result<(), ModelError> {
        let temperature = self.temperature >= 0.0 && self.temperature.is_finite();
        let top_p = self.top_p > 0.0 && self.top_p <= 1.0;
        let min_p = (0.0..=1.0).contains(&self.min_p);
        [
            (
                temperature,
                "temperature",
                self.temperature,
                "a number from 0 up",
            ),
            (top_p, "top-p", self.top_p, "above 0, at most 1"),
            (min_p, "min-p", self.min_p, "between 0 and 1"),
        ]
        .into_iter()
        .try_for_each(|(good, key, found, expected)| match good {
            true => Ok(()),
            false => Err(ModelError::setting(key, found, expected)),
        })
    }

    fn truncates(&self) -> bool {
        self.top_p < 1.0 || self.top_k > 0 || self.min_p > 0.0
    }
}

/// The generator that sampling and initialisation draw from.
pub fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Samples a token from `logits`, `[vocabulary]`, which it overwrites.
///
/// Returns the token and its log-probability under the distribution sampled from: the softmax
/// of `logits / temperature`, renormalised over what is kept. The cuts apply one after another,
/// top-k, top-p, min-p, each to what the last one left. At temperature 0 the token is the
/// likeliest (the first of equals), no randomness is drawn, and the log-probability is that of
/// the whole softmax at temperature 1, as training scores it. `None` where no logit is a finite
/// maximum: the model has diverged.
pub fn sample(
    logits: &mut [f32],
    sampling: &Sampling,
    random: &mut impl rand::Rng,
) -> Option<(u32, f32)> {
    choose(logits, sampling, draw(sampling, random))
}

/// The randomness of one token, in [0, 1).
pub(crate) fn draw(sampling: &Sampling, random: &mut impl rand::Rng) -> f64 {
    match sampling.temperature {
        0.0 => 0.0,
        _ => uniform(random),
    }
}

/// [`sample`], its randomness drawn before.
pub(crate) fn choose(logits: &mut [f32], sampling: &Sampling, drawn: f64) -> Option<(u32, f32)> {
    if sampling.temperature == 0.0 {
        return greedy(logits);
    }
    let (weights, total) = softmax_weights(logits, sampling.temperature)?;
    if !sampling.truncates() {
        let chosen = invert(weights, drawn * total);
        return Some((chosen as u32, log_probability(weights[chosen], total)));
    }
    Some(CANDIDATES.with_borrow_mut(|kept| {
        truncate(weights, total, sampling, kept);
        let total = mass(kept);
        let chosen = walk(kept.iter().map(|kept| kept.weight), drawn * total);
        let Candidate { token, weight } = kept[chosen];
        (token, log_probability(weight, total))
    }))
}

thread_local! {
    static CANDIDATES: RefCell<Vec<Candidate>> = const { RefCell::new(Vec::new()) };
}

/// A draw from the standard normal distribution (Box & Muller 1958; the second of each pair is
/// not used).
pub(crate) fn standard_normal(random: &mut impl rand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - uniform(random)).ln()).sqrt();
    radius * (2.0 * std::f64::consts::PI * uniform(random)).cos()
}

/// Uniform in [0, 1).
fn uniform(random: &mut impl rand::Rng) -> f64 {
    random.random()
}

fn greedy(logits: &mut [f32]) -> Option<(u32, f32)> {
    let largest = largest(logits)?;
    let token = logits.iter().position(|&logit| logit == largest)?;
    let (_, total) = softmax_weights(logits, 1.0)?;
    Some((token as u32, log_probability(1.0, total)))
}

fn largest(logits: &[f32]) -> Option<f32> {
    let largest = numeric::largest(logits);
    largest.is_finite().then_some(largest)
}

/// e^((logit - largest) / temperature), in place: the softmax before its division; and their
/// sum.
fn softmax_weights(logits: &mut [f32], temperature: f32) -> Option<(&[f32], f64)> {
    let largest = largest(logits)?;
    let inverse = 1.0 / temperature;
    let sums = logits.chunks_mut(BLOCK).map(|block| {
        numeric::exp_scaled(block, largest, inverse);
        block_sum(block)
    });
    let total: f64 = sums.sum();
    total.is_finite().then_some((logits, total))
}

fn log_probability(weight: f32, total: f64) -> f32 {
    (f64::from(weight).ln() - total.ln()) as f32
}

/// The inverse of the cumulative distribution looks for its block first: sums run over lanes, a
/// walk cannot.
const BLOCK: usize = 512;

vectorised! {
    fn block_sum(block: &[f32]) -> f64 {
        let mut lanes = [0.0; 8];
        let (chunks, rest) = block.as_chunks::<8>();
        for chunk in chunks {
            for (lane, &weight) in lanes.iter_mut().zip(chunk) {
                *lane += f64::from(weight);
            }
        }
        for (lane, &weight) in lanes.iter_mut().zip(rest) {
            *lane += f64::from(weight);
        }
        lanes.iter().sum()
    }
}

/// The index at which the running sum of `weights` passes `target`.
fn invert(weights: &[f32], mut target: f64) -> usize {
    let mut start = 0;
    for block in weights.chunks(BLOCK) {
        let sum = block_sum(block);
        if target < sum || start + BLOCK >= weights.len() {
            return start + walk(block.iter().copied(), target);
        }
        target -= sum;
        start += BLOCK;
    }
    unreachable!("the last block ends the search")
}

/// The index at which the running sum passes `target`; the heaviest if rounding leaves it short
/// of the end.
fn walk(weights: impl Iterator<Item = f32> + Clone, mut target: f64) -> usize {
    for (index, weight) in weights.clone().enumerate() {
        target -= f64::from(weight);
        if target < 0.0 {
            return index;
        }
    }
    let heaviest = weights.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
    heaviest.expect("there is at least one token").0
}

#[derive(Clone, Copy)]
struct Candidate {
    token: u32,
    weight: f32,
}

fn likeliest_first(a: &Candidate, b: &Candidate) -> Ordering {
    b.weight.total_cmp(&a.weight).then(a.token.cmp(&b.token))
}

fn mass(candidates: &[Candidate]) -> f64 {
    candidates.iter().map(|c| f64::from(c.weight)).sum()
}

/// What top-k, top-p and min-p leave of `weights`, whose sum is `total` and the largest of which
/// is 1.
fn truncate(weights: &[f32], total: f64, sampling: &Sampling, kept: &mut Vec<Candidate>) {
    kept.clear();
    let least = certainly_cut(weights.len(), total, sampling);
    let numbered = (0..).zip(weights);
    kept.extend(
        numbered
            .filter(|(_, weight)| **weight >= least)
            .map(|(token, &weight)| Candidate { token, weight }),
    );
    if (1..kept.len()).contains(&sampling.top_k) {
        kept.select_nth_unstable_by(sampling.top_k, likeliest_first);
        kept.truncate(sampling.top_k);
    }
    if sampling.top_p < 1.0 {
        // Without top-k, what was certainly cut still counts in the total.
        let total = match sampling.top_k {
            0 => total,
            _ => mass(kept),
        };
        let count = nucleus(kept, f64::from(sampling.top_p) * total);
        kept.truncate(count);
    }
    kept.retain(|candidate| candidate.weight >= sampling.min_p);
}

/// Moves the fewest and likeliest candidates that together reach `missing` to the front, the
/// last of them least likely, and returns their number: by halves, of which only the one that
/// the boundary lies in is looked at again.
fn nucleus(candidates: &mut [Candidate], mut missing: f64) -> usize {
    const FEW: usize = 32;
    let (mut start, mut end) = (0, candidates.len());
    while end - start > FEW {
        let middle = (end - start) / 2;
        let range = &mut candidates[start..end];
        range.select_nth_unstable_by(middle, likeliest_first);
        let likelier = mass(&range[..middle]);
        if likelier >= missing {
            end = start + middle;
        } else {
            missing -= likelier;
            start += middle;
        }
    }
    candidates[start..end].sort_unstable_by(likeliest_first);
    for (i, candidate) in candidates[start..end].iter().enumerate() {
        missing -= f64::from(candidate.weight);
        if missing <= 0.0 {
            return start + i + 1;
        }
    }
    end
}

/// A weight below which a token cannot be kept, so that few are candidates: all tokens lighter
/// than (1 - p) total / vocabulary together weigh less than what top-p leaves out. After top-k
/// the total is another one.
fn certainly_cut(vocabulary: usize, total: f64, sampling: &Sampling) -> f32 {
    if sampling.top_k > 0 {
        return 0.0;
    }
    let left_out = (1.0 - f64::from(sampling.top_p)) * total;
    (left_out / vocabulary as f64) as f32 * 0.999
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shares of each token over many draws.
    fn shares(logits: &[f32], sampling: Sampling) -> Vec<f64> {
        const DRAWS: usize = 20_000;
        let mut random = rng(1);
        let mut counts = vec![0.0; logits.len()];
        for _ in 0..DRAWS {
            let (token, _) =
                sample(&mut logits.to_vec(), &sampling, &mut random).expect("finite logits");
            counts[token as usize] += 1.0 / DRAWS as f64;
        }
        counts
    }

    /// Logits of the probabilities 0.4, 0.3, 0.2, 0.1, out of order.
    fn logits() -> Vec<f32> {
        [0.3_f32, 0.1, 0.4, 0.2].map(|p| p.ln() + 5.0).to_vec()
    }

    fn check(sampling: Sampling, expected: [f64; 4]) {
        let found = shares(&logits(), sampling);
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() < 0.015,
                "{sampling:?}: {found} instead of {expected}"
            );
        }
        for seed in 0..20 {
            let (token, logprob) =
                sample(&mut logits(), &sampling, &mut rng(seed)).expect("finite logits");
            let probability = expected[token as usize];
            assert!(
                (f64::from(logprob) - probability.ln()).abs() < 1e-5,
                "{sampling:?}"
            );
        }
    }

    #[test]
    fn tokens_come_as_often_as_their_probability_says_and_report_it() {
        let plain = Sampling::default();
        check(plain, [0.3, 0.1, 0.4, 0.2]);
        let squares = [0.09 / 0.3, 0.01 / 0.3, 0.16 / 0.3, 0.04 / 0.3];
        check(
            Sampling {
                temperature: 0.5,
                ..plain
            },
            squares,
        );
        check(
            Sampling { top_k: 2, ..plain },
            [3.0 / 7.0, 0.0, 4.0 / 7.0, 0.0],
        );
        check(Sampling { top_k: 9, ..plain }, [0.3, 0.1, 0.4, 0.2]);
        check(
            Sampling {
                top_p: 0.65,
                ..plain
            },
            [3.0 / 7.0, 0.0, 4.0 / 7.0, 0.0],
        );
        check(
            Sampling {
                top_p: 0.75,
                ..plain
            },
            [3.0 / 9.0, 0.0, 4.0 / 9.0, 2.0 / 9.0],
        );
        check(
            Sampling {
                min_p: 0.4,
                ..plain
            },
            [3.0 / 9.0, 0.0, 4.0 / 9.0, 2.0 / 9.0],
        );
        // After top-k = 3, top-p counts in ninths: 4/9 + 3/9 reaches 0.75.
        check(
            Sampling {
                top_k: 3,
                top_p: 0.75,
                ..plain
            },
            [3.0 / 7.0, 0.0, 4.0 / 7.0, 0.0],
        );
    }

    #[test]
    fn greedy_takes_the_first_of_the_likeliest_and_reports_the_plain_softmax() {
        let mut random = rng(3);
        let mut row = [0.3_f32, 0.35, 0.35].map(f32::ln);
        let (token, logprob) =
            sample(&mut row, &Sampling::GREEDY, &mut random).expect("finite logits");
        assert_eq!(token, 1);
        assert!((logprob - 0.35_f32.ln()).abs() < 1e-6);
        assert_eq!(random, rng(3), "greedy draws no randomness");
    }

    #[test]
    fn a_large_vocabulary_is_sampled_like_its_plain_cumulative_sum() {
        let row: Vec<f32> = (0..5000).map(|i| (i as f32 * 0.7).sin() * 4.0).collect();
        let weights: Vec<f64> = row.iter().map(|&logit| f64::from(logit).exp()).collect();
        let total: f64 = weights.iter().sum();
        for seed in 0..200 {
            let mut target = uniform(&mut rng(seed)) * total;
            let expected = weights.iter().position(|weight| {
                target -= weight;
                target < 0.0
            });
            let (token, logprob) = sample(&mut row.clone(), &Sampling::default(), &mut rng(seed))
                .expect("finite logits");
            assert_eq!(Some(token as usize), expected, "seed {seed}");
            let exact = (weights[token as usize] / total).ln();
            assert!((f64::from(logprob) - exact).abs() < 1e-5);
        }
    }

    #[test]
    fn a_nucleus_of_a_large_vocabulary_is_the_shortest_prefix_that_reaches_p() {
        let row: Vec<f32> = (0..3000).map(|i| (i as f32 * 0.7).sin() * 6.0).collect();
        let sampling = Sampling {
            top_p: 0.9,
            ..Sampling::default()
        };
        let mut weights = row.clone();
        let (weights, total) = softmax_weights(&mut weights, 1.0).expect("finite logits");
        let mut kept = Vec::new();
        truncate(weights, total, &sampling, &mut kept);
        let share = |kept: &[Candidate]| mass(kept) / total;
        assert!(share(&kept) >= 0.9 - 1e-9);
        assert!(share(&kept[..kept.len() - 1]) < 0.9);
        let lightest = kept.iter().map(|kept| kept.weight).fold(1.0, f32::min);
        let heavier = weights.iter().filter(|&&weight| weight >= lightest).count();
        assert_eq!(kept.len(), heavier, "the likeliest are kept");
    }

    #[test]
    fn settings_that_mean_nothing_are_refused() {
        let wrong = Sampling {
            top_p: 0.0,
            ..Sampling::default()
        };
        let message = wrong.check().unwrap_err().to_string();
        assert_eq!(message, "`top-p` is 0, expected above 0, at most 1");
        assert!(Sampling::default().check().is_ok() && Sampling::GREEDY.check().is_ok());
    }

    #[test]
    fn logits_without_a_finite_maximum_give_no_token() {
        let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        let truncated = Sampling {
            top_k: 2,
            ..Sampling::default()
        };
        for sampling in [Sampling::GREEDY, Sampling::default(), truncated] {
            for logit in bad {
                let chosen = sample(&mut [logit; 5], &sampling, &mut rng(1));
                assert_eq!(chosen, None, "{logit}");
            }
        }
    }
}
