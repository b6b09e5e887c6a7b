//! "Did you mean": the nearest of the words that would have been right.

/// A hint line that names the candidate nearest to `word`, or nothing if none is near.
pub(crate) fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let near = |candidate: &str| strsim::jaro_winkler(word, candidate);
    candidates
        .into_iter()
        .map(|candidate| (near(candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| format!("\nhint: did you mean `{candidate}`?"))
        .unwrap_or_default()
}

/// The same for a message of serde's: "unknown field `a`, expected one of `b`, `c`".
pub(crate) fn hint_of_message(message: &str) -> String {
    if !message.starts_with("unknown ") {
        return String::new();
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let word = quoted.next().unwrap_or_default();
    hint(word, quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_candidate_is_named_and_a_far_one_is_not() {
        let message = "unknown field `group-sise`, expected one of `group-size`, `max-turns`";
        assert_eq!(
            hint_of_message(message),
            "\nhint: did you mean `group-size`?"
        );
        assert_eq!(hint("zzz", ["group-size", "max-turns"]), "");
        assert_eq!(
            hint_of_message("invalid type: string `a`, expected `b`"),
            ""
        );
    }
}
