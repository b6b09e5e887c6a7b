//! What of an expert trace stands in a context: the whole of it or less, as turns or as text.

use chat::{Chat, ChatError, TRACE_TEMPLATE, trace_text};
use episode::{Message, Role, Task, Trace};
use objective::{AnnealBy, Beyond, Reasoning};

use crate::config::{self, Place};

/// A trace of at most `max_tokens` tokens beside its prompt (0: of any length), and whether
/// turns were taken off its end for that.
pub(crate) fn fitted(
    chat: &Chat,
    task: &Task,
    trace: &Trace,
    max_tokens: usize,
) -> Result<(Trace, bool), ChatError> {
    let mut fitted = trace.clone();
    let mut is_cut = false;
    loop {
        let expert = chat.expert(task, &fitted)?;
        let tokens = expert.context().len() - expert.prompt_tokens();
        if max_tokens == 0 || tokens <= max_tokens || fitted.turns.is_empty() {
            return Ok((fitted, is_cut));
        }
        is_cut = true;
        if fitted.answer.take().is_none() {
            fitted.turns.pop();
        }
    }
}

/// A trace as it stands at a moment of training: without the reasoning that segment annealing
/// has cut off, where `beyond = "drop"`.
pub(crate) fn at_progress(
    chat: &Chat,
    trace: Trace,
    reasoning: &Reasoning,
    progress: f64,
) -> Trace {
    if reasoning.beyond == Beyond::Mask || reasoning.anneal != AnnealBy::Segment {
        return trace;
    }
    let component = reasoning.component();
    let shortened = |text: &str| {
        let segments = (1..)
            .find(|&kept| chat.first_segments(text, kept) == text.trim_end())
            .expect("all segments together are the text");
        chat.first_segments(text, component.segments_at(segments, progress))
            .to_owned()
    };
    let mut trace = trace;
    for turn in &mut trace.turns {
        turn.reasoning = shortened(&turn.reasoning);
    }
    trace.answer_reasoning = shortened(&trace.answer_reasoning);
    trace
}

/// The tokens of prompt and trace, up to where a rollout goes on.
pub(crate) fn privileged(
    chat: &Chat,
    task: &Task,
    trace: &Trace,
    config: &config::Trace,
) -> Result<Vec<u32>, ChatError> {
    let mut shown = trace.clone();
    if !config.reasoning {
        shown.answer_reasoning.clear();
        shown
            .turns
            .iter_mut()
            .for_each(|turn| turn.reasoning.clear());
    }
    let place = match config.place {
        Place::Turns => {
            let mut worked = chat.worked(task, &shown, config.observations)?;
            worked.push_user(&config.again)?;
            return Ok(worked.context().to_vec());
        }
        Place::System => Role::System,
        Place::User => Role::User,
    };
    if !config.observations {
        shown.turns.iter_mut().for_each(|turn| turn.results.clear());
    }
    let template = config.template.as_deref().unwrap_or(TRACE_TEMPLATE);
    let text = trace_text(template, &shown)?;
    let mut task = task.clone();
    match task
        .messages
        .iter_mut()
        .rfind(|message| message.role == place)
    {
        Some(message) => message.content = format!("{}\n\n{text}", message.content),
        // Only a system's message may be wanting: who has a task is asked by a user.
        None => task.messages.insert(0, Message::new(place, text)),
    }
    Ok(chat.transcript(&task)?.context().to_vec())
}
