//! A streamed reply: server-sent events in, and the message that their deltas add up to.
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html>

use serde_json::Value;

use super::reply::{Reasoning, Reply, ReplyCall, Usage, arguments_of, reasoning_of, text_of};

/// Cuts a stream of bytes into the data of its events, wherever the pieces begin and end.
#[derive(Debug, Default)]
pub(crate) struct EventReader {
    line: Vec<u8>,
    data: Option<String>,
    after_return: bool,
}

impl EventReader {
    /// The data of the events that these bytes end, in order.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        for &byte in bytes {
            let ends_line = match byte {
                b'\n' => !self.after_return,
                b'\r' => true,
                _ => false,
            };
            if ends_line {
                events.extend(self.end_line());
            } else if byte != b'\n' {
                self.line.push(byte);
            }
            self.after_return = byte == b'\r';
        }
        events
    }

    /// The event that the stream ended in, for servers that leave its blank line out.
    pub(crate) fn finish(&mut self) -> Option<String> {
        let last = self.end_line();
        last.or_else(|| self.data.take())
    }

    /// Takes a line; a blank one ends the event. What is not data, and comments, by which
    /// servers say that they live, are left out.
    fn end_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return self.data.take();
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        if field == "data" {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            }
        }
        None
    }
}

/// The most calls of one reply: each piece of a call looks for its own among all of them, and no
/// model makes so many.
const MOST_CALLS: usize = 1 << 12;

/// Adds up the deltas of a reply.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    reply: Reply,
    /// Of each call: the index and the id that its deltas name it by.
    names: Vec<(Option<u64>, String)>,
    /// Whether the endpoint has said why the reply ended.
    is_finished: bool,
    /// Whether the stream has said that nothing follows.
    pub(crate) is_done: bool,
}

impl Assembly {
    /// Takes the data of one event: a chunk, or `[DONE]`.
    pub(crate) fn take(&mut self, data: &str) -> Result<(), StreamFault> {
        if data.trim() == "[DONE]" {
            self.is_done = true;
            return Ok(());
        }
        let chunk: Value =
            serde_json::from_str(data).map_err(|error| StreamFault::NotJson(error.to_string()))?;
        if !chunk["error"].is_null() {
            return Err(StreamFault::Error(chunk));
        }
        if chunk["usage"].is_object() {
            self.reply.usage = Usage::read(&chunk["usage"]);
        }
        // The chunk with the usage has no choice.
        let Some(choice) = chunk["choices"].get(0) else {
            return Ok(());
        };
        let delta = &choice["delta"];
        self.reply.content += &text_of(&delta["content"]);
        if let Some(more) = reasoning_of(delta) {
            match &mut self.reply.reasoning {
                Some(Reasoning { text, .. }) => *text += &more.text,
                None => self.reply.reasoning = Some(more),
            }
        }
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            self.take_call(call)?;
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.is_finished = true;
            self.reply.is_cut = reason == "length";
        }
        Ok(())
    }

    /// A piece of a call. It goes on with the call of its index; servers that send no index, or
    /// the same for all, tell calls apart by their ids.
    fn take_call(&mut self, piece: &Value) -> Result<(), StreamFault> {
        let index = piece["index"].as_u64();
        let id = piece["id"].as_str().unwrap_or_default();
        let is_of = |(its_index, its_id): &(Option<u64>, String)| {
            let same_id = id.is_empty() || its_id.is_empty() || id == its_id;
            same_id && (index.is_none() || index == *its_index)
        };
        let at = match self.names.iter().rposition(is_of) {
            Some(at) => at,
            None if self.names.len() == MOST_CALLS => return Err(StreamFault::Calls(MOST_CALLS)),
            None => {
                self.names.push((index, id.to_owned()));
                self.reply.calls.push(ReplyCall::default());
                self.names.len() - 1
            }
        };
        if self.names[at].1.is_empty() {
            id.clone_into(&mut self.names[at].1);
        }
        let call = &mut self.reply.calls[at];
        let function = &piece["function"];
        let name = function["name"].as_str().unwrap_or_default();
        // Some servers repeat the name with every piece.
        if name != call.name {
            call.name += name;
        }
        call.arguments += &arguments_of(&function["arguments"]);
        Ok(())
    }

    /// How many bytes of text have come.
    pub(crate) fn bytes(&self) -> usize {
        let reasoning = self.reply.reasoning.as_ref().map_or(0, |it| it.text.len());
        let calls = self.reply.calls.iter();
        let calls: usize = calls.map(|it| it.name.len() + it.arguments.len()).sum();
        self.reply.content.len() + reasoning + calls
    }

    /// The reply as far as it has come, as one that was cut there.
    pub(crate) fn so_far(&self) -> Reply {
        Reply {
            is_cut: true,
            ..self.reply.clone()
        }
    }

    /// The reply, if the stream has come to its end.
    pub(crate) fn finish(self) -> Option<Reply> {
        (self.is_finished || self.is_done).then_some(self.reply)
    }
}

/// An event that is no part of a reply.
#[derive(Debug)]
pub(crate) enum StreamFault {
    NotJson(String),
    /// The endpoint reports an error in place of a chunk.
    Error(Value),
    /// There are more calls than so many.
    Calls(usize),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<String> {
        let mut reader = EventReader::default();
        let mut events: Vec<String> = pieces.iter().flat_map(|it| reader.push(it)).collect();
        events.extend(reader.finish());
        events
    }

    #[test]
    fn events_are_the_same_wherever_the_stream_is_split() {
        let stream = ": alive\r\n\r\nevent: x\r\ndata: {\"a\": \"ä\u{1f980}\"}\r\n\r\ndata:1\ndata: 2\n\nid: 7\rdata: [DONE]\r\r"
            .as_bytes();
        let expected = ["{\"a\": \"ä\u{1f980}\"}", "1\n2", "[DONE]"];
        assert_eq!(events(&[stream]), expected);
        for at in 0..=stream.len() {
            let (before, after) = stream.split_at(at);
            assert_eq!(events(&[before, after]), expected, "split at {at}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(events(&bytes), expected);
    }

    /// In time that grows with the stream: were each line copied to the next, this would take
    /// minutes.
    #[test]
    fn an_event_of_a_million_lines_is_read() {
        let count = 1 << 20;
        let found = events(&[b"data: x\n".repeat(count).as_slice()]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].len(), 2 * count - 1);
    }

    #[test]
    fn a_reply_has_so_many_calls_and_no_more() {
        let piece = |id: usize| json!({"id": id.to_string(), "function": {"name": "f"}});
        let chunk = |ids: std::ops::Range<usize>| {
            let pieces: Vec<Value> = ids.map(piece).collect();
            json!({"choices": [{"delta": {"tool_calls": pieces}}]}).to_string()
        };
        let mut assembly = Assembly::default();
        assembly.take(&chunk(0..MOST_CALLS)).expect("a chunk");
        let refused = assembly.take(&chunk(MOST_CALLS..MOST_CALLS + 1));
        assert!(matches!(refused, Err(StreamFault::Calls(MOST_CALLS))));
    }

    #[test]
    fn a_last_event_needs_no_blank_line() {
        assert_eq!(events(&[b"data: a\n\ndata: b"]), ["a", "b"]);
        assert_eq!(events(&[b"data: a\n\ndata: b\n"]), ["a", "b"]);
        assert_eq!(events(&[b"data: a\n\n"]), ["a"]);
    }

    fn assembled(deltas: &[Value]) -> Reply {
        let mut assembly = Assembly::default();
        for delta in deltas {
            let chunk = json!({"choices": [{"delta": delta, "finish_reason": null}]});
            assembly.take(&chunk.to_string()).expect("a chunk");
        }
        assembly.take("[DONE]").expect("the end");
        assembly.finish().expect("a whole reply")
    }

    fn calls(deltas: &[Value]) -> Vec<(String, String)> {
        let reply = assembled(deltas);
        let calls = reply.calls.into_iter();
        calls.map(|call| (call.name, call.arguments)).collect()
    }

    fn call(name: &str, arguments: &str) -> (String, String) {
        (name.to_owned(), arguments.to_owned())
    }

    #[test]
    fn text_and_reasoning_add_up() {
        let reply = assembled(&[
            json!({"role": "assistant", "content": ""}),
            json!({"reasoning": "a"}),
            json!({"reasoning": "b", "content": null}),
            json!({"content": "c"}),
            json!({"content": "d"}),
        ]);
        assert_eq!(reply.content, "cd");
        let reasoning = Reasoning {
            field: "reasoning",
            text: "ab".to_owned(),
        };
        assert_eq!(reply.reasoning, Some(reasoning));
    }

    #[test]
    fn pieces_of_calls_find_their_call() {
        let piece = |index: Value, id: Value, name: Value, arguments: Value| json!({"tool_calls": [{"index": index, "id": id, "function": {"name": name, "arguments": arguments}}]});
        let null = || Value::Null;
        // By index, as OpenAI's server.
        assert_eq!(
            calls(&[
                piece(json!(0), json!("x"), json!("f"), json!("")),
                piece(json!(0), null(), null(), json!("{\"a\"")),
                piece(json!(1), json!("y"), json!("g"), json!("{}")),
                piece(json!(0), null(), null(), json!(": 1}")),
            ]),
            [call("f", "{\"a\": 1}"), call("g", "{}")]
        );
        // One index for all, whole calls, distinct ids.
        assert_eq!(
            calls(&[
                piece(json!(0), json!("x"), json!("f"), json!("{}")),
                piece(json!(0), json!("y"), json!("f"), json!("{}")),
            ]),
            [call("f", "{}"), call("f", "{}")]
        );
        // No index; the name again with every piece.
        assert_eq!(
            calls(&[
                piece(null(), json!("x"), json!("f"), json!("{")),
                piece(null(), json!("x"), json!("f"), json!("}")),
                piece(null(), json!("y"), json!("g"), json!({"b": 2})),
            ]),
            [call("f", "{}"), call("g", "{\"b\":2}")]
        );
    }

    #[test]
    fn a_stream_that_never_says_its_end_is_no_reply() {
        let mut assembly = Assembly::default();
        assembly
            .take(r#"{"choices": [{"delta": {"content": "half"}, "finish_reason": null}]}"#)
            .expect("a chunk");
        assert_eq!(assembly.finish(), None);
    }

    #[test]
    fn a_finish_reason_ends_a_reply_and_length_cuts_it() {
        let mut assembly = Assembly::default();
        assembly
            .take(r#"{"choices": [{"delta": {"content": "x"}, "finish_reason": "length"}]}"#)
            .expect("a chunk");
        assembly
            .take(r#"{"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 1}}"#)
            .expect("a chunk with the usage alone");
        let reply = assembly.finish().expect("a whole reply");
        assert!(reply.is_cut);
        assert_eq!(reply.usage.completion_tokens, 1);
    }

    #[test]
    fn an_error_in_the_stream_is_told_apart() {
        let mut assembly = Assembly::default();
        assert!(matches!(
            assembly.take("nope"),
            Err(StreamFault::NotJson(_))
        ));
        let error = assembly.take(r#"{"error": {"message": "overloaded", "code": 503}}"#);
        assert!(matches!(error, Err(StreamFault::Error(_))));
    }
}
