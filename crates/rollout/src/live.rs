//! One episode under way: what it has said and seen, and when it is over.
//! Knows neither the policy nor where tools run.

use std::ops::Range;
use std::time::Duration;

use chat::{ChatError, Transcript};
use env::{Environment, UnreadCalls};
use episode::{
    Episode, Message, Observation, Role, Score, Seed, StopReason, Task, ToolCall, TraceTurn, Turn,
};

use crate::config::Rules;
use crate::messages;
use crate::tools::Act;
use crate::{SampledTurn, Start, TurnEnd, TurnRequest};

/// An episode that is not over yet.
pub(crate) struct Live<'a> {
    pub(crate) task: &'a Task,
    /// What it began with.
    hint: &'a [TraceTurn],
    /// The episodes that started with it.
    pub(crate) wave: Range<usize>,
    number: usize,
    sample: usize,
    seed: Seed,
    started: Duration,
    transcript: Transcript<'a>,
    /// What the transcript says, as messages.
    messages: Vec<Message>,
    turns: Vec<Turn>,
    /// How many of the turns came before the user's last message.
    turns_before: usize,
    waiting_for: WaitingFor,
}

/// Who has the word.
enum WaitingFor {
    /// The tools, which act out the hint and have the environment.
    Hint,
    /// The rest of its wave, whose hints are still being acted out.
    Wave(Box<dyn Environment>),
    /// The policy, which may sample this many tokens.
    Policy {
        environment: Box<dyn Environment>,
        max_tokens: usize,
    },
    /// The environment, which acts.
    Environment,
}

/// What a sampled turn leads to.
pub(crate) enum Next {
    /// Its calls are executed, of which there may be none, when none could be read; or its
    /// answer is heard.
    Act(Box<dyn Environment>, Act),
    /// The episode is over.
    Stop(StopReason, Box<dyn Environment>),
}

/// Where an episode stands within its rollout.
pub(crate) struct Place {
    pub(crate) number: usize,
    pub(crate) sample: usize,
    pub(crate) wave: Range<usize>,
    /// The rollout's.
    pub(crate) seed: Seed,
    pub(crate) now: Duration,
}

impl<'a> Live<'a> {
    pub(crate) fn new(
        start: &Start<'a>,
        transcript: Transcript<'a>,
        messages: Vec<Message>,
        place: Place,
    ) -> Self {
        let task = start.task;
        Self {
            task,
            hint: start.hint,
            wave: place.wave,
            number: place.number,
            sample: place.sample,
            seed: place.seed.named(&task.id).child(place.sample as u64),
            started: place.now,
            transcript,
            messages,
            turns: Vec::new(),
            turns_before: 0,
            waiting_for: if start.hint.is_empty() {
                WaitingFor::Environment
            } else {
                WaitingFor::Hint
            },
        }
    }

    /// The calls of the hint, in order.
    pub(crate) fn hint_calls(&self) -> Vec<ToolCall> {
        let calls = self.hint.iter().flat_map(|turn| &turn.calls);
        calls.cloned().collect()
    }

    /// Whether what tools return is the hint's.
    pub(crate) fn waits_for_its_hint(&self) -> bool {
        matches!(self.waiting_for, WaitingFor::Hint)
    }

    /// Takes the hint down, with what its calls returned now and not when it was recorded, one
    /// observation for each call; then waits for its wave.
    pub(crate) fn take_hint(
        &mut self,
        environment: Box<dyn Environment>,
        observations: Vec<Observation>,
    ) -> Result<(), ChatError> {
        let mut texts = observations.into_iter().map(|observation| observation.text);
        for turn in self.hint {
            self.transcript
                .push_hint_turn(&turn.reasoning, &turn.calls)?;
            let results: Vec<String> = texts.by_ref().take(turn.calls.len()).collect();
            self.transcript.push_observations(&results)?;
            self.messages.push(assistant("", &turn.calls));
            self.messages.extend(results.into_iter().map(tool));
        }
        self.waiting_for = WaitingFor::Wave(environment);
        Ok(())
    }

    /// Whether its hint has been taken down and its wave has not gone on.
    pub(crate) fn waits_for_its_wave(&self) -> bool {
        matches!(self.waiting_for, WaitingFor::Wave(_))
    }

    /// Goes on with its wave.
    pub(crate) fn leave_its_wave(&mut self) -> Box<dyn Environment> {
        match std::mem::replace(&mut self.waiting_for, WaitingFor::Environment) {
            WaitingFor::Wave(environment) => environment,
            _ => panic!("a wave goes on when all of it waits"),
        }
    }

    /// Gives the word to the policy, or says why it may not speak.
    pub(crate) fn next_turn(
        &mut self,
        environment: Box<dyn Environment>,
        rules: &Rules<'_>,
        now: Duration,
    ) -> Result<TurnRequest<'_>, (StopReason, Box<dyn Environment>)> {
        let config = rules.config;
        let left = config
            .max_tokens
            .saturating_sub(self.transcript.context().len());
        let first = self.turns.is_empty();
        let stop =
            if first && (left == 0 || self.transcript.prompt_tokens() > config.max_prompt_tokens) {
                Some(StopReason::PromptTooLong)
            } else if self.turns.len() - self.turns_before >= rules.max_turns {
                Some(StopReason::TurnLimit)
            } else if left == 0 {
                Some(StopReason::TokenLimit)
            } else if self.is_out_of_time(rules, now) {
                Some(StopReason::TimeLimit)
            } else {
                None
            };
        if let Some(stop) = stop {
            return Err((stop, environment));
        }
        let max_tokens = config.max_turn_tokens.min(left);
        self.waiting_for = WaitingFor::Policy {
            environment,
            max_tokens,
        };
        Ok(TurnRequest {
            episode: self.number,
            task: &self.task.id,
            sample: self.sample,
            turn: self.turns.len(),
            context: self.transcript.context(),
            messages: &self.messages,
            tools: &self.task.tools,
            calls: self.task.calls,
            max_tokens,
            seed: self.seed.child(self.turns.len() as u64),
        })
    }

    /// Takes the policy's turn down.
    pub(crate) fn hear(
        &mut self,
        sampled: &SampledTurn,
        rules: &Rules<'_>,
    ) -> Result<Next, ChatError> {
        let (environment, max_tokens) = self.take_the_word();
        assert!(
            sampled.tokens.len() <= max_tokens,
            "a policy samples no more than it was asked for"
        );
        match sampled.end {
            TurnEnd::Unanswered => return Ok(Next::Stop(StopReason::Unanswered, environment)),
            TurnEnd::ScriptEnded => return Ok(Next::Stop(StopReason::ScriptEnded, environment)),
            TurnEnd::Stop | TurnEnd::TokenLimit => {}
        }
        let cut_off = sampled.end == TurnEnd::TokenLimit;
        let parsed = self
            .transcript
            .push_turn(&sampled.tokens, &sampled.logprobs, cut_off)?;
        let is_read = parsed.failures.is_empty() || rules.unread_calls == UnreadCalls::Drop;
        let answers = parsed.calls.is_empty() && is_read;
        self.messages
            .push(assistant(&parsed.content, &parsed.calls));
        let turn = Turn {
            segment: parsed.segment,
            start: parsed.start,
            end: parsed.end,
            text: parsed.text,
            content: parsed.content,
            calls: parsed.calls,
            failures: parsed.failures,
            observations: Vec::new(),
            reply: None,
        };
        let act = match answers {
            true => Act::Hear(turn.clone()),
            false => Act::Call(turn.calls.clone()),
        };
        self.turns.push(turn);
        Ok(if cut_off && max_tokens < rules.config.max_turn_tokens {
            Next::Stop(StopReason::TokenLimit, environment)
        } else if cut_off {
            Next::Stop(StopReason::TurnTokenLimit, environment)
        } else {
            Next::Act(environment, act)
        })
    }

    /// Takes down what the tools returned, one observation for each call of the last turn.
    pub(crate) fn observe(
        &mut self,
        observations: Vec<Observation>,
        rules: &Rules<'_>,
    ) -> Result<(), ChatError> {
        let is_last = self.turns.len() - self.turns_before >= rules.max_turns;
        let turn = self.turns.last_mut().expect("observations follow a turn");
        assert!(
            observations.len() == turn.calls.len(),
            "every call has one observation"
        );
        turn.observations = observations;
        if rules.unread_calls == UnreadCalls::Tell {
            let unread = turn.failures.iter().map(messages::unread);
            turn.observations.extend(unread);
        }
        // Nobody reads what follows the last turn.
        if is_last {
            return Ok(());
        }
        let texts: Vec<String> = turn.observations.iter().map(|o| o.text.clone()).collect();
        self.transcript.push_observations(&texts)?;
        self.messages.extend(texts.into_iter().map(tool));
        Ok(())
    }

    /// Takes down what the user said to the last turn's answer.
    pub(crate) fn take_reply(&mut self, reply: String) -> Result<(), ChatError> {
        self.transcript.push_user(&reply)?;
        self.messages.push(Message::new(Role::User, reply.clone()));
        self.turns_before = self.turns.len();
        let turn = self.turns.last_mut().expect("a reply follows a turn");
        turn.reply = Some(reply);
        Ok(())
    }

    /// Hands over the turns, for the environment to score.
    pub(crate) fn take_turns(&mut self) -> Vec<Turn> {
        std::mem::take(&mut self.turns)
    }

    /// Whether the policy has the word and the episode's time is over.
    pub(crate) fn is_overdue(&self, rules: &Rules<'_>, now: Duration) -> bool {
        matches!(self.waiting_for, WaitingFor::Policy { .. }) && self.is_out_of_time(rules, now)
    }

    /// Ends the turn under way, whose tokens are lost.
    pub(crate) fn interrupt(&mut self) -> Box<dyn Environment> {
        self.take_the_word().0
    }

    /// The episode as it ended.
    pub(crate) fn finish(self, stop: StopReason, turns: Vec<Turn>, score: Score) -> Episode {
        Episode {
            task: self.task.id.clone(),
            scenario: self.task.scenario.clone(),
            sample: self.sample,
            seed: self.seed,
            stop,
            score,
            prompt_tokens: self.transcript.prompt_tokens(),
            hint_turns: self.hint.len(),
            turns,
            segments: self.transcript.into_segments(),
        }
    }

    fn is_out_of_time(&self, rules: &Rules<'_>, now: Duration) -> bool {
        let elapsed = now.saturating_sub(self.started).as_secs_f64();
        rules
            .config
            .max_seconds
            .is_some_and(|limit| elapsed >= limit)
    }

    fn take_the_word(&mut self) -> (Box<dyn Environment>, usize) {
        match std::mem::replace(&mut self.waiting_for, WaitingFor::Environment) {
            WaitingFor::Policy {
                environment,
                max_tokens,
            } => (environment, max_tokens),
            _ => panic!("a policy ends only turns that it was asked for"),
        }
    }
}

fn assistant(content: &str, calls: &[ToolCall]) -> Message {
    Message {
        tool_calls: calls.to_vec(),
        ..Message::new(Role::Assistant, content)
    }
}

fn tool(text: String) -> Message {
    Message::new(Role::Tool, text)
}
