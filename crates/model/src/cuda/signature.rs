//! What a kernel's source says of its arguments, so that a launch can be held to it.

/// A kernel of a source.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) name: String,
    pub(super) parameters: Vec<Parameter>,
}

/// What a kernel takes in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    /// An address of numbers of this type.
    Address(String),
    /// A number of this type.
    Number(String),
}

/// The kernels of a source: all that is `extern "C" __global__ void name(…)`, launch bounds
/// before the name or not.
pub(super) fn signatures(source: &str) -> Vec<Signature> {
    let source = without_comments(source);
    let kernels = source.split("extern \"C\" __global__").skip(1);
    kernels.map(signature).collect()
}

fn signature(text: &str) -> Signature {
    let text = match text.split_once('(') {
        // These parentheses are the bounds': the kernel's come after.
        Some((before, bounds)) if before.trim_end().ends_with("__launch_bounds__") => {
            bounds.split_once(')').map_or("", |(_, rest)| rest)
        }
        _ => text,
    };
    let (name, rest) = text.split_once('(').unwrap_or((text, ""));
    let parameters = rest
        .split_once(')')
        .map_or("", |(parameters, _)| parameters);
    let parameters = parameters.split(',').filter(|text| !text.trim().is_empty());
    Signature {
        name: last_word(name).to_owned(),
        parameters: parameters.map(parameter).collect(),
    }
}

fn parameter(text: &str) -> Parameter {
    let name = last_word(text);
    let kind = text.trim_end().strip_suffix(name).unwrap_or(text);
    let words: Vec<&str> = kind
        .split(|c: char| c.is_whitespace() || c == '*')
        .filter(|word| !matches!(*word, "" | "const" | "__restrict__"))
        .collect();
    match kind.contains('*') {
        true => Parameter::Address(words.join(" ")),
        false => Parameter::Number(words.join(" ")),
    }
}

fn last_word(text: &str) -> &str {
    let text = text.trim_end();
    let begin = text
        .rfind(|c: char| !c.is_alphanumeric() && c != '_')
        .map_or(0, |at| at + 1);
    &text[begin..]
}

fn without_comments(source: &str) -> String {
    let mut kept = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("//").into_iter().chain(rest.find("/*")).min() {
        kept.push_str(&rest[..at]);
        let (end, len) = if rest[at..].starts_with("//") {
            ("\n", 0)
        } else {
            ("*/", 2)
        };
        rest = rest[at..].find(end).map_or("", |to| &rest[at + to + len..]);
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::{Parameter, Signature, signatures};

    fn kernel(name: &str, parameters: &[(&str, bool)]) -> Signature {
        let parameter = |&(kind, address): &(&str, bool)| match address {
            true => Parameter::Address(kind.to_owned()),
            false => Parameter::Number(kind.to_owned()),
        };
        Signature {
            name: name.to_owned(),
            parameters: parameters.iter().map(parameter).collect(),
        }
    }

    #[test]
    fn a_kernel_says_what_it_takes() {
        let source = "
            __device__ float half_of(float x) { return x / 2; }
            /* extern \"C\" __global__ void gone(int n) {} */
            extern \"C\" __global__ void __launch_bounds__(128, 2)
            first(float* __restrict__ out, const bf16 *x, // [rows, width]
                  long long n, int /* of one row */ width, float eps) {}
            extern \"C\" __global__ __launch_bounds__(64) void second() {}
        ";
        let expected = [
            kernel(
                "first",
                &[
                    ("float", true),
                    ("bf16", true),
                    ("long long", false),
                    ("int", false),
                    ("float", false),
                ],
            ),
            kernel("second", &[]),
        ];
        assert_eq!(signatures(source), expected);
    }
}
