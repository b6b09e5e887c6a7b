//! Where the objectives of one step meet: over the same tokens, they add up.

/// The summed derivative of a loss over some tokens, ready for a backward pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stream {
    /// The summed loss.
    pub loss: f64,
    /// d loss / d log-probability, `[tokens]`; in f64 until all objectives are in.
    coefficients: Vec<f64>,
    /// d loss / d entropy of the distribution that predicts each token, `[tokens]`.
    entropies: Vec<f64>,
}

impl Stream {
    /// A stream over `tokens` tokens on which nothing pushes yet.
    pub fn new(tokens: usize) -> Self {
        Self {
            loss: 0.0,
            coefficients: vec![0.0; tokens],
            entropies: vec![0.0; tokens],
        }
    }

    /// Adds `scale` times an objective over the tokens at `places`, of which several may be
    /// the same token: rollouts that agree share it. `scale` is where a sum is divided, once,
    /// by the count of the whole batch.
    pub fn add(&mut self, places: &[usize], loss: f64, coefficients: &[f32], scale: f64) {
        assert!(
            places.len() == coefficients.len(),
            "an objective has one coefficient for each of its tokens"
        );
        self.loss += scale * loss;
        for (&place, &coefficient) in places.iter().zip(coefficients) {
            self.coefficients[place] += scale * f64::from(coefficient);
        }
    }

    /// Rewards the entropy of the distributions that predict the tokens at `places`: `bonus`
    /// times each is taken off the loss. `entropies` are theirs, in nats.
    pub fn reward_entropy(&mut self, places: &[usize], entropies: &[f32], bonus: f64) {
        for (&place, &entropy) in places.iter().zip(entropies) {
            self.loss -= bonus * f64::from(entropy);
            self.entropies[place] -= bonus;
        }
    }

    /// d loss / d entropy, `[tokens]`.
    pub fn entropy_coefficients(&self) -> Vec<f32> {
        self.entropies.iter().map(|&c| c as f32).collect()
    }

    /// d loss / d log-probability, `[tokens]`.
    pub fn coefficients(&self) -> Vec<f32> {
        self.coefficients.iter().map(|&c| c as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_over_the_same_tokens_add_up() {
        let mut stream = Stream::new(4);
        stream.add(&[0, 1, 2], 6.0, &[1.0, 2.0, 3.0], 0.5);
        stream.add(&[2, 3, 3], 1.0, &[-1.0, 3.0, 1.0], 1.0);
        assert_eq!(stream.loss, 4.0);
        assert_eq!(stream.coefficients(), [0.5, 1.0, 0.5, 4.0]);
    }

    #[test]
    fn entropy_is_rewarded_once_for_each_rollout_that_has_the_token() {
        let mut stream = Stream::new(3);
        stream.reward_entropy(&[1, 2, 2], &[0.5, 1.0, 1.0], 0.1);
        assert!((stream.loss + 0.25).abs() < 1e-12);
        assert_eq!(stream.entropy_coefficients(), [0.0, -0.1, -0.2]);
        assert_eq!(stream.coefficients(), [0.0; 3]);
    }

    #[test]
    fn a_token_that_no_objective_names_is_not_pushed() {
        assert_eq!(Stream::new(2).coefficients(), [0.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "one coefficient for each")]
    fn a_coefficient_without_a_token_is_a_mistake() {
        Stream::new(2).add(&[1], 0.0, &[0.0, 0.0], 1.0);
    }
}
