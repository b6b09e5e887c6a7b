//! Episodes as the records of official result files.

use episode::{Episode, ToolCall, Turn};
use serde_json::{Value, json};

use super::options::Format;
use crate::decode::{Handler, split_reasoning};
use crate::result_file::{Outcome, Response, ResultRecord};

/// What an episode did, so that the official evaluator reads of it exactly the calls that were
/// executed.
pub(super) fn record(episode: &Episode, format: Format) -> ResultRecord {
    let mut turns = vec![vec![]];
    let mut input_tokens = vec![vec![]];
    let mut output_tokens = vec![vec![]];
    let mut reasoning = vec![vec![]];
    for turn in &episode.turns {
        let at = turns.len() - 1;
        turns[at].push(response(turn, format));
        input_tokens[at].push(turn.start);
        output_tokens[at].push(turn.end - turn.start);
        reasoning[at].push(split_reasoning(&turn.text).0.to_owned());
        if turn.reply.is_some() {
            turns.push(vec![]);
            input_tokens.push(vec![]);
            output_tokens.push(vec![]);
            reasoning.push(vec![]);
        }
    }
    ResultRecord {
        id: episode.task.clone(),
        outcome: Outcome::Turns(turns),
        input_tokens,
        output_tokens,
        reasoning,
    }
}

/// A turn's text where the official handler finds the same calls in it, else the calls as it
/// would have had to write them: our reader is kinder to blanks around tags than theirs.
fn response(turn: &Turn, format: Format) -> Response {
    // Of a turn that was cut off, none.
    let executed = &turn.calls[..turn.calls.len().min(turn.observations.len())];
    if format == Format::Api && !executed.is_empty() {
        let arguments = |call: &ToolCall| Value::Object(call.arguments.clone()).to_string();
        let calls = executed.iter();
        return Response::Calls(
            calls
                .map(|call| (call.name.clone(), arguments(call)))
                .collect(),
        );
    }
    let handler = format.handler();
    let text = answer_of(turn);
    let decoded = handler.decode(&text).unwrap_or_default();
    let printed: Vec<String> = executed.iter().map(|call| handler.print(call)).collect();
    Response::Text(match (decoded == printed, executed.is_empty()) {
        (true, _) => text,
        (false, true) => turn.content.clone(),
        (false, false) => written(handler, executed, &printed),
    })
}

fn written(handler: Handler, calls: &[ToolCall], printed: &[String]) -> String {
    match handler {
        Handler::Fc => {
            let block = |call: &ToolCall| {
                let call = json!({"name": call.name, "arguments": call.arguments});
                format!("<tool_call>\n{call}\n</tool_call>")
            };
            let blocks: Vec<String> = calls.iter().map(block).collect();
            blocks.join("\n")
        }
        Handler::Prompting => format!("[{}]", printed.join(", ")),
    }
}

/// What a turn says, calls included: all after the last `</think>`, without the token that ends
/// a turn.
pub(super) fn answer_of(turn: &Turn) -> String {
    let (_, answer) = split_reasoning(&turn.text);
    without_stop(answer).to_owned()
}

/// Special tokens are part of a turn's text; the official program never sees the last one.
fn without_stop(text: &str) -> &str {
    let text = text.strip_suffix("</s>").unwrap_or(text);
    let special = text.rfind("<|").filter(|&at| {
        let inner = text[at + 2..].strip_suffix("|>");
        inner.is_some_and(|name| name.chars().all(|it| it.is_alphanumeric() || it == '_'))
    });
    special.map_or(text, |at| &text[..at])
}

#[cfg(test)]
mod tests {
    use episode::Observation;

    use super::*;

    fn call(name: &str, arguments: Value) -> ToolCall {
        ToolCall {
            name: name.to_owned(),
            arguments: arguments.as_object().expect("an object").clone(),
        }
    }

    fn turn(text: &str, calls: &[ToolCall]) -> Turn {
        let result = Observation {
            text: String::new(),
            failed: false,
        };
        Turn {
            text: text.to_owned(),
            content: "what it says".to_owned(),
            calls: calls.to_vec(),
            observations: vec![result; calls.len()],
            ..Turn::default()
        }
    }

    #[test]
    fn a_response_is_what_was_said_where_it_tells_the_calls_that_were_executed() {
        let f = call("f", json!({"a": 1.0}));
        let check = |format: Format, text: &str, calls: &[ToolCall], expected: &str| {
            let response = response(&turn(text, calls), format);
            assert_eq!(response, Response::Text(expected.to_owned()));
        };
        let block = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1.0}}\n</tool_call>";
        let calls = std::slice::from_ref(&f);
        let said = format!("<think>\nso\n</think>\n\nI call.\n{block}<|im_end|>");
        check(Format::Fc, &said, calls, &format!("I call.\n{block}"));
        let tight = "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1.0}}</tool_call>";
        let written = "<tool_call>\n{\"name\":\"f\",\"arguments\":{\"a\":1.0}}\n</tool_call>";
        check(Format::Fc, tight, calls, written);
        check(Format::Fc, &format!("<think>{block}"), &[], "what it says");
        check(Format::Fc, "Done.<|im_end|>", &[], "Done.");
        check(Format::Prompt, "[f(a=1.0)]<|im_end|>", calls, "[f(a=1.0)]");
        check(Format::Prompt, "f(a = 2.0)", calls, "[f(a=1.0)]");
        check(Format::Prompt, "No.", &[], "No.");
        let cut_off = Turn {
            observations: Vec::new(),
            ..turn(block, calls)
        };
        let nothing_done = Response::Text("what it says".to_owned());
        assert_eq!(super::response(&cut_off, Format::Fc), nothing_done);
        let response = response(&turn(tight, calls), Format::Api);
        let arguments = r#"{"a":1.0}"#.to_owned();
        assert_eq!(response, Response::Calls(vec![("f".to_owned(), arguments)]));
    }

    #[test]
    fn only_the_token_that_ends_a_turn_is_taken_off() {
        let check = |text: &str, expected: &str| assert_eq!(without_stop(text), expected);
        check("a<|im_end|>", "a");
        check("a</s>", "a");
        check("a<|im_end|> b", "a<|im_end|> b");
        check("a <| b |>", "a <| b |>");
        check("", "");
    }
}
