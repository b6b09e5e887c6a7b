//! Where randomness comes from: one number in the config, and a path of names below it.

use serde::{Deserialize, Serialize};

/// A seed, from which independent seeds are derived by name or number, so that a rollout's
/// randomness depends on what it is (run, step, task, sample, turn) and never on when it ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

impl Seed {
    /// The seed of the `number`-th child.
    pub fn child(self, number: u64) -> Self {
        Self(mix(self.0 ^ mix(number.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    /// The seed of the child called `name`.
    pub fn named(self, name: &str) -> Self {
        name.bytes()
            .fold(self.child(name.len() as u64), |seed, byte| {
                seed.child(u64::from(byte))
            })
    }
}

/// The finaliser of SplitMix64 (Steele et al. 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_differ_by_name_number_and_parent() {
        let seed = Seed(7);
        let all = [
            seed,
            seed.child(0),
            seed.child(1),
            seed.child(0).child(1),
            seed.child(1).child(0),
            seed.named("rollout"),
            seed.named("data"),
            Seed(8).child(0),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b), "{a:?} appears twice");
        }
    }
}
