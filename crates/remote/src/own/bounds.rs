//! What another may take of our time and memory, and what is said to it of ourselves.

use std::collections::BTreeMap;
use std::time::Duration;

/// A time that may pass, read from seconds.
pub(crate) fn limit(field: &str, seconds: f64) -> Result<Duration, String> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(limit) if !limit.is_zero() => Ok(limit),
        _ => {
            let expected = "expected a number of seconds above 0";
            Err(format!("`{field}` is {seconds}, {expected}"))
        }
    }
}

/// At most `longest` bytes of a text, and then how much there was.
pub(crate) fn cut(mut text: String, longest: usize) -> String {
    let whole = text.len();
    if whole > longest {
        let mut ends = (0..=longest).rev();
        let end = ends.find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text += &format!("\n[cut off here: it has {whole} bytes]");
    }
    text
}

/// HTTP headers by name, with the values that environment variables hold. `variable` looks one
/// up.
pub(crate) fn headers(
    names: &BTreeMap<String, String>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, String> {
    let header = |(header, name): (&String, &String)| match variable(name) {
        Some(value) => Ok((header.clone(), value)),
        None => Err(format!(
            "`headers.{header}`: the environment variable `{name}` is not set\nhint: a header's \
             value is kept in an environment variable, and the config names that variable"
        )),
    };
    names.iter().map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(
            cut("aéé".to_owned(), 4),
            "aé\n[cut off here: it has 5 bytes]"
        );
        assert_eq!(cut("aéé".to_owned(), 5), "aéé");
    }

    #[test]
    fn a_limit_is_some_time() {
        assert_eq!(limit("x", 0.5), Ok(Duration::from_millis(500)));
        for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let problem = limit("x", seconds).unwrap_err();
            assert!(
                problem.contains("expected a number of seconds above 0"),
                "{problem}"
            );
        }
    }

    #[test]
    fn a_header_has_what_its_variable_holds() {
        let names = BTreeMap::from([("Authorization".to_owned(), "TOKEN".to_owned())]);
        let held = headers(&names, &|name| {
            (name == "TOKEN").then(|| "secret".to_owned())
        });
        assert_eq!(
            held,
            Ok(vec![("Authorization".to_owned(), "secret".to_owned())])
        );
        let missing = headers(&names, &|_| None).unwrap_err();
        assert!(
            missing.contains("the environment variable `TOKEN` is not set"),
            "{missing}"
        );
    }
}
