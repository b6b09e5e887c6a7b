//! An expert trace as text, for a system's or a user's message: what a Jinja template prints.

use episode::Trace;
use minijinja::value::{Serde, Value as Jinja};
use minijinja::{UndefinedBehavior, context};

use crate::ChatError;
use crate::template;

/// Prints every turn's reasoning, calls and results, then the answer.
pub const TRACE_TEMPLATE: &str = "\
Here is a worked example of this task.
{% for turn in turns %}
{% if turn.reasoning %}
{{ turn.reasoning }}
{% endif %}
{% for call in turn.calls %}
call: {{ call | tojson }}
{% endfor %}
{% for result in turn.results %}
result: {{ result }}
{% endfor %}
{% endfor %}
{% if answer_reasoning %}
{{ answer_reasoning }}
{% endif %}
{% if answer %}
answer: {{ answer }}
{% endif %}
Now solve the task yourself.";

/// Prints a trace by a Jinja template, which sees `turns` (each with `reasoning`, `calls` and
/// `results`), `answer_reasoning` and `answer`. A name that it misspells is an error.
pub fn trace_text(template: &str, trace: &Trace) -> Result<String, ChatError> {
    let mut environment = template::environment()?;
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
        .render_str(
            template,
            context! {
                turns => Jinja::from(Serde(&trace.turns)),
                answer_reasoning => &trace.answer_reasoning,
                answer => &trace.answer,
            },
        )
        .map_err(|error| ChatError::TraceTemplate(error.to_string()))
}

#[cfg(test)]
mod tests {
    use episode::{ToolCall, TraceTurn};

    use super::*;

    fn trace() -> Trace {
        let mut trace: Trace = serde_json::from_str(r#"{"task": "t", "turns": [], "answer": "7"}"#)
            .expect("a trace without turns");
        trace.turns.push(TraceTurn {
            reasoning: "Look it up.".to_owned(),
            calls: vec![ToolCall {
                name: "find".to_owned(),
                arguments: serde_json::from_str(r#"{"of": "x"}"#).expect("an object"),
            }],
            results: vec!["seven".to_owned()],
            ..TraceTurn::default()
        });
        trace
    }

    #[test]
    fn a_trace_is_printed_turn_by_turn() {
        let text = trace_text(TRACE_TEMPLATE, &trace()).expect("the default template");
        assert_eq!(
            text,
            "Here is a worked example of this task.\nLook it up.\n\
             call: {\"name\": \"find\", \"arguments\": {\"of\": \"x\"}}\nresult: seven\n\
             answer: 7\nNow solve the task yourself."
        );
    }

    #[test]
    fn a_template_of_ones_own_may_leave_things_out_but_not_misspell_them() {
        let text = trace_text("{{ turns | length }} turns, then {{ answer }}", &trace());
        assert_eq!(text.expect("known names"), "1 turns, then 7");
        let error = trace_text("{{ anwser }}", &trace()).expect_err("no such name");
        assert!(
            error.to_string().starts_with("`trace.template`:"),
            "{error}"
        );
    }
}
