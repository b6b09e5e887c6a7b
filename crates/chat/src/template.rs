//! A chat template, in the environment that Hugging Face's templates expect.
//! It prints text from messages; it knows no token.

use std::panic::{AssertUnwindSafe, catch_unwind};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, StringInput, Value as Jinja};
use minijinja::{Environment, Error, ErrorKind, context, filters};
use python::{JsonStyle, json_dumps};
use serde_json::{Map, Value};

use crate::ChatError;
use crate::date::Date;

const NAME: &str = "chat_template";
/// Of `tojson` and `indent`, in blanks.
const WIDEST_INDENT: usize = 80;
/// Steps that a template may take to print a conversation, about a second's; one of a thousand
/// messages takes less than a million. A template is a stranger's program, and may have no end.
const STEPS: u64 = 50_000_000;

/// A parsed chat template.
#[derive(Debug)]
pub(crate) struct Template {
    environment: Environment<'static>,
}

impl Template {
    /// Parses a template. `variables` are what it may print besides the conversation: the
    /// tokenizer's special tokens by name (`bos_token`, `eos_token`, ...).
    pub(crate) fn parse(
        source: &str,
        variables: &Map<String, Value>,
        today: Date,
    ) -> Result<Self, ChatError> {
        let mut environment = environment()?;
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", move |format: &str| today.format(format));
        for (name, value) in variables {
            environment.add_global(name.clone(), Jinja::from(Serde(value)));
        }
        environment
            .add_template_owned(NAME, without_generation_tags(source))
            .map_err(described)?;
        Ok(Self { environment })
    }

    /// Prints a conversation. Without tools, the template sees `tools` as none; without
    /// `enable_thinking`, it does not see that variable at all.
    pub(crate) fn render(
        &self,
        messages: &[Value],
        tools: &[Value],
        add_generation_prompt: bool,
        enable_thinking: Option<bool>,
    ) -> Result<String, ChatError> {
        let tools = (!tools.is_empty()).then_some(tools);
        let mut variables = context! {
            messages => Jinja::from(Serde(messages)),
            tools => Jinja::from(Serde(tools)),
            add_generation_prompt,
        };
        if let Some(enable_thinking) = enable_thinking {
            variables = context! { enable_thinking, ..variables };
        }
        let template = self.environment.get_template(NAME).map_err(described)?;
        // Over a slice backwards from beyond the end, the engine overflows where it fails over
        // anything else; such a template is an error like the others.
        let printed = catch_unwind(AssertUnwindSafe(|| template.render(variables)));
        let overflow = |_| ChatError::Template("its arithmetic overflows".into());
        printed.map_err(overflow)?.map_err(described)
    }
}

/// What every template of ours finds: Hugging Face's white space, Python's methods, its JSON.
pub(crate) fn environment() -> Result<Environment<'static>, ChatError> {
    let mut environment = Environment::new();
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(described)?,
    );
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_filter("tojson", tojson);
    environment.add_filter("indent", indent);
    environment.set_fuel(Some(STEPS));
    Ok(environment)
}

/// The engine's own, which would take any width.
fn indent(
    text: StringInput<'_>,
    width: Option<usize>,
    first: Option<bool>,
    blank: Option<bool>,
    arguments: Kwargs,
) -> Result<Jinja, Error> {
    let named = arguments.peek::<Option<usize>>("width")?;
    check_width(width.or(named).unwrap_or_default())?;
    filters::indent(text, width, first, blank, arguments)
}

fn raise_exception(message: String) -> Result<Jinja, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// `json.dumps` as a filter, with the keyword arguments that Hugging Face's takes.
fn tojson(value: &Jinja, arguments: Kwargs) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::new(
            ErrorKind::UndefinedError,
            "an undefined value is not JSON",
        ));
    }
    let style = JsonStyle {
        ensure_ascii: arguments
            .get::<Option<bool>>("ensure_ascii")?
            .unwrap_or(false),
        sort_keys: arguments.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        indent: match arguments.get::<Option<Jinja>>("indent")? {
            Some(indent) => Some(match indent.as_str() {
                Some(text) => text.to_owned(),
                None => " ".repeat(check_width(usize::try_from(indent)?)?),
            }),
            None => None,
        },
        separators: match arguments
            .get::<Option<Vec<String>>>("separators")?
            .as_deref()
        {
            None => None,
            Some([item, key]) => Some((item.clone(), key.clone())),
            Some(_) => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    "tojson: expected two separators",
                ));
            }
        },
    };
    arguments.assert_all_used()?;
    let value = serde_json::to_value(value)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    json_dumps(&(&value).into(), &style)
        .map_err(|exception| Error::new(ErrorKind::BadSerialization, exception.text))
}

/// An indent in blanks; a template of a stranger's may ask for more than there is memory.
fn check_width(width: usize) -> Result<usize, Error> {
    if width <= WIDEST_INDENT {
        return Ok(width);
    }
    let problem = format!("an indent of {width}, expected {WIDEST_INDENT} or less");
    Err(Error::new(ErrorKind::InvalidOperation, problem))
}

/// Some templates mark what an assistant wrote with `{% generation %}`, a tag of Hugging Face's
/// own that prints nothing.
fn without_generation_tags(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else {
            break;
        };
        let (tag, after) = rest[start..].split_at(length);
        text.push_str(&rest[..start]);
        match tag.trim_matches(|c: char| "{%-+ \n\t".contains(c)) {
            "generation" => text.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => text.push_str(&tag.replace("endgeneration", "endif")),
            _ => text.push_str(tag),
        }
        rest = after;
    }
    text + rest
}

/// The error with its line, and what caused it.
fn described(error: Error) -> ChatError {
    ChatError::Template(error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(source: &str) -> Result<String, ChatError> {
        let variables = json!({"bos_token": "<s>"});
        let messages = json!([
            {"role": "user", "content": "  hi\n\n"},
            {"role": "assistant", "content": "a</think>b", "size": 1e20},
        ]);
        Template::parse(
            source,
            variables.as_object().unwrap(),
            Date::parse("2024-07-04").unwrap(),
        )?
        .render(messages.as_array().unwrap(), &[], true, None)
    }

    #[test]
    fn templates_find_what_hugging_face_gives_them() {
        let check = |source: &str, expected: &str| {
            assert_eq!(render(source).expect(source), expected, "{source}");
        };
        check(
            "{{ bos_token }}{{ strftime_now('%d %b %Y') }}",
            "<s>04 Jul 2024",
        );
        check("{{ messages[0].content.rstrip('\\n') }}|", "  hi|");
        check("{{ messages[0].content.strip() }}|", "hi|");
        check("{{ messages[1].content.split('</think>')[-1] }}", "b");
        check("{{ messages[1].content.startswith('a<') }}", "True");
        check(
            "{{ messages[1] | tojson }}",
            "{\"role\": \"assistant\", \"content\": \"a</think>b\", \"size\": 1e+20}",
        );
        check(
            "{{ [1, 'é'] | tojson(indent=2, ensure_ascii=true) }}",
            "[\n  1,\n  \"\\u00e9\"\n]",
        );
        check(
            "{{ {'b': 1, 'a': 2} | tojson(separators=(',', ':'), sort_keys=true) }}",
            "{\"a\":2,\"b\":1}",
        );
        check(
            "{% for m in messages[::-1] %}\n    {%- if loop.first %}{% continue %}{% endif %}\n    {{- m.role }}\n    {%- break %}\n{% endfor %}\n",
            "user",
        );
        check(
            "{%- set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
            "2",
        );
        check(
            "{%- if tools is none and enable_thinking is not defined %}yes{% endif %}",
            "yes",
        );
        check("a\n  {%- generation -%}\n b\n{% endgeneration %}\n", "ab\n");
    }

    #[test]
    fn an_indent_that_no_memory_holds_is_refused() {
        for template in [
            "{{ [1] | tojson(indent=18446744073709551615) }}",
            "{{ 'a' | indent(18446744073709551615) }}",
            "{{ 'a' | indent(width=18446744073709551615) }}",
        ] {
            let error = render(template).unwrap_err();
            assert!(error.to_string().contains("expected 80 or less"), "{error}");
        }
        let indented = render("{{ 'a\nb' | indent(2, first=true) }}{{ 'a\nb' | indent }}");
        assert_eq!(indented.unwrap(), "  a\n  ba\n    b");
    }

    /// The engine's own arithmetic is checked in builds for tests alone.
    #[test]
    fn a_slice_backwards_from_beyond_the_end_is_an_error_or_empty() {
        match render("{{ messages[:5:-1] | length }}") {
            Ok(length) => assert_eq!(length, "0"),
            Err(error) => assert!(
                error.to_string().contains("arithmetic overflows"),
                "{error}"
            ),
        }
    }

    #[test]
    fn a_template_without_an_end_is_stopped() {
        let many = "{% for a in range(90000) %}".repeat(3);
        let error = render(&format!("{many}{}", "{% endfor %}".repeat(3))).unwrap_err();
        assert!(error.to_string().contains("fuel"), "{error}");
    }

    #[test]
    fn an_exception_of_the_template_is_told() {
        let error = render("{{ raise_exception('roles must alternate') }}").unwrap_err();
        assert!(
            error.to_string().contains("roles must alternate"),
            "{error}"
        );
        let error = render("{% if %}").unwrap_err();
        assert!(error.to_string().contains("chat_template:1"), "{error}");
    }
}
