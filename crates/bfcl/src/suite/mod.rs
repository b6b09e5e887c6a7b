//! The leaderboard as a suite of tasks: its questions, its user, its scores.
//!
//! Two points where an episode is not played as the official program plays it. Functions that
//! are held out are revealed in words also where a function-calling interface could add them
//! to its list. And a turn that uses up its tokens ends the episode, where the original reads
//! what there is of it and lets the user go on.

mod conversation;
mod kit;
mod memories;
mod options;
mod question;
mod results;
mod traces;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use env::{Environment, Protocol, Stage, Suite, UnreadCalls};
use episode::{Episode, Message, Task, Trace};

use self::conversation::Conversation;
use self::kit::Kit;
use self::memories::Memories;
use self::question::Question;
use crate::calendar::Date;
use crate::memory::Embedder;
use crate::prompt::Texts;
use crate::records::{DataSet, Record};
use crate::result_file::ResultRecord;
use crate::search::SearchEngine;
use crate::tables::Tables;
use crate::{BfclError, Category, Group};

pub use self::options::{BfclOptions, Format, Selection};

/// Turns of the policy after each message of the user: the calls of the 21st are executed, and
/// that is the end.
const MAX_TURNS: usize = 21;

/// The official verdict on an episode, 1 or 0, as a metric.
const ACCURACY: &str = "accuracy";

/// Questions of the leaderboard. Conversations that fill memories come before the questions.
pub struct BfclSuite {
    tasks: Vec<Task>,
    /// Beside `tasks`.
    questions: Vec<Arc<Question>>,
    /// From a task's id to its place.
    places: HashMap<String, usize>,
    stages: Vec<Stage>,
    kit: Arc<Kit>,
}

/// What a suite uses that its options only name.
#[derive(Clone, Default)]
pub struct Outside {
    /// Who answers searches, in the place of the options' engine.
    pub engine: Option<Arc<dyn SearchEngine>>,
    /// What embeds the texts of `memory-vector`, in the place of the options' model.
    pub embedder: Option<Arc<dyn Embedder>>,
}

impl BfclSuite {
    /// Reads the questions that the options ask for. What of the data set is missing, or does
    /// not fit together, is an error.
    pub fn load(options: &BfclOptions) -> Result<Self, BfclError> {
        Self::load_with(options, Outside::default())
    }

    /// The same with engines of one's own.
    pub fn load_with(options: &BfclOptions, outside: Outside) -> Result<Self, BfclError> {
        let data = DataSet::new(&options.folder);
        let mut categories: Vec<Category> = Vec::new();
        for category in options.categories.iter().flat_map(|it| it.categories()) {
            if !categories.contains(&category) {
                categories.push(category);
            }
        }
        let kit = Kit::open(options, &categories, outside)?;
        let mut conversations = Vec::new();
        let mut questions = Vec::new();
        for &category in &categories {
            let records = data.load(category)?;
            questions.extend(joined(category, records, &data)?);
            if let Some(backend) = category.memory_backend() {
                let records = data.memory_prerequisites(backend)?;
                conversations.extend(joined(category, records, &data)?);
            }
        }
        Self::new(kit, conversations, questions)
    }

    fn new(
        kit: Kit,
        conversations: Vec<Question>,
        asked: Vec<Question>,
    ) -> Result<Self, BfclError> {
        for question in conversations.iter().chain(&asked) {
            question.check(&kit)?;
        }
        let mut questions = Vec::new();
        let mut stages = Vec::new();
        for stage in stages_of(conversations, &kit.memories)? {
            let start = questions.len();
            questions.extend(stage);
            stages.push(Stage {
                tasks: start..questions.len(),
                scored: false,
            });
        }
        let start = questions.len();
        questions.extend(asked);
        stages.push(Stage {
            tasks: start..questions.len(),
            scored: true,
        });
        let tasks: Vec<Task> = questions.iter().map(|it| it.task(&kit)).collect();
        let ids = tasks.iter().map(|task| task.id.clone());
        Ok(Self {
            places: ids.zip(0..).collect(),
            tasks,
            questions: questions.into_iter().map(Arc::new).collect(),
            stages,
            kit: Arc::new(kit),
        })
    }

    /// The accepted calls of multi-turn questions as expert traces.
    pub fn traces(&self) -> Result<Vec<Trace>, BfclError> {
        let traces = self.questions.iter();
        traces
            .filter_map(|question| traces::trace(question, &self.kit).transpose())
            .collect()
    }

    /// How functions are shown and calls are written.
    pub fn format(&self) -> Format {
        self.kit.format
    }

    /// An episode of this suite as a record of an official result file.
    pub fn result_record(&self, episode: &Episode) -> ResultRecord {
        results::record(episode, self.kit.format)
    }

    fn question(&self, task: &Task) -> &Arc<Question> {
        let place = self.places.get(&task.id);
        &self.questions[*place.expect("an episode is opened for a task of this suite")]
    }
}

impl Kit {
    fn open(
        options: &BfclOptions,
        categories: &[Category],
        outside: Outside,
    ) -> Result<Self, BfclError> {
        let mut tables = Tables::load(&options.folder)?;
        tables.today = Date::parse(&options.today).map_err(|_| BfclError::Option {
            option: "today",
            problem: format!("`{}` is no day, expected `YYYY-MM-DD`", options.today),
        })?;
        let searches = categories.iter().any(|it| it.group() == Group::WebSearch);
        let engine = match outside.engine {
            None if searches => Some(Arc::from(options.search.open()?)),
            engine => engine,
        };
        let embeds = categories.contains(&Category::MemoryVector);
        let embedder = match outside.embedder {
            None if embeds => Some(options.open_embedder()?),
            embedder => embedder,
        };
        Ok(Self {
            format: options.format,
            texts: Texts::load(&options.folder)?,
            tables: Arc::new(tables),
            memories: Memories::new(options.memory_dir.clone(), embedder),
            engine,
        })
    }
}

/// Records with the docs of their functions.
fn joined(
    category: Category,
    records: Vec<Record>,
    data: &DataSet,
) -> Result<Vec<Question>, BfclError> {
    let functions = data.functions(&records)?;
    let both = records.into_iter().zip(functions);
    Ok(both
        .map(|(record, functions)| Question::new(category, record, functions))
        .collect())
}

/// The conversations of each memory and scenario in order, those that have the same number of
/// others before them beside each other. What an earlier run has played is left out.
fn stages_of(
    conversations: Vec<Question>,
    memories: &Memories,
) -> Result<Vec<Vec<Question>>, BfclError> {
    let mut stages: Vec<Vec<Question>> = Vec::new();
    let mut rest = conversations.into_iter().peekable();
    while let Some(first) = rest.next() {
        let is_of_it = |it: &Question| {
            it.category == first.category && it.record.scenario == first.record.scenario
        };
        let mut scenario = Vec::new();
        while let Some(next) = rest.next_if(is_of_it) {
            scenario.push(next);
        }
        let category = first.category;
        scenario.insert(0, first);
        let records: Vec<&Record> = scenario.iter().map(|it| &it.record).collect();
        let played = memories.resume(category, &records)?;
        for (stage, question) in scenario.into_iter().skip(played).enumerate() {
            if stages.len() == stage {
                stages.push(Vec::new());
            }
            stages[stage].push(question);
        }
    }
    Ok(stages)
}

impl Suite for BfclSuite {
    fn name(&self) -> &'static str {
        "bfcl"
    }

    fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    fn open(&self, task: &Task) -> Box<dyn Environment> {
        let question = Arc::clone(self.question(task));
        Box::new(Conversation::new(question, Arc::clone(&self.kit)))
    }

    /// What a memory holds now is part of its prompt.
    fn prompt<'t>(&self, task: &'t Task) -> Cow<'t, [Message]> {
        let question = self.question(task);
        match question.is_memory() {
            true => Cow::Owned(question.messages(&self.kit)),
            false => Cow::Borrowed(&task.messages),
        }
    }

    fn stages(&self) -> Vec<Stage> {
        self.stages.clone()
    }

    fn headline(&self) -> &'static str {
        ACCURACY
    }

    fn protocol(&self) -> Protocol {
        Protocol {
            max_turns: MAX_TURNS,
            unread_calls: UnreadCalls::Drop,
        }
    }

    /// The web takes its time, and so does an embedding.
    fn is_instant(&self) -> bool {
        let is_slow = |it: &Arc<Question>| {
            it.category.group() == Group::WebSearch || it.category == Category::MemoryVector
        };
        !self.questions.iter().any(is_slow)
    }
}
