//! The optimisers against numbers worked out by hand, and their promise of equal bits.

use super::*;
use crate::architecture::Preset;
use crate::parameters::{Parameters, init};

fn model() -> Parameters {
    init(&Preset::Tiny.architecture(300), 1)
}

fn gradient(parameters: &Parameters, seed: u64) -> Vec<f32> {
    let mut random = crate::sampling::rng(seed);
    let normal = |_: &f32| 0.01 * crate::sampling::standard_normal(&mut random) as f32;
    parameters.data.iter().map(normal).collect()
}

fn muon() -> OptimizerConfig {
    OptimizerConfig {
        kind: OptimizerKind::Muon,
        weight_decay: 0.1,
        ..OptimizerConfig::default()
    }
}

fn position(parameters: &Parameters, name: &str) -> usize {
    let specs = parameters.layout.specs();
    specs
        .iter()
        .find(|spec| spec.name == name)
        .expect("the layout has it")
        .offset
}

#[test]
fn adamw_takes_the_steps_worked_out_by_hand() {
    let mut parameters = model();
    let config = OptimizerConfig {
        learning_rate: 0.1,
        betas: [0.9, 0.99],
        eps: 0.0,
        weight_decay: 0.5,
        grad_clip: 0.0,
        ..OptimizerConfig::default()
    };
    let mut optimizer = Optimizer::new(config, parameters.layout.specs());
    let matrix = position(&parameters, "model.layers.0.mlp.up_proj.weight");
    let norm = position(&parameters, "model.norm.weight");
    parameters.data[matrix] = 2.0;
    parameters.data[norm] = 2.0;
    let mut gradient = vec![0.1; parameters.data.len()];

    // First step: m / (1 - beta1) = g and sqrt(v / (1 - beta2)) = |g|, so each moves by 0.1
    // against the sign; the matrix decays by 0.1 * 0.5 of 2 before, the norm does not.
    gradient[matrix] = 3.0;
    gradient[norm] = -4.0;
    optimizer.step(&mut parameters.data, &gradient, 1.0);
    assert!((parameters.data[matrix] - (1.9 - 0.1)).abs() < 1e-5);
    assert!((parameters.data[norm] - 2.1).abs() < 1e-5);

    // Second step with half the rate: m = 0.9 * 0.3 + 0.1 * 1 = 0.37, corrected 0.37 / 0.19;
    // v = 0.99 * 0.09 + 0.01 * 1 = 0.0991, corrected 0.0991 / 0.0199.
    gradient[matrix] = 1.0;
    optimizer.step(&mut parameters.data, &gradient, 0.5);
    let moved = 0.05 * (0.37 / 0.19) / (0.0991_f32 / 0.0199).sqrt();
    assert!((parameters.data[matrix] - (1.8 * 0.975 - moved)).abs() < 1e-5);
    assert_eq!(optimizer.steps(), 2);
}

#[test]
fn a_long_gradient_is_shortened_to_the_limit_and_a_short_one_kept() {
    let mut parameters = model();
    let mut optimizer = Optimizer::new(OptimizerConfig::default(), parameters.layout.specs());
    let mut gradient = vec![0.0; parameters.data.len()];
    gradient[5] = 3.0;
    gradient[100_000] = -4.0;
    let long = optimizer.step(&mut parameters.data, &gradient, 1.0);
    assert_eq!((long.grad_norm, long.grad_scale), (5.0, 0.2));
    gradient[5] = 0.3;
    gradient[100_000] = 0.4;
    let short = optimizer.step(&mut parameters.data, &gradient, 1.0);
    assert!((short.grad_norm - 0.5).abs() < 1e-6 && short.grad_scale == 1.0);
}

#[test]
fn a_gradient_that_is_not_finite_changes_nothing() {
    let mut parameters = model();
    let before = parameters.data.clone();
    let mut optimizer = Optimizer::new(muon(), parameters.layout.specs());
    let mut gradient = gradient(&parameters, 1);
    gradient[77] = f32::NAN;
    let stats = optimizer.step(&mut parameters.data, &gradient, 1.0);
    assert!(!stats.applied && optimizer.steps() == 0);
    assert_eq!(parameters.data, before);
}

#[test]
fn muon_moves_hidden_matrices_by_an_orthogonal_step_and_leaves_the_rest_to_adamw() {
    let mut parameters = model();
    let before = parameters.clone();
    let config = OptimizerConfig {
        weight_decay: 0.0,
        ..muon()
    };
    let gradient = gradient(&parameters, 2);
    Optimizer::new(config, parameters.layout.specs()).step(&mut parameters.data, &gradient, 1.0);
    let mut adamw = before.clone();
    let config = OptimizerConfig {
        kind: OptimizerKind::Adamw,
        ..config
    };
    Optimizer::new(config, adamw.layout.specs()).step(&mut adamw.data, &gradient, 1.0);

    for spec in before.layout.specs() {
        if !spec.kind.is_hidden_matrix() {
            assert_eq!(parameters.slice(spec), adamw.slice(spec), "{}", spec.name);
            continue;
        }
        // An orthogonal [r, c] matrix has a Frobenius norm of sqrt(min(r, c)).
        let (rows, columns) = (spec.shape[0] as f32, spec.shape[1] as f32);
        let moved = parameters
            .slice(spec)
            .iter()
            .zip(before.slice(spec))
            .map(|(a, b)| (a - b).powi(2));
        let found = moved.sum::<f32>().sqrt();
        let expected = 0.02 * (rows / columns).max(1.0).sqrt() * rows.min(columns).sqrt();
        assert!(
            (0.75..1.2).contains(&(found / expected)),
            "{}: {found} for {expected}",
            spec.name
        );
    }
}

#[test]
fn the_same_steps_give_the_same_bits_and_a_restored_optimiser_goes_on_as_if_never_stopped() {
    for config in [OptimizerConfig::default(), muon()] {
        let run = |interrupted: bool| {
            let mut parameters = model();
            let mut optimizer = Optimizer::new(config, parameters.layout.specs());
            for step in 0..4 {
                if interrupted && step == 2 {
                    let folder = tempfile::tempdir().expect("a temporary folder");
                    let file = folder.path().join("optimizer.safetensors");
                    (optimizer.state())
                        .expect("it is here")
                        .save(&file)
                        .expect("the state is written");
                    optimizer = Optimizer::new(config, parameters.layout.specs());
                    let state = OptimizerState::load(&file).expect("the state is read");
                    optimizer.restore(state).expect("the state fits");
                }
                let gradient = gradient(&parameters, step);
                optimizer.step(&mut parameters.data, &gradient, 0.7);
            }
            parameters
                .data
                .iter()
                .map(|value| value.to_bits())
                .collect::<Vec<_>>()
        };
        let unbroken = run(false);
        assert!(unbroken == run(false), "{:?}: two runs differ", config.kind);
        assert!(
            unbroken == run(true),
            "{:?}: a resumed run differs",
            config.kind
        );
    }
}

#[test]
fn a_state_of_another_optimiser_is_refused() {
    let parameters = model();
    let muon = Optimizer::new(muon(), parameters.layout.specs());
    let mut adamw = Optimizer::new(OptimizerConfig::default(), parameters.layout.specs());
    let message = adamw
        .restore(muon.state().expect("it is here"))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("`second-moment` has ") && message.contains("hint: resume with"),
        "{message}"
    );
}

#[test]
fn a_misspelt_or_meaningless_setting_is_refused() {
    let misspelt = serde_json::from_str::<OptimizerConfig>(r#"{"lerning-rate": 1.0}"#);
    assert!(
        misspelt
            .unwrap_err()
            .to_string()
            .contains("`learning-rate`")
    );
    let wrong = OptimizerConfig {
        betas: [1.0, 0.9],
        ..OptimizerConfig::default()
    };
    assert_eq!(
        wrong.check().unwrap_err().to_string(),
        "`betas` is 1, expected a number from 0 up to, not including, 1"
    );
    assert!(OptimizerConfig::default().check().is_ok());
}
