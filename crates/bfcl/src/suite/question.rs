//! A question as a task: what the policy sees of a record, and what only its episodes know.

use std::sync::Arc;

use episode::{CallFormat, Message, Role, Task};
use python::{Dict, Value};

use super::kit::Kit;
use super::options::Format;
use crate::backend::{Backend, OpenError};
use crate::executor::Instances;
use crate::prompt::system_text;
use crate::records::{Functions, Record, Truth};
use crate::search::{WEB_SEARCH, WebSearch};
use crate::{BfclError, Category, Group};

/// A record with all that an episode needs to know of it.
pub(super) struct Question {
    pub(super) category: Category,
    pub(super) record: Record,
    pub(super) functions: Functions,
    config: Dict,
}

impl Question {
    pub(super) fn new(category: Category, record: Record, functions: Functions) -> Self {
        let mut config = Dict::new();
        for (class, state) in &record.config {
            config.insert(class.as_str(), Value::from(state));
        }
        Self {
            category,
            record,
            functions,
            config,
        }
    }

    /// Refuses what no episode could be played with.
    pub(super) fn check(&self, kit: &Kit) -> Result<(), BfclError> {
        let refuse = |problem: String| BfclError::Question {
            id: self.record.id.clone(),
            problem,
        };
        for (turn, messages) in self.record.turns.iter().enumerate() {
            let is_reveal = turn > 0 && self.functions.held_out.contains_key(&turn);
            let is_user = matches!(messages.as_slice(), [it] if it.role == Role::User);
            let is_right = is_user || (is_reveal && messages.is_empty());
            if !is_right {
                return Err(refuse(format!(
                    "turn {turn} is not one message of the user"
                )));
            }
        }
        if self.record.turns.is_empty() {
            return Err(refuse("it has no turn".to_owned()));
        }
        if self.category.group() == Group::MultiTurn {
            self.back_ends(kit)
                .map_err(|error| refuse(error.to_string()))?;
        }
        if self.is_memory() {
            let scenario = self.record.scenario.as_deref().unwrap_or_default();
            kit.texts.memory(self.category, scenario, "")?;
        }
        Ok(())
    }

    /// What the policy sees of it, with a memory that holds nothing.
    pub(super) fn task(&self, kit: &Kit) -> Task {
        let docs = &self.functions.docs;
        let (tools, calls) = match kit.format {
            Format::Fc => (docs.clone(), CallFormat::Tagged),
            Format::Prompt => (Vec::new(), CallFormat::Python),
            Format::Api => (kit.texts.api_tools(docs), CallFormat::Tagged),
        };
        let answer = match &self.record.truth {
            Truth::Answers(accepted) => accepted.first().cloned(),
            Truth::Calls(_) | Truth::Nothing => None,
        };
        Task {
            id: self.record.id.clone(),
            scenario: self.category.name().to_owned(),
            messages: self.messages(kit),
            tools,
            answer,
            calls,
        }
    }

    /// The messages with which an episode begins now.
    pub(super) fn messages(&self, kit: &Kit) -> Vec<Message> {
        let system = self.system(kit);
        let system = system.map(|text| Message::new(Role::System, text));
        let user = self.record.turns[0].iter().cloned();
        system.into_iter().chain(user).collect()
    }

    pub(super) fn is_memory(&self) -> bool {
        self.category.group() == Group::Memory
    }

    /// A conversation that fills the memory, and asks nothing.
    pub(super) fn is_prerequisite(&self) -> bool {
        self.record.truth == Truth::Nothing
    }

    fn system(&self, kit: &Kit) -> Option<String> {
        let mut parts = Vec::new();
        if kit.format == Format::Prompt {
            parts.push(kit.texts.functions(&self.functions.docs));
        }
        if self.is_memory() {
            let memory = kit.memories.open(self.category, &self.record);
            let scenario = self.record.scenario.as_deref().unwrap_or_default();
            let text = kit.texts.memory(self.category, scenario, &memory.context());
            parts.push(text.expect("a suite's scenarios have a text"));
        }
        if self.category.group() != Group::MultiTurn && !self.is_prerequisite() {
            parts.push(kit.texts.answer_format().to_owned());
        }
        (!parts.is_empty()).then(|| system_text(&parts))
    }

    /// What the user says in a turn; nothing where there is no such turn.
    pub(super) fn said(&self, turn: usize, kit: &Kit) -> Option<String> {
        let messages = self.record.turns.get(turn)?;
        Some(match self.functions.held_out.get(&turn) {
            // A task's list of tools stays as it is, so that also an interface that could add
            // to it is told in words.
            Some(docs) => kit.texts.reveal_with_docs(docs),
            None => messages[0].content.clone(),
        })
    }

    /// Fresh instances of a multi-turn question's classes.
    pub(super) fn back_ends(&self, kit: &Kit) -> Result<Instances, OpenError> {
        let long_context = self.category == Category::MultiTurnLongContext;
        Instances::open(
            &self.record.classes,
            &self.config,
            long_context,
            &kit.tables,
        )
    }

    /// The web tools of a web-search question.
    pub(super) fn web_search(&self, kit: &Kit) -> Box<dyn Backend> {
        let engine = kit.engine.as_ref();
        let engine = engine.expect("a suite with web search has an engine");
        let config = self.config.get(WEB_SEARCH).and_then(Value::as_dict);
        let show_snippet = config.and_then(|config| config.get("show_snippet"));
        let show_snippet = show_snippet.is_none_or(Value::is_true);
        Box::new(WebSearch::new(Arc::clone(engine), show_snippet))
    }
}
