//! The Mersenne Twister as CPython's `random.Random(int)` uses it: MT19937 (Matsumoto and
//! Nishimura 1998), seeded by an array, ints by rejection. A part of the benchmark: ids,
//! timestamps and temperatures of its back ends come from here, for fixed seeds.

use num_bigint::BigUint;

const LENGTH: usize = 624;
const MIDDLE: usize = 397;

/// `random.Random(seed)`
#[derive(Clone, Debug)]
pub struct Twister {
    state: [u32; LENGTH],
    at: usize,
}

impl Twister {
    /// Seeded as CPython seeds with an int, whose sign it ignores.
    pub fn new(seed: u64) -> Self {
        let key = BigUint::from(seed).to_u32_digits();
        let key = if key.is_empty() { vec![0] } else { key };
        let mut state = spread(19_650_218);
        let (mut i, mut j) = (1, 0);
        for _ in 0..LENGTH.max(key.len()) {
            let mixed = mix(state[i - 1], 1_664_525);
            state[i] = (state[i] ^ mixed)
                .wrapping_add(key[j])
                .wrapping_add(j as u32);
            i = next(i, &mut state);
            j = (j + 1) % key.len();
        }
        for _ in 1..LENGTH {
            let mixed = mix(state[i - 1], 1_566_083_941);
            state[i] = (state[i] ^ mixed).wrapping_sub(i as u32);
            i = next(i, &mut state);
        }
        state[0] = 1 << 31;
        Self { state, at: LENGTH }
    }

    /// `random.random()`: a float in `[0, 1)` of 53 bits.
    pub fn random(&mut self) -> f64 {
        let (high, low) = (self.next_u32() >> 5, self.next_u32() >> 6);
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }

    /// `random.uniform(low, high)`
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random()
    }

    /// `random.randint(low, high)`, both ends included.
    ///
    /// # Panics
    /// Where `high < low`.
    pub fn randint(&mut self, low: i64, high: i64) -> i64 {
        assert!(low <= high, "randint of no numbers: {low} to {high}");
        let width = high.abs_diff(low) + 1;
        let bits = 64 - width.leading_zeros();
        loop {
            let drawn = self.bits(bits);
            if drawn < width {
                return low.wrapping_add_unsigned(drawn);
            }
        }
    }

    /// `random.getrandbits(count)` for up to 64 bits: the low word is drawn first.
    fn bits(&mut self, count: u32) -> u64 {
        if count <= 32 {
            return u64::from(self.next_u32() >> (32 - count));
        }
        let low = u64::from(self.next_u32());
        let high = u64::from(self.next_u32() >> (64 - count));
        high << 32 | low
    }

    fn next_u32(&mut self) -> u32 {
        if self.at == LENGTH {
            self.twist();
        }
        let mut word = self.state[self.at];
        self.at += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    fn twist(&mut self) {
        for i in 0..LENGTH {
            let joined =
                (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % LENGTH] & 0x7fff_ffff);
            let odd = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + MIDDLE) % LENGTH] ^ (joined >> 1) ^ odd;
        }
        self.at = 0;
    }
}

/// The state that one 32-bit seed gives.
fn spread(seed: u32) -> [u32; LENGTH] {
    let mut state = [seed; LENGTH];
    for i in 1..LENGTH {
        state[i] = mix(state[i - 1], 1_812_433_253).wrapping_add(i as u32);
    }
    state
}

fn mix(word: u32, factor: u32) -> u32 {
    (word ^ (word >> 30)).wrapping_mul(factor)
}

/// The place after `i`; past the end it is 1, and the last word becomes the first.
fn next(i: usize, state: &mut [u32; LENGTH]) -> usize {
    if i + 1 < LENGTH {
        return i + 1;
    }
    state[0] = state[LENGTH - 1];
    1
}
