//! What each key of the config is for, taken from the one place that says so: the doc
//! comments of the config types, whose sources the binary carries. Knows no values.

use std::sync::LazyLock;

/// The sources of config types, by the module that other modules name them by.
const SOURCES: &[(&str, &str)] = &[
    ("", include_str!("config.rs")),
    ("sandbox", include_str!("../../sandbox/src/config.rs")),
    ("bfcl", include_str!("../../bfcl/src/suite/options.rs")),
    ("bfcl", include_str!("../../bfcl/src/search/options.rs")),
    ("remote::own", include_str!("../../remote/src/own/mod.rs")),
    ("remote::own", include_str!("../../env/src/own/suite.rs")),
    (
        "remote::own",
        include_str!("../../remote/src/mcp/config.rs"),
    ),
    (
        "remote::own",
        include_str!("../../remote/src/http_env/config.rs"),
    ),
    ("", include_str!("../../env/src/toolhop/scenario.rs")),
    ("world", include_str!("../../env/src/world/config.rs")),
    ("chat", include_str!("../../chat/src/config.rs")),
    ("rollout", include_str!("../../rollout/src/config.rs")),
    ("rollout", include_str!("../../env/src/protocol.rs")),
    ("objective", include_str!("../../objective/src/config.rs")),
    ("objective", include_str!("../../objective/src/anneal.rs")),
    (
        "objective",
        include_str!("../../objective/src/importance.rs"),
    ),
    ("objective", include_str!("../../objective/src/kl.rs")),
    ("reward", include_str!("../../env/src/reward/config.rs")),
    ("model", include_str!("../../model/src/adapter.rs")),
    ("model", include_str!("../../model/src/optimizer.rs")),
    ("model", include_str!("../../model/src/schedule.rs")),
    ("model", include_str!("../../model/src/shard.rs")),
    ("train", include_str!("../../train/src/config.rs")),
];

/// One key or table of the config.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// From the top, `rollout.group-size`; empty for the config itself.
    pub(crate) key: String,
    /// The doc comment, line by line.
    pub(crate) doc: Vec<String>,
    pub(crate) kind: Kind,
    /// What a value can be, where that is one of several names, each with its doc comment.
    pub(crate) choices: Vec<(String, Vec<String>)>,
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Further keys.
    Table,
    /// One of several tables.
    Choice,
    /// A value, described in words.
    Value(String),
}

/// Every key of a config, in the order of its types' fields, each table before its keys.
pub(crate) struct Schema {
    pub(crate) entries: Vec<Entry>,
}

static RUN: LazyLock<Schema> = LazyLock::new(|| {
    let types = SOURCES
        .iter()
        .flat_map(|(module, source)| parse(module, source))
        .collect();
    let mut walk = Walk {
        types,
        entries: Vec::new(),
    };
    walk.enter("", "", "RunConfig", &[]);
    Schema {
        entries: walk.entries,
    }
});

impl Schema {
    /// The schema of a run's config.
    pub(crate) fn of_run() -> &'static Self {
        &RUN
    }

    pub(crate) fn find(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Whether a table is one of several.
    pub(crate) fn is_choice(&self, key: &str) -> bool {
        self.find(key)
            .is_some_and(|entry| entry.kind == Kind::Choice)
    }

    /// The keys directly below a table.
    pub(crate) fn below(&self, key: &str) -> impl Iterator<Item = &Entry> {
        let prefix = match key {
            "" => String::new(),
            key => format!("{key}."),
        };
        self.entries.iter().filter(move |entry| {
            let rest = entry.key.strip_prefix(prefix.as_str());
            rest.is_some_and(|rest| !rest.is_empty() && !rest.contains('.'))
        })
    }
}

/// A config type as its source declares it.
struct Declared {
    module: String,
    name: String,
    doc: Vec<String>,
    is_enum: bool,
    fields: Vec<Field>,
}

impl Declared {
    /// An enum's names in words, and each with its text.
    fn choices(&self) -> (String, Vec<(String, Vec<String>)>) {
        let names = self.fields.iter().map(|it| format!("\"{}\"", it.name));
        let choices = self.fields.iter();
        let choices = choices.map(|it| (it.name.clone(), it.doc.clone()));
        (names.collect::<Vec<_>>().join(" or "), choices.collect())
    }
}

/// A field, or an enum's variant; a variant that holds nothing has no type.
struct Field {
    name: String,
    doc: Vec<String>,
    type_name: String,
}

/// The structs and enums of a source file. Reads the plain layout that rustfmt gives them.
fn parse(module: &str, source: &str) -> Vec<Declared> {
    let mut types: Vec<Declared> = Vec::new();
    let mut is_inside = false;
    let mut doc = Vec::new();
    for line in source.lines() {
        let text = line.trim();
        if let Some(comment) = text.strip_prefix("///") {
            doc.push(comment.strip_prefix(' ').unwrap_or(comment).to_owned());
        } else if let Some((is_enum, name)) = opening(line) {
            is_inside = true;
            types.push(Declared {
                module: module.to_owned(),
                name: name.to_owned(),
                doc: std::mem::take(&mut doc),
                is_enum,
                fields: Vec::new(),
            });
        } else if line.starts_with('}') {
            is_inside = false;
        } else if is_inside && !text.starts_with(['#', '/']) && !text.is_empty() {
            let declared = types.last_mut().expect("a line inside a type");
            let field = field(text, std::mem::take(&mut doc), declared.is_enum);
            declared.fields.push(field);
        } else if !text.starts_with("#[") {
            doc.clear();
        }
    }
    types
}

fn opening(line: &str) -> Option<(bool, &str)> {
    let rest = line.trim_end().strip_suffix(" {")?;
    let rest = rest
        .strip_prefix("pub(crate) ")
        .or(rest.strip_prefix("pub "))?;
    let (keyword, name) = rest.split_once(' ')?;
    match keyword {
        "struct" => Some((false, name)),
        "enum" => Some((true, name)),
        _ => None,
    }
}

fn field(text: &str, doc: Vec<String>, is_variant: bool) -> Field {
    let text = text.trim_end_matches(',');
    let (name, type_name) = if is_variant {
        let (name, rest) = text.split_once('(').unwrap_or((text, ""));
        (kebab(name), rest.trim_end_matches(')'))
    } else {
        let text = text
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub ");
        let (name, type_name) = text.split_once(": ").unwrap_or((text, ""));
        (name.replace('_', "-"), type_name)
    };
    Field {
        name,
        doc,
        type_name: type_name.to_owned(),
    }
}

/// `TurnLimit` as serde's kebab-case writes it: `turn-limit`.
fn kebab(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// The entries so far, on the way from the config's type down to its values.
struct Walk {
    types: Vec<Declared>,
    entries: Vec<Entry>,
}

impl Walk {
    /// Adds a key of type `type_name` as a file of `module` names it, and all keys below.
    fn enter(&mut self, key: &str, module: &str, type_name: &str, doc: &[String]) {
        let inner = (type_name.strip_prefix("Option<"))
            .and_then(|rest| rest.strip_suffix('>'))
            .unwrap_or(type_name);
        if let Some(named) = within(inner, "BTreeMap<String, ")
            && self.declaration(module, named).is_some()
        {
            self.add(key, doc, Kind::Table);
            return self.enter(&format!("{key}.NAME"), module, named, &[]);
        }
        if let Some(place) = within(inner, "Vec<").and_then(|it| self.declaration(module, it)) {
            let (names, choices) = self.types[place].choices();
            self.add(key, doc, Kind::Value(format!("a list of {names}")));
            self.entries.last_mut().expect("just added").choices = choices;
            return;
        }
        let Some(place) = self.declaration(module, inner) else {
            let words = in_words(inner).to_owned();
            return self.add(key, doc, Kind::Value(words));
        };
        let declared = &self.types[place];
        let doc = if doc.is_empty() { &declared.doc } else { doc }.to_vec();
        let holds_nothing = |field: &Field| field.type_name.is_empty();
        if declared.is_enum && declared.fields.iter().all(holds_nothing) {
            let (names, choices) = declared.choices();
            self.add(key, &doc, Kind::Value(names));
            self.entries.last_mut().expect("just added").choices = choices;
            return;
        }
        let kind = match declared.is_enum {
            true => Kind::Choice,
            false => Kind::Table,
        };
        let module = declared.module.clone();
        let below: Vec<_> = (declared.fields.iter())
            .map(|field| {
                (
                    field.name.clone(),
                    field.type_name.clone(),
                    field.doc.clone(),
                )
            })
            .collect();
        self.add(key, &doc, kind);
        for (name, type_name, doc) in below {
            let key = match key {
                "" => name,
                key => format!("{key}.{name}"),
            };
            self.enter(&key, &module, &type_name, &doc);
        }
    }

    fn add(&mut self, key: &str, doc: &[String], kind: Kind) {
        self.entries.push(Entry {
            key: key.to_owned(),
            doc: doc.to_vec(),
            kind,
            choices: Vec::new(),
        });
    }

    fn declaration(&self, module: &str, type_name: &str) -> Option<usize> {
        let (module, name) = type_name.rsplit_once("::").unwrap_or((module, type_name));
        (self.types.iter()).position(|declared| declared.module == module && declared.name == name)
    }
}

/// What stands between `opening` and the last `>`.
fn within<'a>(type_name: &'a str, opening: &str) -> Option<&'a str> {
    type_name.strip_prefix(opening)?.strip_suffix('>')
}

fn in_words(type_name: &str) -> &str {
    match type_name {
        "" => "nothing more",
        "u64" | "usize" => "a whole number",
        "f32" | "f64" => "a number",
        "bool" => "true or false",
        "String" => "text",
        "PathBuf" => "a path",
        "model::Place" => "`cpu`, `cuda` or `cuda:N`",
        "Vec<String>" => "a list of texts",
        "Vec<PathBuf>" => "a list of paths",
        "BTreeMap<String, String>" => "a table of texts",
        "Vec<Target>" => "a list of names",
        "[usize; 2]" => "two whole numbers",
        "[f32; 2]" => "two numbers",
        "[f64; 4]" => "four numbers",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_read_with_its_docs_and_fields() {
        let source = "/// How long.\n/// Really.\n#[derive(Clone)]\npub struct Limits {\n    \
                      /// Most turns.\n    #[serde(default)]\n    pub max_turns: usize,\n}\n\n\
                      /// Which.\npub enum Kind {\n    /// One.\n    TurnLimit,\n    \
                      World(world::Config),\n}\n";
        let types = parse("here", source);
        assert_eq!(types[0].doc, ["How long.", "Really."]);
        let field = &types[0].fields[0];
        assert_eq!((&*field.name, &*field.type_name), ("max-turns", "usize"));
        assert_eq!(field.doc, ["Most turns."]);
        let variants: Vec<_> = (types[1].fields.iter())
            .map(|variant| (&*variant.name, &*variant.type_name))
            .collect();
        assert_eq!(variants, [("turn-limit", ""), ("world", "world::Config")]);
    }

    #[test]
    fn every_key_has_a_text_and_a_type_that_people_know() {
        let schema = Schema::of_run();
        assert!(schema.entries.len() > 80, "{}", schema.entries.len());
        for entry in &schema.entries {
            assert!(!entry.doc.is_empty(), "`{}` has no text", entry.key);
            if let Kind::Value(words) = &entry.kind {
                let known = words.contains(' ') || words == "text";
                assert!(known, "`{}` is {words}", entry.key);
            }
        }
    }
}
