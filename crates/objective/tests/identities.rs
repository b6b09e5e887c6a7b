//! What must hold between algorithms, for any streams.

use objective::{
    Clip, Estimator, KlEstimator, Mu, Outcome, PolicyLoss, Stream, TokenWeight, advantages,
    distillation_advantages, kl_penalty, policy_loss, reweighted_nll, weighted_nll,
};
use proptest::prelude::*;

const PPO: PolicyLoss = PolicyLoss::Clipped {
    clip: Clip {
        low: 0.2,
        high: 0.2,
    },
    dual: None,
};

fn logprobs() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-4.0..-0.01f32, 1..12)
}

/// CHORD's `(1 - mu) L_rl + mu L_sft` over a rollout of the expert's own tokens.
fn chord(mu: f64, logprobs: &[f32], by: TokenWeight) -> Stream {
    let places: Vec<usize> = (0..logprobs.len()).collect();
    let share = 1.0 / logprobs.len() as f32;
    let pushed = policy_loss(PPO, logprobs, logprobs, &vec![1.5; logprobs.len()]);
    let expert = reweighted_nll(logprobs, &vec![share; logprobs.len()], by);
    let mut stream = Stream::new(logprobs.len());
    let on_policy = (1.0 - mu) * f64::from(share);
    stream.add(&places, pushed.loss, &pushed.coefficients, on_policy);
    stream.add(&places, expert.loss, &expert.coefficients, mu);
    stream
}

proptest! {
    #[test]
    fn chord_with_mu_one_is_sft(logprobs in logprobs()) {
        let always = Mu { warmup_steps: 0, decay_steps: 0, peak: 1.0, valley: 1.0 };
        let share = 1.0 / logprobs.len() as f32;
        let sft = weighted_nll(&logprobs, &vec![share; logprobs.len()]);
        let found = chord(always.at(3), &logprobs, TokenWeight::None);
        prop_assert_eq!(found.loss, sft.loss);
        prop_assert_eq!(found.coefficients(), sft.coefficients);
    }

    #[test]
    fn chord_with_mu_zero_is_its_reinforcement_learning(logprobs in logprobs()) {
        let pushed = policy_loss(PPO, &logprobs, &logprobs, &vec![1.5; logprobs.len()]);
        let found = chord(0.0, &logprobs, TokenWeight::Phi);
        prop_assert!((found.loss - pushed.loss / logprobs.len() as f64).abs() < 1e-6);
    }

    #[test]
    fn rejection_sampling_of_what_is_kept_is_sft_on_it(logprobs in logprobs()) {
        let episode = |reward| Outcome {
            reward,
            turn_rewards: vec![],
            turn_tokens: vec![logprobs.len()],
        };
        let group = vec![episode(1.0), episode(0.0)];
        let advantages = advantages(&[group], Estimator::Kept { threshold: 1.0 }).concat();
        let of = |a: &[f32]| policy_loss(PolicyLoss::Likelihood, &logprobs, &[], a);
        let (kept, dropped) = (of(&advantages[0]), of(&advantages[1]));
        let sft = weighted_nll(&logprobs, &vec![1.0; logprobs.len()]);
        prop_assert!((kept.loss - sft.loss).abs() < 1e-9);
        prop_assert_eq!(kept.coefficients, sft.coefficients);
        prop_assert_eq!((dropped.loss, dropped.clipped), (0.0, 0));
        prop_assert!(dropped.coefficients.iter().all(|c| *c == 0.0));
    }

    #[test]
    fn on_the_first_inner_step_every_ratio_loss_pushes_as_reinforce(
        logprobs in logprobs(), advantage in -2.0..2.0f32,
    ) {
        let advantages = vec![advantage; logprobs.len()];
        let clip = Clip { low: 0.2, high: 0.2 };
        let reinforce = policy_loss(PolicyLoss::Likelihood, &logprobs, &logprobs, &advantages);
        let others = [
            PPO,
            PolicyLoss::Sequence { clip },
            PolicyLoss::Cispo { clip },
            PolicyLoss::Ratio,
        ];
        for loss in others {
            let found = policy_loss(loss, &logprobs, &logprobs, &advantages);
            prop_assert_eq!(&found.coefficients, &reinforce.coefficients);
        }
    }

    #[test]
    fn gspo_over_one_token_is_ppo(
        now in -4.0..-0.01f32, old in -4.0..-0.01f32, advantage in -2.0..2.0f32,
    ) {
        let clip = Clip { low: 0.2, high: 0.2 };
        let of = |loss| policy_loss(loss, &[now], &[old], &[advantage]);
        prop_assert_eq!(of(PolicyLoss::Sequence { clip }), of(PPO));
    }

    #[test]
    fn a_student_that_is_its_teacher_is_not_pushed(logprobs in logprobs()) {
        let advantages = distillation_advantages(&logprobs, &logprobs, 5.0);
        let found = policy_loss(PPO, &logprobs, &logprobs, &advantages);
        prop_assert!(found.coefficients.iter().all(|c| *c == 0.0));
    }

    #[test]
    fn distillation_within_its_limit_pushes_against_k2_of_the_teacher(
        student in logprobs(), gap in -1.0..1.0f32,
    ) {
        let teacher: Vec<f32> = student.iter().map(|s| (s + gap).min(0.0)).collect();
        let advantages = distillation_advantages(&teacher, &student, 5.0);
        let pushed = policy_loss(PPO, &student, &student, &advantages);
        let penalty = kl_penalty(KlEstimator::K2, &student, &teacher);
        for (a, b) in pushed.coefficients.iter().zip(&penalty.coefficients) {
            prop_assert!((a - b).abs() < 1e-6);
        }
    }

    #[test]
    fn a_token_without_advantage_weighs_as_much_as_one_that_is_left_out(
        logprobs in prop::collection::vec(-4.0..-0.01f32, 2..12), place in 0usize..12,
    ) {
        let place = place % logprobs.len();
        let mut advantages = vec![0.5; logprobs.len()];
        advantages[place] = 0.0;
        let old: Vec<f32> = logprobs.iter().map(|l| l - 0.1).collect();
        let left_out = |values: &[f32]| [&values[..place], &values[place + 1..]].concat();
        for loss in [PPO, PolicyLoss::Ratio, PolicyLoss::Likelihood, PolicyLoss::Shaped { gamma: 0.1 }] {
            let masked = policy_loss(loss, &logprobs, &old, &advantages);
            let without =
                policy_loss(loss, &left_out(&logprobs), &left_out(&old), &left_out(&advantages));
            prop_assert_eq!(masked.loss, without.loss);
            prop_assert_eq!(masked.clipped, without.clipped);
            prop_assert_eq!(left_out(&masked.coefficients), without.coefficients);
        }
    }

    #[test]
    fn tokens_that_were_not_sampled_are_in_no_mean_of_the_batch(
        rewards in prop::collection::vec(-2.0..2.0f64, 2..6), tokens in 1usize..4,
    ) {
        // An episode that said nothing has a reward, and no token for the batch's statistics.
        let of = |turn_tokens: Vec<usize>| {
            move |reward: &f64| Outcome { reward: *reward, turn_rewards: vec![], turn_tokens: turn_tokens.clone() }
        };
        let spoken: Vec<Outcome> = rewards.iter().map(of(vec![tokens])).collect();
        let silent: Vec<Outcome> = rewards.iter().map(of(vec![])).collect();
        let whitened = Estimator::Batch { baseline: false, discount: 1.0 };
        let alone = advantages(std::slice::from_ref(&spoken), whitened);
        let both = advantages(&[spoken, silent], whitened);
        prop_assert_eq!(&both[0], &alone[0]);
        prop_assert!(both[1].iter().all(Vec::is_empty));
    }
}
