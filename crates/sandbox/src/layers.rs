//! What stands between a tool and the machine, layer by layer: which of them hold here, and why
//! one does not.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Isolation, Pool, PythonConfig, SandboxConfig, SandboxError};

/// Every layer by its name in `sandbox.require`, and what it is for.
const LAYERS: [(&str, &str); 5] = [
    (
        "limits",
        "memory, size of files, open files, processor time",
    ),
    ("no-new-privs", "no program gives it more rights"),
    ("capabilities", "none of root's powers"),
    (
        "landlock",
        "reads the interpreter, writes into its own folder, sees no other file",
    ),
    (
        "seccomp",
        "no connection, no process, no signal, no program, no mount",
    ),
];

/// One layer on this machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// Its name in `sandbox.require`.
    pub name: &'static str,
    /// Whether it held when a process tried to get past it.
    pub active: bool,
    /// What it is for; of one that is not active, why.
    pub what: String,
}

/// What `pact doctor` says of the sandbox.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The program that runs the tools.
    pub interpreter: String,
    /// Its version, `3.11.7`.
    pub version: String,
    /// What stands around the processes, beside the layers.
    pub isolation: Isolation,
    /// Every layer.
    pub layers: Vec<Layer>,
    /// Whether all that `sandbox.require` names is there; if not, the error that a run would
    /// end with.
    pub missing: Option<String>,
}

/// Starts a sandbox of this config and tries its layers. What is required and not there is told
/// in the report; an error is an interpreter or an isolation that does not start.
pub fn doctor(python: &PythonConfig, sandbox: &SandboxConfig) -> Result<Report, SandboxError> {
    let anything = SandboxConfig {
        require: Vec::new(),
        ..sandbox.clone()
    };
    let pool = Pool::new(python.clone(), anything)?;
    let (major, minor, patch) = pool.interpreter().version;
    Ok(Report {
        interpreter: pool.interpreter().program.display().to_string(),
        version: format!("{major}.{minor}.{patch}"),
        isolation: sandbox.isolation,
        layers: pool.layers().to_vec(),
        missing: check(sandbox, pool.layers())
            .err()
            .map(|error| error.to_string()),
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let isolation = self.isolation.name();
        writeln!(f, "python        {} ({})", self.version, self.interpreter)?;
        writeln!(f, "isolation     {isolation}")?;
        for layer in &self.layers {
            let state = if layer.active { "active" } else { "MISSING" };
            writeln!(f, "{:<13} {state:<8} {}", layer.name, layer.what)?;
        }
        match &self.missing {
            Some(missing) => writeln!(f, "{missing}"),
            None => Ok(()),
        }
    }
}

/// The layers by what a child found when it tried them (`held`) and by what could not be set up
/// (`problems`).
pub(crate) fn judge(held: &Map<String, Value>, problems: &Map<String, Value>) -> Vec<Layer> {
    LAYERS
        .iter()
        .map(|&(name, purpose)| {
            let problem = problems.get(name).and_then(Value::as_str);
            let active = problem.is_none() && held.get(name) == Some(&Value::Bool(true));
            let what = match problem {
                Some(problem) => problem.to_owned(),
                None if active => purpose.to_owned(),
                None => "it was set up, and did not hold when tried".to_owned(),
            };
            Layer { name, active, what }
        })
        .collect()
}

/// Whether everything required is there.
pub(crate) fn check(sandbox: &SandboxConfig, layers: &[Layer]) -> Result<(), SandboxError> {
    let require = &sandbox.require;
    let names: Vec<&str> = layers.iter().map(|layer| layer.name).collect();
    let is_full = require.iter().any(|name| name == "full");
    let mut named = sandbox.without.iter().chain(require);
    if let Some(unknown) = named.find(|it| *it != "full" && !names.contains(&it.as_str())) {
        return Err(SandboxError::Missing(format!(
            "there is no layer `{unknown}`, expected `full` or some of `{}`",
            names.join("`, `")
        )));
    }
    let missing: Vec<String> = layers
        .iter()
        .filter(|layer| !layer.active && (is_full || require.iter().any(|it| it == layer.name)))
        .map(|layer| format!("`{}` ({})", layer.name, layer.what))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(SandboxError::Missing(format!(
        "this machine lacks {}\nhint: `pact doctor` says what it has; require less only where you \
         trust the tools",
        missing.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn layers() -> Vec<Layer> {
        let held = json!({"limits": true, "no-new-privs": true, "seccomp": false});
        let problems = json!({"landlock": "the kernel has none"});
        judge(held.as_object().unwrap(), problems.as_object().unwrap())
    }

    fn require(layers_required: &[&str]) -> Result<(), SandboxError> {
        let sandbox = SandboxConfig {
            require: layers_required.iter().map(|&it| it.to_owned()).collect(),
            ..SandboxConfig::default()
        };
        check(&sandbox, &layers())
    }

    fn refused(layers_required: &[&str]) -> String {
        require(layers_required).unwrap_err().to_string()
    }

    #[test]
    fn a_layer_is_active_when_it_was_set_up_and_held() {
        let active: Vec<bool> = layers().iter().map(|layer| layer.active).collect();
        assert_eq!(active, [true, true, false, false, false]);
        assert_eq!(layers()[3].what, "the kernel has none");
        assert_eq!(
            layers()[4].what,
            "it was set up, and did not hold when tried"
        );
    }

    #[test]
    fn what_is_required_and_not_there_is_named_with_its_reason() {
        assert!(require(&[]).is_ok());
        assert!(require(&["limits"]).is_ok());
        let landlock = refused(&["limits", "landlock"]);
        assert!(landlock.starts_with(
            "`sandbox.require`: this machine lacks `landlock` (the kernel has none)\nhint: "
        ));
        assert!(refused(&["full"]).contains("`seccomp` (it was set up"));
        assert_eq!(
            refused(&["seccmop"]),
            "`sandbox.require`: there is no layer `seccmop`, expected `full` or some of `limits`, \
             `no-new-privs`, `capabilities`, `landlock`, `seccomp`"
        );
    }
}
