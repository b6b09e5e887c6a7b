//! The tests of a file, on every set of vector instructions that this machine has.

use std::process::Command;

use model::Instructions;

const VARIABLE: &str = "PACT_INSTRUCTIONS";

/// Makes this process use the set that the environment names, if it names one.
pub(crate) fn choose_instructions() {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test asks itself for another set of instructions"
    )]
    if let Ok(name) = std::env::var(VARIABLE) {
        Instructions::choose(&name).expect("a set that this machine has");
    }
}

/// Runs this file's tests once more with each set, but for the one called `this`.
pub(crate) fn on_every_set_of_instructions(this: &str) {
    let itself = std::env::current_exe().expect("a test knows its program");
    for set in Instructions::ALL.into_iter().filter(|set| set.exists()) {
        let output = Command::new(&itself)
            .env(VARIABLE, set.name())
            .args(["--skip", this])
            .output()
            .expect("a test runs itself");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "with {}:\n{text}", set.name());
        println!("{}: as expected", set.name());
    }
}
