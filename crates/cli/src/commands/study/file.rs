//! A study's file: which methods are compared, with which seeds, and what is searched for
//! first. Knows no run and no folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use episode::EvaluationMode;
use serde::Deserialize;
use toml::Spanned;

use crate::exit::UsageError;
use crate::suggestion;

/// A grid of runs, methods times seeds, which share a config and differ in what is compared.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct StudyFile {
    /// The config that all runs share, relative to the study's file.
    pub(super) config: PathBuf,
    /// The seeds of every method.
    pub(super) seeds: Vec<u64>,
    /// Runs at once; each takes its share of the machine's threads.
    #[serde(default = "one")]
    pub(super) jobs: usize,
    /// The method that all others are compared with.
    pub(super) baseline: String,
    /// A second method that all others are compared with.
    pub(super) reference: Option<String>,
    /// The metric of tables and curves, by the suite's name for it.
    #[serde(default = "solve_f1")]
    pub(super) metric: String,
    /// A run that makes the model that all others begin with.
    pub(super) before: Option<Before>,
    /// What is searched for, for every method alike, before its runs.
    pub(super) search: Option<Search>,
    /// What is compared, by name, in the file's order.
    methods: BTreeMap<String, Spanned<Method>>,
}

/// A run that makes the model that all others begin with.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Before {
    /// Its config, relative to the study's file.
    pub(super) config: PathBuf,
    /// Keys of the config to change, as after `--set`.
    #[serde(default)]
    pub(super) set: Vec<String>,
}

/// The same search for every method: the value whose runs score highest on data that the
/// study's own runs are not measured on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Search {
    /// The config's key that is searched for.
    pub(super) key: String,
    /// What it may be. Of values that score the same the first is taken.
    pub(super) values: Vec<toml::Value>,
    /// The seeds of the search's runs, over which the score is averaged.
    pub(super) seeds: Vec<u64>,
    /// The metric of the last evaluation that decides; the study's if not set.
    pub(super) metric: Option<String>,
    /// How that evaluation chose its tokens: `greedy` or `sampled`.
    pub(super) mode: EvaluationMode,
    /// What the search's runs change beside what their method does: validation data, say.
    #[serde(default)]
    pub(super) set: Vec<String>,
}

/// One way to train.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Method {
    /// Keys of the config to change, as after `--set`.
    #[serde(default)]
    pub(super) set: Vec<String>,
    /// Whether it takes part in the search, or takes over what `like` found.
    #[serde(default = "yes")]
    pub(super) search: bool,
    /// A method whose settings it begins from and whose searched value it takes.
    pub(super) like: Option<String>,
    /// A method that it goes on from: from the last checkpoint of the run of the same seed.
    pub(super) after: Option<String>,
    /// Its own seeds.
    pub(super) seeds: Option<Vec<u64>>,
    /// The table that it stands in.
    #[serde(default = "methods")]
    pub(super) group: String,
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

fn solve_f1() -> String {
    "solve-f1".to_owned()
}

fn methods() -> String {
    "methods".to_owned()
}

/// A study's file as it was read.
pub(super) struct Study {
    /// Where it lies.
    pub(super) path: PathBuf,
    /// Its first line: the sentence that it proves.
    pub(super) sentence: String,
    pub(super) file: StudyFile,
    /// By name, in the file's order.
    pub(super) methods: Vec<(String, Method)>,
}

impl Study {
    pub(super) fn read(path: &Path) -> Result<Self, UsageError> {
        let at = path.display();
        let text = fs::read_to_string(path).map_err(|error| {
            UsageError(format!(
                "`{at}`: {error}\nhint: `pact study --help` shows what such a file holds"
            ))
        })?;
        let file: StudyFile = toml::from_str(&text).map_err(|error| {
            let place = error.span().map_or(String::new(), |span| {
                format!(", line {}", 1 + text[..span.start].matches('\n').count())
            });
            let hint = suggestion::hint_of_message(error.message());
            UsageError(format!(
                "`{at}`{place}: {}{hint}",
                error.message().trim_end()
            ))
        })?;
        let mut methods: Vec<_> = file.methods.clone().into_iter().collect();
        methods.sort_by_key(|(_, method)| method.span().start);
        let first = text.lines().next().unwrap_or_default();
        let study = Self {
            path: path.to_owned(),
            sentence: first
                .strip_prefix("# ")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            methods: (methods.into_iter())
                .map(|(name, method)| (name, method.into_inner()))
                .collect(),
            file,
        };
        let problems = study.problems();
        match problems.is_empty() {
            true => Ok(study),
            false => Err(UsageError(format!("`{at}`: {}", problems.join("\n  ")))),
        }
    }

    pub(super) fn method(&self, name: &str) -> &Method {
        let (_, method) = (self.methods.iter().find(|(other, _)| other == name))
            .expect("a study that was read names methods that it has");
        method
    }

    /// A path that the file names, from where the file lies.
    pub(super) fn relative(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    /// The method and those it is `like`, the outermost first.
    pub(super) fn line<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        let mut line = vec![name];
        while let Some(like) = &self.method(line[line.len() - 1]).like {
            line.push(like);
        }
        line.reverse();
        line
    }

    /// The method whose search tells the method's value; `None` where none does.
    pub(super) fn searched<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.file.search.as_ref()?;
        let method = self.method(name);
        match &method.like {
            _ if !method.search => None,
            Some(like) => self.searched(like),
            None => Some(name),
        }
    }

    /// The method that a method goes on from.
    pub(super) fn after(&self, name: &str) -> Option<&str> {
        let method = self.method(name);
        match (&method.after, &method.like) {
            (Some(after), _) => Some(after),
            (None, Some(like)) => self.after(like),
            (None, None) => None,
        }
    }

    pub(super) fn seeds<'a>(&'a self, method: &'a Method) -> &'a [u64] {
        method.seeds.as_ref().unwrap_or(&self.file.seeds)
    }

    /// The groups of methods, in the file's order.
    pub(super) fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<&str> = Vec::new();
        for (_, method) in &self.methods {
            if !groups.contains(&method.group.as_str()) {
                groups.push(&method.group);
            }
        }
        groups
    }

    /// All that is wrong with the file itself.
    fn problems(&self) -> Vec<String> {
        let mut problems = self.unknown_methods();
        if !problems.is_empty() {
            return problems;
        }
        if self.sentence.is_empty() {
            problems.push(
                "the first line is no comment, expected `# ` and the sentence that the study proves"
                    .to_owned(),
            );
        }
        if self.file.jobs == 0 {
            problems.push("`jobs` is 0, expected 1 or more".to_owned());
        }
        let mut lists = vec![("seeds".to_owned(), Some(&self.file.seeds))];
        if let Some(search) = &self.file.search {
            lists.push(("search.seeds".to_owned(), Some(&search.seeds)));
            if search.values.is_empty() {
                problems.push("`search.values` is empty".to_owned());
            }
        }
        for (name, method) in &self.methods {
            lists.push((format!("methods.{name}.seeds"), method.seeds.as_ref()));
        }
        for (key, seeds) in lists {
            problems.extend(seeds.and_then(|seeds| wrong_seeds(&key, seeds)));
        }
        problems.extend(self.same_folders());
        problems.extend(self.wrong_beginnings());
        problems
    }

    fn unknown_methods(&self) -> Vec<String> {
        let names = || self.methods.iter().map(|(name, _)| name.as_str());
        let mut named = vec![("baseline".to_owned(), Some(&self.file.baseline))];
        named.push(("reference".to_owned(), self.file.reference.as_ref()));
        for (name, method) in &self.methods {
            named.push((format!("methods.{name}.like"), method.like.as_ref()));
            named.push((format!("methods.{name}.after"), method.after.as_ref()));
        }
        let mut problems: Vec<String> = named
            .into_iter()
            .filter_map(|(key, name)| Some((key, name?)))
            .filter(|(_, wanted)| !names().any(|name| name == wanted.as_str()))
            .map(|(key, wanted)| {
                let hint = suggestion::hint(wanted, names());
                format!("`{key}` is `{wanted}`, which is no method of the study{hint}")
            })
            .collect();
        if problems.is_empty() {
            problems.extend(names().filter(|name| self.is_circular(name)).map(|name| {
                format!("`methods.{name}` is `like` or `after` a method that comes back to it")
            }));
        }
        problems
    }

    /// Whether following `like` and `after` from a method leads back to it.
    fn is_circular(&self, name: &str) -> bool {
        let mut seen: Vec<&str> = Vec::new();
        let mut open = vec![name];
        while let Some(next) = open.pop() {
            let method = self.method(next);
            for further in [&method.like, &method.after].into_iter().flatten() {
                if further == name {
                    return true;
                }
                if !seen.contains(&further.as_str()) {
                    seen.push(further);
                    open.push(further);
                }
            }
        }
        false
    }

    /// A method that goes on from another needs that one's runs of the same seeds.
    fn wrong_beginnings(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, method) in &self.methods {
            let Some(after) = self.after(name) else {
                continue;
            };
            let theirs = self.seeds(self.method(after));
            if let Some(seed) = self.seeds(method).iter().find(|it| !theirs.contains(it)) {
                problems.push(format!(
                    "`methods.{name}` goes on from `{after}`, which has no run of seed {seed}"
                ));
            }
            let is_searched = self.searched(name) == Some(name);
            if is_searched && self.searched(after) != Some(after) {
                problems.push(format!(
                    "`methods.{name}` is searched for and goes on from `{after}`, which is \
                     not\nhint: `search = false`, with the value in its `set`"
                ));
            }
        }
        problems
    }

    fn same_folders(&self) -> Vec<String> {
        let mut names = BTreeMap::<String, &str>::new();
        let mut problems = Vec::new();
        for (name, _) in &self.methods {
            let taken = names.insert(folder_name(name), name);
            let reserved = ["before", "search", "report"].contains(&folder_name(name).as_str());
            if reserved {
                problems.push(format!("`methods.{name}` has a name that the study needs"));
            }
            if let Some(other) = taken {
                problems.push(format!(
                    "`methods.{name}` and `methods.{other}` would share the folder `{}`",
                    folder_name(name)
                ));
            }
        }
        problems
    }
}

fn wrong_seeds(key: &str, seeds: &[u64]) -> Option<String> {
    let mut sorted = seeds.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    match seeds {
        [] => Some(format!("`{key}` is empty, expected one seed or more")),
        _ if sorted.len() < seeds.len() => Some(format!("`{key}` names a seed twice")),
        _ => None,
    }
}

/// A name as a folder's: what is no letter, digit, dot, dash or underscore becomes a dash.
pub(super) fn folder_name(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' => c,
            _ => '-',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::study::FILE;

    fn read(text: &str) -> Result<Study, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("study.toml");
        fs::write(&file, text).expect("a file in it");
        let lies_in = format!("{}/", folder.path().display());
        Study::read(&file).map_err(|error| error.0.replace(&lies_in, ""))
    }

    fn check_refused(text: &str, expected: &str) {
        let text = format!("# It proves.\nconfig = \"c\"\n{text}");
        let message = read(&text).err().unwrap_or_else(|| panic!("{text}"));
        assert_eq!(message, expected);
    }

    #[test]
    fn the_help_of_a_study_is_a_study_that_has_every_key() {
        let study = read(FILE).expect("the help's example");
        let names: Vec<&str> = study.methods.iter().map(|(name, _)| &**name).collect();
        let expected = ["base", "sft", "pact", "sft, then grpo", "pact, q = 0"];
        assert_eq!(names, expected, "the file's order");
        assert_eq!(study.groups(), ["methods", "ablations"]);
        assert_eq!(study.searched("base"), None);
        assert_eq!(study.searched("pact, q = 0"), Some("pact"));
        assert_eq!(study.line("pact, q = 0"), ["pact", "pact, q = 0"]);
        assert_eq!(study.after("sft, then grpo"), Some("sft"));

        // serde names every key that it expected.
        for table in ["", "[before]\n", "[search]\n", "[methods.x]\n"] {
            let message = match toml::from_str::<StudyFile>(&format!("{table}nonsense = 1")) {
                Err(error) => error.message().to_owned(),
                Ok(_) => panic!("there is no key `nonsense`"),
            };
            let keys: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
            assert!(!keys.is_empty(), "{message}");
            for key in keys {
                let is_there = |line: &str| {
                    line.starts_with(&format!("{key} = ")) || line.starts_with(&format!("[{key}"))
                };
                assert!(FILE.lines().any(is_there), "`{key}`");
            }
        }
    }

    #[test]
    fn a_file_that_cannot_be_meant_is_refused_with_all_that_is_wrong() {
        let one = "seeds = [1]\nbaseline = \"a\"\n";
        check_refused(
            &format!("{one}[methods.b]\nlike = \"c\""),
            "`study.toml`: `baseline` is `a`, which is no method of the study\n  \
             `methods.b.like` is `c`, which is no method of the study",
        );
        check_refused(
            &format!("{one}[methods.a]\nlike = \"b\"\n[methods.b]\nafter = \"a\""),
            "`study.toml`: `methods.a` is `like` or `after` a method that comes back to it\n  \
             `methods.b` is `like` or `after` a method that comes back to it",
        );
        check_refused(
            "seeds = [1, 1]\njobs = 0\nbaseline = \"a\"\n[methods.a]\nseeds = []\n\
             [methods.\"x y\"]\n[methods.\"x=y\"]\nafter = \"a\"",
            "`study.toml`: `jobs` is 0, expected 1 or more\n  `seeds` names a seed twice\n  \
             `methods.a.seeds` is empty, expected one seed or more\n  \
             `methods.x=y` and `methods.x y` would share the folder `x-y`\n  \
             `methods.x=y` goes on from `a`, which has no run of seed 1",
        );
        check_refused(
            &format!("{one}[methods.a]\nserch = true"),
            "`study.toml`, line 6: unknown field `serch`, expected one of `set`, `search`, \
             `like`, `after`, `seeds`, `group`\nhint: did you mean `search`?",
        );
    }
}
