//! One episode of one question: the user's turns, the calls, and what they were worth.

use std::collections::BTreeMap;
use std::sync::Arc;

use env::Environment;
use episode::{Observation, Score, StopReason, ToolCall, Turn};

use super::ACCURACY;
use super::kit::Kit;
use super::question::Question;
use super::results::answer_of;
use crate::Group;
use crate::checker::{Failure, Rule, agentic, multi_turn};
use crate::executor::Instances;
use crate::records::Truth;

/// How the executor begins what is no result.
const FAILED: &str = "Error during execution";

/// The rules that can be broken, as metrics: 1 where it is the reason why an episode fails.
const MULTI_TURN_RULES: [(Rule, &str); 4] = [
    (Rule::StateMismatch, "state-mismatch"),
    (Rule::ResponseMismatch, "response-mismatch"),
    (Rule::ForceTerminated, "force-quit"),
    (Rule::EmptyTurn, "empty-turn"),
];
const AGENTIC_RULES: [(Rule, &str); 2] = [
    (Rule::NoAnswer, "no-answer"),
    (Rule::AnswerNotFound, "wrong-answer"),
];

/// An episode under way, or over.
pub(super) struct Conversation {
    question: Arc<Question>,
    kit: Arc<Kit>,
    instances: Instances,
    /// Call strings by turn of the user, each a step of its own: the checker asks no more.
    calls: Vec<Vec<Vec<String>>>,
    failed_calls: usize,
    /// The last text that called nothing.
    answer: Option<String>,
}

impl Conversation {
    pub(super) fn new(question: Arc<Question>, kit: Arc<Kit>) -> Self {
        let instances = match question.category.group() {
            Group::MultiTurn => question
                .back_ends(&kit)
                .expect("a suite's questions have been opened before"),
            Group::Memory => {
                let memory = kit.memories.open(question.category, &question.record);
                Instances::new(vec![memory])
            }
            Group::WebSearch => Instances::new(vec![question.web_search(&kit)]),
        };
        Self {
            question,
            kit,
            instances,
            calls: vec![Vec::new()],
            failed_calls: 0,
            answer: None,
        }
    }

    /// Why the episode so far fails, if it does; a conversation that fills a memory cannot.
    fn verdict(&self) -> Result<(), Failure> {
        match &self.question.record.truth {
            Truth::Calls(truth) => {
                let fresh = || {
                    let instances = self.question.back_ends(&self.kit);
                    instances.expect("a suite's questions have been opened before")
                };
                multi_turn::check((&self.calls, fresh()), (truth, fresh()))
            }
            Truth::Answers(accepted) => agentic::check(self.answer.as_deref(), accepted),
            Truth::Nothing => Ok(()),
        }
    }

    fn rules(&self) -> &'static [(Rule, &'static str)] {
        match self.question.record.truth {
            Truth::Calls(_) => &MULTI_TURN_RULES,
            Truth::Answers(_) => &AGENTIC_RULES,
            Truth::Nothing => &[],
        }
    }
}

impl Environment for Conversation {
    fn call(&mut self, call: &ToolCall) -> Observation {
        let text = self.kit.format.handler().print(call);
        let result = self.instances.execute(&text);
        let failed = result.starts_with(FAILED);
        self.failed_calls += usize::from(failed);
        let turn = self.calls.last_mut().expect("a turn of the user");
        turn.push(vec![text]);
        Observation {
            text: result,
            failed,
        }
    }

    /// The user goes on as if nothing was said.
    fn answer(&mut self, turn: &Turn) -> Option<String> {
        self.answer = Some(answer_of(turn));
        let reply = self.question.said(self.calls.len(), &self.kit)?;
        self.calls.push(Vec::new());
        Some(reply)
    }

    /// A turn that was cut off still counts as an answer, and a memory is kept whatever ended
    /// the conversation: as in the original.
    fn close(&mut self, _stop: StopReason, turns: &[Turn]) {
        let last = turns.iter().rev().find(|turn| turn.calls.is_empty());
        self.answer = last.map(answer_of);
        if self.question.is_prerequisite() {
            let mut memories = self.instances.backends().iter();
            let memory = memories.find_map(|it| it.memory());
            let memory = memory.expect("a conversation fills a memory");
            let Question {
                category, record, ..
            } = &*self.question;
            self.kit.memories.keep(*category, record, memory);
        }
    }

    /// `accuracy` is the official verdict, and the reward; beside it the rule that was broken,
    /// the calls, and those that raised an exception.
    fn score(&self) -> Score {
        let mut metrics = BTreeMap::new();
        let mut set = |name: &str, value: f64| metrics.insert(name.to_owned(), value);
        let verdict = self.verdict();
        let broken = verdict.as_ref().err().map(|failure| failure.rule);
        for &(rule, name) in self.rules() {
            set(name, f64::from(broken == Some(rule)));
        }
        let calls: usize = self.calls.iter().map(Vec::len).sum();
        set("calls", calls as f64);
        set("errors", self.failed_calls as f64);
        let is_scored = !self.question.is_prerequisite();
        let reward = f64::from(is_scored && verdict.is_ok());
        if is_scored {
            set(ACCURACY, reward);
        }
        Score {
            reward,
            metrics,
            ..Score::default()
        }
    }
}
