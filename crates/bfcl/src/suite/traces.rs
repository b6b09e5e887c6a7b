//! The accepted calls as expert traces, which replay to full marks and can be trained on.

use episode::{ToolCall, Trace, TraceTurn};
use python::{Call, JsonStyle, Value, json_dumps, parse_call};

use super::MAX_TURNS;
use super::kit::Kit;
use super::question::Question;
use crate::BfclError;
use crate::executor::Instances;
use crate::records::Truth;

/// What the expert says when all is done that the user asked for.
const DONE: &str = "Done.";
/// What it says where nothing can be done yet.
const NOTHING_DONE: &str = "I cannot do that yet: something that I need for it is missing.";

/// The accepted calls of a multi-turn question, one a turn, each with its result; several a turn
/// where the user would not wait so long. After the last for a message of the user, a word to
/// the user. `None` for other questions.
pub(super) fn trace(question: &Question, kit: &Kit) -> Result<Option<Trace>, BfclError> {
    let Truth::Calls(truth) = &question.record.truth else {
        return Ok(None);
    };
    let refuse = |problem: String| BfclError::Question {
        id: question.record.id.clone(),
        problem: format!("an accepted call: {problem}"),
    };
    let instances = question.back_ends(kit);
    let mut instances = instances.map_err(|error| refuse(error.to_string()))?;
    let mut turns: Vec<TraceTurn> = Vec::new();
    let mut last = "";
    for (at, calls) in truth.iter().enumerate() {
        if at > 0 {
            turns.push(TraceTurn {
                content: last.to_owned(),
                reply: question.said(at, kit),
                ..TraceTurn::default()
            });
        }
        // The last of the turns that a user waits for answers.
        for step in calls.chunks(calls.len().div_ceil(MAX_TURNS - 1).max(1)) {
            let step = step.iter().map(|text| tool_call(text, &instances));
            let step: Vec<ToolCall> = step.collect::<Result<_, _>>().map_err(refuse)?;
            let print = |call: &ToolCall| kit.format.handler().print(call);
            turns.push(TraceTurn {
                results: step
                    .iter()
                    .map(|it| instances.execute(&print(it)))
                    .collect(),
                calls: step,
                ..TraceTurn::default()
            });
        }
        last = if calls.is_empty() { NOTHING_DONE } else { DONE };
    }
    Ok(Some(Trace {
        task: question.record.id.clone(),
        source: "gold-calls".to_owned(),
        turns,
        answer: Some(last.to_owned()),
        ..Trace::default()
    }))
}

/// A call string with every argument by name, as a model writes it.
fn tool_call(text: &str, instances: &Instances) -> Result<ToolCall, String> {
    let call = parse_call(text).map_err(|error| format!("`{text}`: {error}"))?;
    let name = call.function.clone();
    let named =
        by_name(call, instances).ok_or_else(|| format!("`{text}` calls what there is not"))?;
    let mut arguments = serde_json::Map::new();
    for (parameter, value) in named {
        let json = json_dumps(&value, &JsonStyle::ascii());
        let json = json.map_err(|error| format!("`{text}`: {error}"))?;
        let value = serde_json::from_str(&json).map_err(|error| format!("`{text}`: {error}"))?;
        arguments.insert(parameter, value);
    }
    Ok(ToolCall { name, arguments })
}

fn by_name(call: Call, instances: &Instances) -> Option<Vec<(String, Value)>> {
    let mut methods = instances.backends().iter().flat_map(|it| it.methods());
    let method = methods.find(|method| method.name == call.function)?;
    let names = method.parameters.iter().map(|it| it.name.to_owned());
    let is_short = call.positional.len() <= method.parameters.len();
    let positional = names.zip(call.positional);
    is_short.then(|| positional.chain(call.keywords).collect())
}
