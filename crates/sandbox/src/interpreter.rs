//! Where the interpreter itself is, and what it is made of.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::{PythonConfig, SandboxError};

/// What users call `python3` may be a script that finds it through the environment, which tools
/// do not have; so it is asked itself. The paths are what it needs of the disk to run: folders of
/// modules, and the prefixes that are its own (`/usr` is not).
const QUESTION: &str = r#"
import json, os, sys
paths = set(sys.path) | {os.path.dirname(os.__file__)}
for prefix in {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}:
    if prefix not in ("/", "/usr", "/usr/local"):
        paths.add(prefix)
print(json.dumps({
    "program": sys.executable,
    "version": list(sys.version_info[:3]),
    "paths": sorted(path for path in paths if os.path.isabs(path)),
}))
"#;
const OLDEST: (u32, u32) = (3, 9);

/// An interpreter that runs.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Interpreter {
    pub(crate) program: PathBuf,
    pub(crate) version: (u32, u32, u32),
    pub(crate) paths: Vec<PathBuf>,
}

impl Interpreter {
    pub(crate) fn find(config: &PythonConfig) -> Result<Self, SandboxError> {
        let failed = |problem: String| SandboxError::Python {
            program: config.interpreter.clone(),
            problem,
        };
        let output = Command::new(&config.interpreter)
            .args(["-I", "-B", "-c", QUESTION])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(failed(format!("{} {complaint}", output.status)));
        }
        let found: Self = serde_json::from_slice(&output.stdout)
            .map_err(|error| failed(format!("it does not say where it is: {error}")))?;
        let (major, minor, _) = found.version;
        if (major, minor) < OLDEST {
            return Err(failed(format!("it is Python {major}.{minor}")));
        }
        Ok(found)
    }
}
