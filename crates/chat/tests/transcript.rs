//! Episodes as tokens, on the fixture's tokenizer, where a token is a byte or a tag.

use chat::{Chat, ChatError, Config, Thinking, Transcript, fixture};
use episode::{
    Author, CallFormat, Message, ParseFailure, Part, Role, Segment, Task, ToolCall, Trace,
    TraceTurn,
};
use proptest::prelude::*;
use serde_json::json;

const CALL: &str = "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>";

fn task() -> Task {
    Task {
        id: "t".to_owned(),
        scenario: "s".to_owned(),
        messages: vec![Message::new(Role::User, "1 + 1?")],
        tools: vec![json!({"type": "function", "function": {"name": "add"}})],
        answer: None,
        calls: CallFormat::Tagged,
    }
}

fn add() -> ToolCall {
    ToolCall {
        name: "add".to_owned(),
        arguments: json!({"a": 1}).as_object().unwrap().clone(),
    }
}

fn trace() -> Trace {
    Trace {
        task: "t".to_owned(),
        turns: vec![TraceTurn {
            reasoning: "I add.".to_owned(),
            calls: vec![add(), add()],
            results: vec!["2".to_owned(), "user".to_owned()],
            ..TraceTurn::default()
        }],
        answer: Some("Two.".to_owned()),
        ..Trace::default()
    }
}

fn with(thinking: Thinking, enable_thinking: Option<bool>) -> Chat {
    fixture::chat_with(Config {
        thinking,
        enable_thinking,
        ..Config::default()
    })
}

/// Samples a text.
fn say(transcript: &mut Transcript<'_>, chat: &Chat, text: &str) -> chat::ParsedTurn {
    let tokens = chat.encode(text).unwrap();
    let logprobs = vec![-1.0; tokens.len()];
    transcript.push_turn(&tokens, &logprobs, false).unwrap()
}

/// The stretches of a segment that share an author and a part, as text.
fn stretches(chat: &Chat, segment: &Segment) -> Vec<(Author, Part, String)> {
    let marks: Vec<(Author, Part)> = segment
        .authors
        .iter()
        .copied()
        .zip(segment.parts.iter().copied())
        .collect();
    let mut start = 0;
    marks
        .chunk_by(|a, b| a == b)
        .map(|stretch| {
            let end = start + stretch.len();
            let text = chat.decode(&segment.tokens[start..end]);
            start = end;
            (stretch[0].0, stretch[0].1, text)
        })
        .collect()
}

#[test]
fn every_token_knows_who_wrote_it_and_what_it_is() {
    use Author::{Policy, Template, Tool};
    use Part::{Answer, Call, Context, Reasoning};
    let chat = fixture::chat();
    let transcript = chat.expert(&task(), &trace()).unwrap();
    let stretch = |author, part, text: &str| (author, part, text.to_owned());
    assert_eq!(
        stretches(&chat, &transcript.segments()[0]),
        [
            stretch(
                Template,
                Context,
                "<|im_start|>system\nTools:\n{\"type\": \"function\", \"function\": {\"name\": \"add\"}}\n<|im_end|>\n\
                 <|im_start|>user\n1 + 1?<|im_end|>\n<|im_start|>assistant\n"
            ),
            stretch(Policy, Reasoning, "<think>\nI add.\n</think>"),
            stretch(Policy, Call, &format!("\n\n{CALL}\n{CALL}<|im_end|>")),
            stretch(Template, Context, "\n<|im_start|>user\n<tool_response>\n"),
            stretch(Tool, Context, "2"),
            stretch(Template, Context, "\n</tool_response>\n<tool_response>\n"),
            stretch(Tool, Context, "user"),
            stretch(
                Template,
                Context,
                "\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
            ),
            stretch(Policy, Answer, "Two.<|im_end|>"),
        ]
    );
}

#[test]
fn a_rollout_that_says_what_the_expert_said_has_the_same_tokens() {
    let chat = fixture::chat();
    let expert = chat.expert(&task(), &trace()).unwrap();
    let mut rollout = chat.transcript(&task()).unwrap();
    let parsed = say(
        &mut rollout,
        &chat,
        &format!("<think>\nI add.\n</think>\n\n{CALL}\n{CALL}<|im_end|>"),
    );
    assert_eq!(parsed.calls, [add(), add()]);
    assert_eq!(parsed.start, rollout.prompt_tokens());
    assert_eq!(parsed.end, rollout.context().len());
    rollout
        .push_observations(&["2".to_owned(), "user".to_owned()])
        .unwrap();
    say(&mut rollout, &chat, "Two.<|im_end|>");
    assert_eq!(rollout.context(), expert.context());
    assert_eq!(rollout.segments()[0].parts, expert.segments()[0].parts);
}

#[test]
fn a_worked_example_may_lack_what_the_tools_returned() {
    let chat = with(Thinking::Keep, None);
    let text = |observations| {
        let worked = chat.worked(&task(), &trace(), observations);
        let mut worked = worked.expect("a trace in tokens");
        worked.push_user("Again.").expect("a user's message");
        chat.decode(worked.context())
    };
    assert!(text(true).contains("tool_response"), "{}", text(true));
    let without = text(false);
    assert!(!without.contains("tool_response"), "{without}");
    for kept in ["I add.", "<tool_call>", "Two.", "Again."] {
        assert!(without.contains(kept), "{without}");
    }
}

#[test]
fn reasoning_can_be_cut_to_its_first_segments() {
    let chat = with(Thinking::Keep, None);
    let check = |kept, expected| {
        assert_eq!(chat.first_segments("One. Two! Three.", kept), expected);
    };
    check(0, "");
    check(1, "One.");
    check(2, "One. Two!");
    check(3, "One. Two! Three.");
    check(9, "One. Two! Three.");
    assert_eq!(chat.first_segments("", 1), "");
}

#[test]
fn a_turn_cut_off_is_ended_by_the_template() {
    let chat = fixture::chat();
    let mut transcript = chat.transcript(&task()).unwrap();
    let tokens = chat.encode("<tool_call>\n{\"name\"").unwrap();
    let parsed = transcript
        .push_turn(&tokens, &vec![0.0; tokens.len()], true)
        .unwrap();
    assert_eq!(parsed.calls, []);
    assert_eq!(parsed.failures, [ParseFailure::Unclosed]);
    transcript.push_observations(&["no".to_owned()]).unwrap();
    assert!(
        chat.decode(&transcript.context()[parsed.end..])
            .starts_with("<|im_end|>\n<|im_start|>user\n<tool_response>\nno\n")
    );
}

#[test]
fn a_turn_that_another_token_stopped_is_ended_by_the_template_too() {
    let config = fixture::tokenizer_config_json().replace("<|im_end|>\"", "<|endoftext|>\"");
    let chat = Chat::from_json(&fixture::tokenizer_json(), &config, Config::default()).unwrap();
    assert_eq!(chat.stop_tokens(), [256, 258]);
    let mut transcript = chat.transcript(&task()).unwrap();
    let parsed = say(&mut transcript, &chat, &format!("{CALL}<|endoftext|>"));
    assert_eq!(transcript.segments()[0].parts.last(), Some(&Part::Call));
    transcript.push_observations(&["2".to_owned()]).unwrap();
    assert!(
        chat.decode(&transcript.context()[parsed.end - 1..])
            .starts_with("<|endoftext|><|im_end|>\n<|im_start|>user")
    );
}

#[test]
fn a_user_may_speak_after_a_turn_or_in_place_of_one() {
    let chat = fixture::chat();
    let asks = "<|im_start|>user\nAgain!<|im_end|>\n<|im_start|>assistant\n";

    let mut transcript = chat.transcript(&task()).unwrap();
    transcript.push_user("Again!").unwrap();
    assert_eq!(transcript.prompt_tokens(), transcript.context().len());
    let text = chat.decode(transcript.context());
    assert!(
        text.ends_with(&format!("1 + 1?<|im_end|>\n{asks}")),
        "{text}"
    );

    say(&mut transcript, &chat, "Two.<|im_end|>");
    transcript.push_user("Again!").unwrap();
    assert!(transcript.prompt_tokens() < transcript.context().len());
    let text = chat.decode(transcript.context());
    assert!(text.ends_with(&format!("Two.<|im_end|>\n{asks}")), "{text}");

    let unanswered = Trace {
        answer: None,
        ..trace()
    };
    let mut transcript = chat.expert(&task(), &unanswered).unwrap();
    transcript.push_user("Again!").unwrap();
    let text = chat.decode(transcript.context());
    assert!(
        text.ends_with(&format!("</tool_response><|im_end|>\n{asks}")),
        "{text}"
    );
    let segment = &transcript.segments()[0];
    assert_eq!(segment.authors.len(), segment.tokens.len());
    assert_eq!(segment.parts.len(), segment.tokens.len());
    assert_eq!(segment.logprobs.len(), segment.tokens.len());
}

#[test]
fn a_chat_is_shared_between_threads() {
    fn shared(_: &(impl Send + Sync)) {}
    shared(&fixture::chat());
}

#[test]
fn pushes_out_of_order_are_refused() {
    let chat = fixture::chat();
    let mut transcript = chat.transcript(&task()).unwrap();
    let error = transcript.push_observations(&[]).unwrap_err();
    assert!(matches!(error, ChatError::OutOfTurn { .. }), "{error}");
    say(&mut transcript, &chat, "Two.<|im_end|>");
    let error = transcript.push_turn(&[1], &[0.0], false).unwrap_err();
    assert!(matches!(error, ChatError::OutOfTurn { .. }), "{error}");
}

#[test]
fn thinking_kept_is_one_segment_and_thinking_stripped_begins_new_ones() {
    let segments = |thinking| {
        let chat = with(thinking, None);
        let mut transcript = chat.transcript(&task()).unwrap();
        say(
            &mut transcript,
            &chat,
            &format!("<think>\nHm.\n</think>\n\n{CALL}<|im_end|>"),
        );
        transcript.push_observations(&["2".to_owned()]).unwrap();
        // After the last user's message, the template keeps the reasoning of a chain of calls.
        assert_eq!(transcript.segments().len(), 1);
        assert!(
            transcript.segments()[0].authors.contains(&Author::Tool),
            "what extends a segment keeps its authors"
        );
        say(&mut transcript, &chat, "Two.<|im_end|>");
        transcript.push_user("Sure?").unwrap();
        let parsed = say(&mut transcript, &chat, "Yes.<|im_end|>");
        assert_eq!(parsed.segment, transcript.segments().len() - 1);
        let texts: Vec<String> = transcript
            .segments()
            .iter()
            .map(|segment| chat.decode(&segment.tokens))
            .collect();
        let last = transcript.segments().last().unwrap();
        let sampled = last.authors.iter().filter(|&&a| a == Author::Policy);
        (texts, sampled.count())
    };
    let (kept, sampled) = segments(Thinking::Keep);
    assert_eq!(kept.len(), 1);
    assert!(kept[0].contains("Hm.") && sampled > 10);

    let (stripped, sampled) = segments(Thinking::Strip);
    assert_eq!(stripped.len(), 2);
    assert!(stripped[0].contains("Hm.") && !stripped[1].contains("Hm."));
    assert!(stripped[1].contains(CALL) && stripped[1].ends_with("Yes.<|im_end|>"));
    assert_eq!(sampled, "Yes.".len() + 1);
}

#[test]
fn an_expert_does_not_think_where_thinking_is_off() {
    let chat = with(Thinking::Keep, Some(false));
    let transcript = chat.expert(&task(), &trace()).unwrap();
    let text = chat.decode(transcript.context());
    assert!(
        text.contains("<|im_start|>assistant\n<think>\n\n</think>\n\n<tool_call>"),
        "{text}"
    );
    assert!(!text.contains("I add."));
    assert!(!transcript.segments()[0].parts.contains(&Part::Reasoning));
}

#[test]
fn reasoning_that_the_prompt_has_opened_is_reasoning_from_its_first_token() {
    let config = fixture::tokenizer_config_json().replace(
        "{{- '<|im_start|>assistant\\\\n' }}",
        "{{- '<|im_start|>assistant\\\\n<think>\\\\n' }}",
    );
    assert_ne!(config, fixture::tokenizer_config_json());
    let chat = Chat::from_json(&fixture::tokenizer_json(), &config, Config::default()).unwrap();
    let mut transcript = chat.transcript(&task()).unwrap();
    say(&mut transcript, &chat, "So\n</think>\n\nTwo.<|im_end|>");
    let expert = Trace {
        turns: Vec::new(),
        answer_reasoning: "So".to_owned(),
        ..trace()
    };
    let expert = chat.expert(&task(), &expert).unwrap();
    assert_eq!(expert.context(), transcript.context());
    let sampled = &stretches(&chat, &expert.segments()[0])[1..];
    assert_eq!(
        sampled,
        [
            (Author::Policy, Part::Reasoning, "So\n</think>".to_owned()),
            (
                Author::Policy,
                Part::Answer,
                "\n\nTwo.<|im_end|>".to_owned()
            ),
        ]
    );
}

#[test]
fn a_template_without_reasoning_gets_it_in_the_content() {
    let template = "{% for m in messages %}<|im_start|>{{ m.role + '\n' + m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    let config = json!({"eos_token": {"content": "<|im_end|>"}, "chat_template": template});
    let chat = Chat::from_json(
        &fixture::tokenizer_json(),
        &config.to_string(),
        Config::default(),
    )
    .unwrap();
    let turn = chat.expert_turn(" So ", &[], "Two.").unwrap();
    assert_eq!(
        chat.decode(&turn),
        "<think>\nSo\n</think>\n\nTwo.<|im_end|>"
    );
}

#[test]
fn a_template_that_rewrites_what_tools_return_still_marks_it() {
    let config = fixture::tokenizer_config_json().replace(
        "'<tool_response>\\\\n' + message.content",
        "'<tool_response>\\\\n' + message.content | tojson",
    );
    assert_ne!(config, fixture::tokenizer_config_json());
    let chat = Chat::from_json(&fixture::tokenizer_json(), &config, Config::default()).unwrap();
    let mut transcript = chat.transcript(&task()).unwrap();
    say(&mut transcript, &chat, &format!("{CALL}<|im_end|>"));
    transcript
        .push_observations(&["a\nb".to_owned(), "c".to_owned()])
        .unwrap();
    let stretches = stretches(&chat, &transcript.segments()[0]);
    let tool: Vec<&str> = stretches
        .iter()
        .filter(|(author, _, _)| *author == Author::Tool)
        .map(|(_, _, text)| text.as_str())
        .collect();
    assert_eq!(tool, ["a\\nb\"\n</tool_response>\n<tool_response>\n\"c"]);
}

#[test]
fn bad_folders_are_told_apart() {
    let check = |settings: &str, expected: &str| {
        let error =
            Chat::from_json(&fixture::tokenizer_json(), settings, Config::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check("{", "tokenizer_config.json");
    check("[]", "expected an object");
    check("{}", "no chat template");
    check("{\"chat_template\": \"{% if %}\"}", "chat_template:1");
    check(
        "{\"chat_template\": \"hi\"}",
        "does not print an assistant's content",
    );
    check(
        "{\"chat_template\": \"{% for m in messages %}{{ m.content }} {% endfor %}\"}",
        "no end-of-sequence token",
    );
    let absent = fixture::tokenizer_config_json().replace("<|im_end|>\"", "<|eot|>\"");
    check(
        &absent,
        "`tokenizer_config.json`: end-of-sequence token <|eot|>",
    );
    let missing = Chat::load(std::path::Path::new("no-such-folder"), Config::default());
    assert!(matches!(missing, Err(ChatError::Read { .. })));
}

#[test]
fn a_folder_names_its_stop_tokens_in_three_files() {
    let dir = std::env::temp_dir().join(format!("pact-chat-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
    write("tokenizer.json", &fixture::tokenizer_json());
    write("tokenizer_config.json", &fixture::tokenizer_config_json());
    write("generation_config.json", "{\"eos_token_id\": [258, 256]}");
    write("config.json", "{\"eos_token_id\": 0}");
    let loaded = Chat::load(&dir, Config::default()).map(|chat| chat.stop_tokens().to_vec());
    write("config.json", "{\"eos_token_id\": 265}");
    let refused = Chat::load(&dir, Config::default()).map(|_| ());
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(loaded.unwrap(), [258, 256, 0]);
    assert!(matches!(refused, Err(ChatError::StopToken { .. })));
}

#[test]
fn reasoning_is_cut_at_tokens() {
    let chat = fixture::chat();
    let turn = chat
        .expert_turn("One. \n\nTwo.\nThree", &[add()], "")
        .unwrap();
    let mut transcript = chat.transcript(&task()).unwrap();
    transcript
        .push_turn(&turn, &vec![0.0; turn.len()], false)
        .unwrap();
    let segment = &transcript.segments()[0];
    let texts: Vec<String> = chat
        .reasoning_segments(&segment.tokens, &segment.parts)
        .into_iter()
        .map(|range| chat.decode(&segment.tokens[range]))
        .collect();
    assert_eq!(texts, ["<think>\nOne. \n\n", "Two.\nThree\n</think>"]);
}

#[test]
fn an_experts_reasoning_comes_turn_by_turn_in_the_segments_that_are_taught() {
    let expert = Trace {
        answer_reasoning: "One.\n\nTwo. Three.".to_owned(),
        ..trace()
    };
    for thinking in [Thinking::Keep, Thinking::Strip] {
        let chat = with(thinking, None);
        let turns = chat.expert_reasoning(&task(), &expert).unwrap();
        let answer = vec![
            "<think>\nOne.\n\n".to_owned(),
            "Two. Three.\n</think>".to_owned(),
        ];
        assert_eq!(
            turns,
            [vec!["<think>\nI add.\n</think>".to_owned()], answer]
        );
    }
    let turns = fixture::chat().expert_reasoning(&task(), &trace()).unwrap();
    assert_eq!(turns[1], [] as [String; 0]);
}

/// What may happen in an episode.
#[derive(Clone, Debug)]
enum Push {
    Turn(Vec<u32>, bool),
    Observations(Vec<String>),
    User(String),
}

#[test]
fn an_expert_who_answers_a_user_that_goes_on_is_laid_out_as_the_template_prints_it() {
    let chat = fixture::chat();
    let answering = |content: &str, reply: &str| TraceTurn {
        content: content.to_owned(),
        reply: Some(reply.to_owned()),
        ..TraceTurn::default()
    };
    let trace = Trace {
        task: "t".to_owned(),
        turns: vec![
            answering("One.", "And then?"),
            TraceTurn {
                calls: vec![add()],
                results: vec!["2".to_owned()],
                ..TraceTurn::default()
            },
            answering("Two.", "And then?"),
        ],
        answer: Some("Three.".to_owned()),
        ..Trace::default()
    };
    let task = task();
    let transcript = chat.expert(&task, &trace).unwrap();
    let [segment] = transcript.segments() else {
        panic!("an expert's transcript that only grows is one segment");
    };
    let text = chat.decode(&segment.tokens);
    let mut messages = task.messages.clone();
    messages.extend([
        Message::new(Role::Assistant, "One."),
        Message::new(Role::User, "And then?"),
        Message {
            tool_calls: vec![add()],
            ..Message::new(Role::Assistant, "")
        },
        Message::new(Role::Tool, "2"),
        Message::new(Role::Assistant, "Two."),
        Message::new(Role::User, "And then?"),
        Message::new(Role::Assistant, "Three."),
    ]);
    let printed = chat.render(&messages, &task.tools, false, None).unwrap();
    assert_eq!(text.trim_end(), printed.trim_end());
    let turns = segment.runs_of(Author::Policy);
    let turns: Vec<String> = (turns.into_iter())
        .map(|turn| chat.decode(&segment.tokens[turn]))
        .collect();
    assert_eq!(turns.len(), 4, "{turns:?}");
    assert!(turns[2].starts_with("Two."), "{turns:?}");
}

fn turn_tokens() -> impl Strategy<Value = Vec<u32>> {
    let chat = fixture::chat();
    let pieces = [
        CALL,
        "<think>",
        "</think>",
        "<tool_call>",
        "Two. ",
        "<|im_end|>",
    ]
    .map(|text| chat.encode(text).unwrap());
    let piece = prop_oneof![
        prop::sample::select(pieces.to_vec()),
        prop::collection::vec(0..300_u32, 0..6),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// Turns, each with what follows it.
fn episode() -> impl Strategy<Value = Vec<Push>> {
    let turn = (turn_tokens(), any::<bool>()).prop_map(|(tokens, cut)| Push::Turn(tokens, cut));
    let follows = prop_oneof![
        prop::collection::vec("(\\PC|\n| |<\\|im_end\\|>){0,9}", 1..3).prop_map(Push::Observations),
        "\\PC{0,9}".prop_map(Push::User),
    ];
    prop::collection::vec((turn, follows), 1..5)
        .prop_map(|pairs| pairs.into_iter().flat_map(|(a, b)| [a, b]).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_episode_is_what_was_pushed_token_for_token(pushes in episode(), strip: bool) {
        let chat = with(if strip { Thinking::Strip } else { Thinking::Keep }, None);
        let mut transcript = chat.transcript(&task()).unwrap();
        let mut seen = transcript.context().to_vec();
        let mut sampled = Vec::new();
        for push in &pushes {
            let segments = transcript.segments().len();
            match push {
                Push::Turn(tokens, cut_off) => {
                    let logprobs: Vec<f32> = tokens.iter().map(|&t| -(t as f32)).collect();
                    let parsed = transcript.push_turn(tokens, &logprobs, *cut_off).unwrap();
                    let turn = &transcript.segments()[parsed.segment];
                    prop_assert_eq!(&turn.tokens[parsed.start..parsed.end], &tokens[..]);
                    prop_assert_eq!(&turn.logprobs[parsed.start..parsed.end], &logprobs[..]);
                    sampled.extend_from_slice(tokens);
                }
                Push::Observations(texts) => transcript.push_observations(texts).unwrap(),
                Push::User(text) => transcript.push_user(text).unwrap(),
            }
            if transcript.segments().len() == segments {
                prop_assert!(transcript.context().starts_with(&seen), "nothing is rewritten");
            } else {
                prop_assert!(strip);
            }
            seen = transcript.context().to_vec();
        }
        let mut by_policy = Vec::new();
        for segment in transcript.segments() {
            prop_assert_eq!(segment.authors.len(), segment.tokens.len());
            prop_assert_eq!(segment.parts.len(), segment.tokens.len());
            prop_assert_eq!(segment.logprobs.len(), segment.tokens.len());
            for i in 0..segment.tokens.len() {
                let policy = segment.authors[i] == Author::Policy;
                prop_assert_eq!(policy, segment.parts[i] != Part::Context);
                if policy {
                    by_policy.push(segment.tokens[i]);
                } else {
                    prop_assert_eq!(segment.logprobs[i], 0.0);
                }
            }
        }
        prop_assert_eq!(by_policy, sampled);
    }

    #[test]
    fn segments_cover_all_reasoning_and_nothing_else(tokens in turn_tokens()) {
        let chat = fixture::chat();
        let mut transcript = chat.transcript(&task()).unwrap();
        transcript.push_turn(&tokens, &vec![0.0; tokens.len()], false).unwrap();
        let segment = &transcript.segments()[0];
        let covered: Vec<usize> = chat
            .reasoning_segments(&segment.tokens, &segment.parts)
            .into_iter()
            .flatten()
            .collect();
        let reasoning: Vec<usize> = (0..segment.tokens.len())
            .filter(|&i| segment.parts[i] == Part::Reasoning)
            .collect();
        prop_assert_eq!(covered, reasoning);
    }
}

#[test]
fn an_expert_calls_as_the_prompt_asks() {
    use Author::{Policy, Template};
    use Part::{Answer, Call, Context, Reasoning};
    let chat = fixture::chat();
    let task = Task {
        calls: CallFormat::Python,
        ..task()
    };
    let transcript = chat.expert(&task, &trace()).unwrap();
    let stretches = stretches(&chat, &transcript.segments()[0]);
    let said: Vec<_> = stretches
        .iter()
        .filter(|(author, _, _)| *author == Policy)
        .map(|(_, part, text)| (*part, text.as_str()))
        .collect();
    let expected = [
        (Reasoning, "<think>\nI add.\n</think>"),
        (Call, "\n\n[add(a=1), add(a=1)]<|im_end|>"),
        (Answer, "Two.<|im_end|>"),
    ];
    assert_eq!(said, expected);
    let (author, part, _) = &stretches[0];
    assert_eq!((*author, *part), (Template, Context));
}
