//! Paths as configs and arguments write them: a part that begins with `$` is an environment
//! variable, so that a config can be shared between machines.

use std::path::{Component, Path, PathBuf};

use crate::exit::UsageError;

/// The path with its variables replaced.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, UsageError> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the environment enters through the binary"
    )]
    resolve_with(path, |name| std::env::var(name).ok())
}

fn resolve_with(
    path: &Path,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<PathBuf, UsageError> {
    let part = |component: Component<'_>| match component.as_os_str().to_str() {
        Some(text) if text.starts_with('$') => match variable(&text[1..]) {
            Some(value) => Ok(PathBuf::from(value)),
            None => Err(UsageError(format!(
                "`{}`: the environment variable `{}` is not set\nhint: set it, or give the path \
                 in full",
                path.display(),
                &text[1..]
            ))),
        },
        _ => Ok(PathBuf::from(component.as_os_str())),
    };
    path.components().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_begins_with_a_dollar_is_a_variable() {
        let variable = |name: &str| (name == "DATA").then(|| "/there".to_owned());
        let resolve = |path: &str| resolve_with(Path::new(path), variable);
        assert_eq!(
            resolve("$DATA/x.jsonl").expect("set"),
            Path::new("/there/x.jsonl")
        );
        assert_eq!(resolve("a/b").expect("no variable"), Path::new("a/b"));
        let error = resolve("$NONE/x").expect_err("not set");
        assert!(error.0.contains("`NONE` is not set"), "{error}");
    }
}
