//! The data set in the layout of its authors: questions, accepted answers, function docs and
//! the conversations that fill a memory. Reads; knows neither what a class does nor how a
//! prompt is written.
//!
//! Every file is JSON lines. Questions and answers stand in two files, line by line together;
//! memory's and web search's are shared by several categories, whose names go into the ids.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use episode::Message;
use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{BfclError, Category, Group};

/// Which file of function docs describes each class.
const DOC_FILES: [(&str, &str); 12] = [
    ("GorillaFileSystem", "gorilla_file_system"),
    ("MathAPI", "math_api"),
    ("MessageAPI", "message_api"),
    ("TwitterAPI", "posting_api"),
    ("TicketAPI", "ticket_api"),
    ("TradingBot", "trading_bot"),
    ("TravelAPI", "travel_booking"),
    ("VehicleControlAPI", "vehicle_control"),
    ("WebSearchAPI", "web_search"),
    ("MemoryAPI_kv", "memory_kv"),
    ("MemoryAPI_vector", "memory_vector"),
    ("MemoryAPI_rec_sum", "memory_rec_sum"),
];

/// What Python's authors add to each description that a model reads from the start.
const SYNTAX_NOTE: &str = " Note that the provided function is in Python 3 syntax.";

/// One question: what the user says, on which classes, and what is accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The official id: with the back end's name for memory, the variant's for web search.
    pub id: String,
    /// What the user says, turn by turn; the turn that reveals held-out functions has no message.
    pub turns: Vec<Vec<Message>>,
    /// The classes whose methods can be called; their order is the order of the tools.
    pub classes: Vec<String>,
    /// The state that a class begins with, by class; a class without one has a default.
    pub config: Map<String, Value>,
    /// Functions that are held out until a turn, counted from 0.
    pub missed: BTreeMap<usize, Vec<String>>,
    /// Memory's division of its questions: `customer`, `student`, …
    pub scenario: Option<String>,
    /// Ids of the conversations that must have filled the memory before.
    pub depends_on: Vec<String>,
    /// What is accepted.
    pub truth: Truth,
}

/// What counts as success.
#[derive(Clone, Debug, PartialEq)]
pub enum Truth {
    /// Call strings by turn: the same end state and the same results.
    Calls(Vec<Vec<String>>),
    /// Any of these texts in the answer.
    Answers(Vec<String>),
    /// Nothing: a conversation that fills the memory.
    Nothing,
}

/// A folder that holds the data set.
#[derive(Clone, Debug)]
pub struct DataSet {
    folder: PathBuf,
}

#[derive(Deserialize)]
struct QuestionRow {
    id: String,
    question: Vec<Vec<Message>>,
    involved_classes: Vec<String>,
    #[serde(default)]
    initial_config: Map<String, Value>,
    #[serde(default)]
    missed_function: IndexMap<String, Vec<String>>,
    scenario: Option<String>,
}

#[derive(Deserialize)]
struct AnswerRow<T> {
    id: String,
    ground_truth: Vec<T>,
}

impl DataSet {
    /// Files are read when they are asked for.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The questions of a category.
    pub fn load(&self, category: Category) -> Result<Vec<Record>, BfclError> {
        match (category.group(), category.memory_backend()) {
            (_, Some(backend)) => self.memory(backend),
            (Group::WebSearch, _) => self.web_search(category == Category::WebSearchBase),
            (_, None) => self.multi_turn(category.name()),
        }
    }

    /// The questions of a multi-turn category: `multi_turn_base`, `multi_turn_miss_func`, …
    pub fn multi_turn(&self, category: &str) -> Result<Vec<Record>, BfclError> {
        let (questions, answers) = self.pair::<Vec<String>>(category)?;
        let mut records = Vec::with_capacity(questions.len());
        for (question, truth) in questions.into_iter().zip(answers) {
            if question.question.len() != truth.len() {
                return Err(BfclError::Disagreement {
                    path: self.answer_path(category),
                    problem: format!(
                        "`{}` has {} turns of calls for {} of the user",
                        question.id,
                        truth.len(),
                        question.question.len()
                    ),
                });
            }
            records.push(self.record(category, question, Truth::Calls(truth))?);
        }
        Ok(records)
    }

    /// The questions of web search; without a `snippet` a hit is a title and an address.
    pub fn web_search(&self, snippet: bool) -> Result<Vec<Record>, BfclError> {
        let (questions, answers) = self.pair::<String>("web_search")?;
        let variant = if snippet { "base" } else { "no_snippet" };
        let config = Map::from_iter([("show_snippet".to_owned(), Value::Bool(snippet))]);
        let both = questions.into_iter().zip(answers);
        both.map(|(question, accepted)| {
            let mut record = self.record("web_search", question, Truth::Answers(accepted))?;
            record.id = renamed(&record.id, "web_search", variant);
            for class in &record.classes {
                let config = Value::Object(config.clone());
                record.config.insert(class.clone(), config);
            }
            Ok(record)
        })
        .collect()
    }

    /// The questions of memory to the back end `kv`, `rec_sum` or `vector`.
    pub fn memory(&self, backend: &str) -> Result<Vec<Record>, BfclError> {
        let (questions, answers) = self.pair::<String>("memory")?;
        let mut depends_on: IndexMap<String, Vec<String>> = IndexMap::new();
        for conversation in self.memory_prerequisites(backend)? {
            let scenario = conversation.scenario.unwrap_or_default();
            depends_on
                .entry(scenario)
                .or_default()
                .push(conversation.id);
        }
        let both = questions.into_iter().zip(answers);
        both.map(|(question, accepted)| {
            let record = self.record("memory", question, Truth::Answers(accepted))?;
            let mut record = with_backend(record, backend);
            let scenario = record.scenario.as_deref().unwrap_or_default();
            record.depends_on =
                depends_on
                    .get(scenario)
                    .cloned()
                    .ok_or_else(|| BfclError::Disagreement {
                        path: self.question_path("memory"),
                        problem: format!(
                            "`{}` asks about `{scenario}`, of which no conversation tells",
                            record.id
                        ),
                    })?;
            Ok(record)
        })
        .collect()
    }

    /// The conversations that fill the memory, scenario by scenario, each scenario's in order.
    pub fn memory_prerequisites(&self, backend: &str) -> Result<Vec<Record>, BfclError> {
        let mut conversations = Vec::new();
        for path in self.prerequisite_files()? {
            let mut earlier: Vec<String> = Vec::new();
            for row in rows(&path)? {
                let record = self.record("memory", row, Truth::Nothing)?;
                let mut record = with_backend(record, backend);
                record.depends_on.clone_from(&earlier);
                earlier.push(record.id.clone());
                conversations.push(record);
            }
        }
        Ok(conversations)
    }

    /// One file for each scenario that the questions ask about, in the order in which they do.
    fn prerequisite_files(&self) -> Result<Vec<PathBuf>, BfclError> {
        let questions = self.question_path("memory");
        let mut files: Vec<PathBuf> = Vec::new();
        for row in rows::<QuestionRow>(&questions)? {
            let Some(scenario) = row.scenario else {
                return Err(BfclError::Disagreement {
                    path: questions,
                    problem: format!("`{}` has no `scenario`", row.id),
                });
            };
            let name = format!("memory_{scenario}.json");
            let file = self.folder.join("memory_prereq_conversation").join(name);
            if !files.contains(&file) {
                files.push(file);
            }
        }
        self.require(&files)?;
        Ok(files)
    }

    /// The function docs of a class, in the order of its file.
    pub fn docs(&self, class: &str) -> Result<Vec<Value>, BfclError> {
        let path = self
            .doc_path(class)
            .ok_or_else(|| BfclError::Disagreement {
                path: self.folder.clone(),
                problem: format!("a question involves `{class}`, a class that is not of BFCL v4"),
            })?;
        self.require(std::slice::from_ref(&path))?;
        rows(&path)
    }

    /// What a model is shown of each record's functions, in the order of the records.
    pub fn functions(&self, records: &[Record]) -> Result<Vec<Functions>, BfclError> {
        let mut docs: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for class in records.iter().flat_map(|record| &record.classes) {
            if !docs.contains_key(class.as_str()) {
                docs.insert(class, self.docs(class)?);
            }
        }
        let of = |record: &Record| {
            let all = record
                .classes
                .iter()
                .flat_map(|it| docs[it.as_str()].clone());
            Functions::new(all.collect(), &record.missed)
        };
        Ok(records.iter().map(of).collect())
    }

    fn record(&self, category: &str, row: QuestionRow, truth: Truth) -> Result<Record, BfclError> {
        let mut missed = BTreeMap::new();
        for (turn, names) in row.missed_function {
            let turn: usize = turn.parse().map_err(|_| BfclError::Disagreement {
                path: self.question_path(category),
                problem: format!(
                    "`{}`, field `missed_function`: `{turn}` is no turn's number",
                    row.id
                ),
            })?;
            missed.insert(turn, names);
        }
        Ok(Record {
            id: row.id,
            turns: row.question,
            classes: row.involved_classes,
            config: row.initial_config,
            missed,
            scenario: row.scenario,
            depends_on: Vec::new(),
            truth,
        })
    }

    /// Questions and accepted answers, which must be about the same.
    fn pair<T: DeserializeOwned>(
        &self,
        category: &str,
    ) -> Result<(Vec<QuestionRow>, Vec<Vec<T>>), BfclError> {
        let paths = [self.question_path(category), self.answer_path(category)];
        self.require(&paths)?;
        let questions: Vec<QuestionRow> = rows(&paths[0])?;
        let answers: Vec<AnswerRow<T>> = rows(&paths[1])?;
        let [_, path] = paths;
        if questions.len() != answers.len() {
            let problem = format!("{} answers to {} questions", answers.len(), questions.len());
            return Err(BfclError::Disagreement { path, problem });
        }
        for (question, answer) in questions.iter().zip(&answers) {
            if question.id != answer.id {
                let problem = format!("`{}` stands beside `{}`", answer.id, question.id);
                return Err(BfclError::Disagreement { path, problem });
            }
        }
        let answers = answers.into_iter().map(|it| it.ground_truth).collect();
        Ok((questions, answers))
    }

    /// All that is missing at once, so that one fetch mends it.
    fn require(&self, paths: &[PathBuf]) -> Result<(), BfclError> {
        let missing: Vec<PathBuf> = paths
            .iter()
            .filter(|path| !path.is_file())
            .map(|path| path.strip_prefix(&self.folder).unwrap_or(path).to_owned())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(BfclError::Incomplete {
            folder: self.folder.clone(),
            missing,
        })
    }

    fn question_path(&self, category: &str) -> PathBuf {
        self.folder.join(format!("BFCL_v4_{category}.json"))
    }

    fn answer_path(&self, category: &str) -> PathBuf {
        let folder = self.folder.join("possible_answer");
        folder.join(format!("BFCL_v4_{category}.json"))
    }

    fn doc_path(&self, class: &str) -> Option<PathBuf> {
        let (_, file) = DOC_FILES.iter().find(|(name, _)| *name == class)?;
        let folder = self.folder.join("multi_turn_func_doc");
        Some(folder.join(format!("{file}.json")))
    }
}

/// What a model is shown of a record's functions, as its authors describe them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Functions {
    /// From the start.
    pub docs: Vec<Value>,
    /// From a turn on, counted from 0. These lack the note on Python's syntax, as in the
    /// original, where they are held out before it is added.
    pub held_out: BTreeMap<usize, Vec<Value>>,
}

impl Functions {
    fn new(mut docs: Vec<Value>, missed: &BTreeMap<usize, Vec<String>>) -> Self {
        let mut held_out = BTreeMap::new();
        for (&turn, names) in missed {
            // In the order of the names, not of the docs.
            let named = names.iter().filter_map(|name| {
                let at = docs.iter().position(|doc| doc["name"] == **name)?;
                Some(docs.remove(at))
            });
            held_out.insert(turn, named.collect());
        }
        for doc in &mut docs {
            if let Some(Value::String(description)) = doc.get_mut("description") {
                description.push_str(SYNTAX_NOTE);
            }
        }
        Self { docs, held_out }
    }
}

/// `memory_0-customer-0` and the like, with the name of a variant after the group's.
fn renamed(id: &str, group: &str, variant: &str) -> String {
    id.replacen(group, &format!("{group}_{variant}"), 1)
}

fn with_backend(mut record: Record, backend: &str) -> Record {
    record.id = renamed(&record.id, "memory", backend);
    for class in &mut record.classes {
        *class = format!("{class}_{backend}");
    }
    record
}

/// Every row of a JSON-lines file; blank lines are nothing.
fn rows<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, BfclError> {
    let text = fs::read_to_string(path).map_err(|source| BfclError::file(path, source))?;
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(at, line)| {
            serde_json::from_str(line).map_err(|error| BfclError::Line {
                path: path.to_owned(),
                line: at + 1,
                problem: error.to_string(),
            })
        })
        .collect()
}
