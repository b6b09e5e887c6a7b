//! Why a step was skipped, as text.

use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use episode::{NotFinite, Refused, Skipped};

use crate::ReportError;

/// What a file `skipped/step-NNNNNN.jsonl` of a run folder says, in a few lines.
pub fn skipped_text(file: &Path) -> Result<String, ReportError> {
    let path = || file.to_owned();
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(ReportError::NotSkipped { path: path() });
        }
        text => text.map_err(|source| ReportError::Read {
            path: path(),
            source,
        })?,
    };
    let mut lines = text.lines();
    let skipped: Skipped =
        serde_json::from_str(lines.next().unwrap_or_default()).map_err(|source| {
            ReportError::Line {
                path: path(),
                line: 1,
                expected: "why a step was skipped",
                source,
            }
        })?;
    let mut said = format!(
        "step {} was skipped: its weights stayed as they were\n",
        skipped.step
    );
    said += &refusals_text(&skipped);
    let _ = writeln!(
        said,
        "its {} tasks: {}\n{} episodes: `--task` shows one of them",
        skipped.tasks.len(),
        skipped.tasks.join(", ").escape_debug(),
        lines.count()
    );
    Ok(said)
}

/// What was not finite, and whose loss: a line for each update that was not made, with lines below.
pub fn refusals_text(skipped: &Skipped) -> String {
    let mut said = String::new();
    for refused in &skipped.refused {
        refusal(&mut said, refused);
    }
    said
}

fn refusal(said: &mut String, refused: &Refused) {
    let what = match refused.what {
        NotFinite::LogProbabilities => "log-probabilities were",
        NotFinite::Loss => "the loss was",
        NotFinite::Gradient => "the gradient was",
    };
    let norm = refused
        .grad_norm
        .map(|norm| format!(", the gradient's norm {norm:.3e}"));
    let _ = writeln!(said, "  {what} not finite{}", norm.unwrap_or_default());
    for culprit in &refused.losses {
        let task = culprit.task.escape_debug();
        let _ = match culprit.sample {
            Some(sample) => writeln!(said, "    the loss of task {task}, sample {sample}"),
            None => writeln!(said, "    the loss of task {task}, its trace"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_step_says_what_was_not_finite_and_whose_loss() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("step-000007.jsonl");
        let top = r#"{"step":7,"tasks":["a","b"],"refused":[{"what":"loss","grad-norm":2.5,
            "losses":[{"task":"a","sample":1},{"task":"b"}]},{"what":"gradient"}]}"#;
        fs::write(&file, format!("{}\n{{}}\n{{}}\n", top.replace('\n', ""))).expect("a file");
        assert_eq!(
            skipped_text(&file).expect("a skipped step"),
            "step 7 was skipped: its weights stayed as they were\n\
             \x20 the loss was not finite, the gradient's norm 2.500e0\n\
             \x20   the loss of task a, sample 1\n\
             \x20   the loss of task b, its trace\n\
             \x20 the gradient was not finite\n\
             its 2 tasks: a, b\n2 episodes: `--task` shows one of them\n"
        );
        let missing = skipped_text(&folder.path().join("step-000008.jsonl"));
        let missing = missing.expect_err("no such step").to_string();
        assert!(missing.contains("was not skipped"), "{missing}");
    }
}
