//! What operations come to together: a pass and its gradient, a prefix that is shared, and tokens
//! that are sampled.

use super::{Checked, apart};
use crate::backend::Done;
use crate::{Buffers, Coefficient, Generator, Keep, Model, Sampling, TokenTree};

/// Tokens that are sampled after each sequence.
const SAMPLED: usize = 12;

/// A sequence, and where in it the tokens begin that are predicted.
type Text = (Vec<u32>, usize);

/// A prompt of more than a tile with rollouts of all lengths, and a text of its own.
fn texts() -> Vec<Text> {
    let text = |from: u32, count: u32| (from..from + count).map(|i| i * i % 331);
    let after = |then: (u32, u32)| (text(1, 77).chain(text(then.0, then.1)).collect(), 77);
    let mut texts: Vec<Text> = [(5, 3), (90, 40), (200, 81)].map(after).into();
    texts.push((text(33, 12).collect(), 1));
    texts
}

/// What a pass over some texts gives: log-probabilities in their order, and the gradient.
struct Outcome {
    logprobs: Vec<f32>,
    gradient: Vec<f32>,
}

/// Holds a model's passes to those of the same model on the CPU, if it is not there itself, and
/// to each other.
pub(crate) fn check(model: &Model, on_cpu: Option<&Model>) -> Done<Vec<Checked>> {
    let texts = texts();
    let shared = outcome(model, &[&texts])?;
    let mut checked = Vec::new();
    let mut note = |operation, found: &[f32], expected: &[f32]| {
        let expected: Vec<f64> = expected.iter().map(|&x| f64::from(x)).collect();
        let error = apart(found, &expected);
        checked.push(Checked { operation, error });
    };
    if let Some(on_cpu) = on_cpu {
        let expected = outcome(on_cpu, &[&texts])?;
        note(
            "pass, log-probabilities",
            &shared.logprobs,
            &expected.logprobs,
        );
        note("pass, gradient", &shared.gradient, &expected.gradient);
    }
    let each: Vec<&[Text]> = texts.chunks(1).collect();
    let alone = outcome(model, &each)?;
    note(
        "shared, log-probabilities",
        &shared.logprobs,
        &alone.logprobs,
    );
    note("shared, gradient", &shared.gradient, &alone.gradient);
    let (sampled, scored) = sampled(model, &texts)?;
    note("sampled, log-probabilities", &sampled, &scored);
    Ok(checked)
}

/// Of texts that share their prefixes within each group.
fn outcome(model: &Model, groups: &[&[Text]]) -> Done<Outcome> {
    let mut gradient = model.gradient()?;
    let mut logprobs = Vec::new();
    for group in groups {
        let sequences: Vec<&[u32]> = group.iter().map(|(tokens, _)| &tokens[..]).collect();
        let (tree, paths) = TokenTree::from_sequences(&sequences);
        let predicted = || {
            let paths = paths.iter().zip(*group);
            paths.flat_map(|(path, (_, from))| path[*from..].iter().copied())
        };
        let mut targets: Vec<usize> = predicted().collect();
        targets.sort_unstable();
        targets.dedup();
        let pass = model.forward(&tree, &targets, Keep::All, &Buffers::default())?;
        let place = |token| targets.binary_search(&token).expect("all are targets");
        logprobs.extend(predicted().map(|token| pass.logprobs[place(token)]));
        // Texts differ in what they predict, so that no token counts twice.
        let coefficient = |&at: &usize| Coefficient {
            logprob: (tree.tokens()[at] as f32).sin(),
            entropy: 0.1,
        };
        let coefficients: Vec<Coefficient> = targets.iter().map(coefficient).collect();
        pass.backward(&coefficients, &mut gradient)?;
    }
    Ok(Outcome {
        logprobs,
        gradient: gradient.numbers()?.into_owned(),
    })
}

/// Log-probabilities of tokens that were sampled together, as they were sampled and as a pass
/// over each sequence scores them.
fn sampled(model: &Model, texts: &[Text]) -> Done<(Vec<f32>, Vec<f32>)> {
    let sampling = Sampling {
        temperature: model.temperature,
        ..Sampling::default()
    };
    let positions = texts.iter().map(|(tokens, _)| tokens.len() + SAMPLED).max();
    let mut generator = Generator::new(model, sampling, &[], positions.unwrap_or_default())?;
    for (name, (tokens, _)) in texts.iter().enumerate() {
        generator.begin(name, tokens, SAMPLED, name as u64);
    }
    let (mut found, mut scored) = (Vec::new(), Vec::new());
    let mut open = texts.len();
    while open > 0 {
        for turn in generator.step()? {
            open -= 1;
            let (context, _) = &texts[turn.sequence];
            let whole = [&context[..], &turn.tokens].concat();
            let (tree, _) = TokenTree::from_sequences(&[&whole]);
            let targets: Vec<usize> = (context.len()..whole.len()).collect();
            let pass = model.forward(&tree, &targets, Keep::Nothing, &Buffers::default())?;
            found.extend(turn.logprobs);
            scored.extend(&pass.logprobs);
        }
    }
    Ok((found, scored))
}
