//! Every word of the tool world, in one place: the generator writes its texts from these
//! lists, and the base's tokenizer is made from them, so that each word is one token and
//! each person's name is two. Knows no task and no tool.

use episode::Seed;

use super::Split;

/// What one person can be to another. A relation is also the first half of its tool's name.
pub const RELATIONS: [&str; 24] = [
    "mentor", "rival", "owner", "partner", "captain", "author", "doctor", "tutor", "patron",
    "judge", "pilot", "guide", "banker", "tailor", "lawyer", "editor", "agent", "coach", "keeper",
    "driver", "barber", "porter", "cook", "nurse",
];

/// The first half of the name of the tool that looks up identifiers.
pub const REGISTRY: &str = "registry";

/// What a tool may call its one parameter; a world uses the first few of them.
pub const PARAMETERS: [&str; 8] = [
    "person", "who", "name", "key", "subject", "target", "entry", "label",
];

/// The parameter of a tool that takes an identifier.
pub const ID: &str = "id";

/// The other words of questions, descriptions, reasoning, observations and chat layout.
pub const WORDS: [&str; 27] = [
    "Who",
    "Find",
    "Name",
    "Need",
    "Use",
    "Found",
    "Tools",
    "system",
    "user",
    "assistant",
    "is",
    "are",
    "the",
    "of",
    "a",
    "an",
    "and",
    "as",
    "gives",
    "error",
    "no",
    "not",
    "record",
    "listed",
    "must",
    "be",
    "string",
];

const FIRST_ONSETS: [&str; 16] = [
    "Ba", "Be", "Da", "Do", "Fe", "Ga", "Ke", "Lo", "Ma", "Mi", "Na", "Pe", "Ra", "So", "Ta", "Vi",
];
const FIRST_CODAS: [&str; 3] = ["l", "n", "r"];
const SECOND_ONSETS: [&str; 16] = [
    "ba", "do", "du", "fi", "go", "ka", "li", "mu", "ne", "po", "ra", "ro", "se", "ta", "ve", "zo",
];
const SECOND_CODAS: [&str; 3] = ["m", "n", "t"];

/// How many syllables a name's first half, and its second, can be.
pub const SYLLABLES: usize = 48;

/// Consonant, vowel and consonant of a name's first half, as its onset and its coda.
pub fn first_syllable(index: usize) -> (&'static str, &'static str) {
    (FIRST_ONSETS[index / 3], FIRST_CODAS[index % 3])
}

/// Consonant, vowel and consonant of a name's second half, as its onset and its coda.
pub fn second_syllable(index: usize) -> (&'static str, &'static str) {
    (SECOND_ONSETS[index / 3], SECOND_CODAS[index % 3])
}

/// The name of the person `(first, second)`, both below [`SYLLABLES`].
pub fn person(first: usize, second: usize) -> String {
    let ((a, b), (c, d)) = (first_syllable(first), second_syllable(second));
    [a, b, c, d].concat()
}

/// Which split a person belongs to: eight, one and one of ten, by a hash of the pair, so
/// that a held-out task is about nobody that training has met.
pub fn person_split(first: usize, second: usize) -> Split {
    let pair = (first * SYLLABLES + second) as u64;
    match Seed(0).named("person").child(pair).0 % 10 {
        0..8 => Split::Train,
        8 => Split::Validation,
        _ => Split::Test,
    }
}

/// The name of a provider of tools, the second half of their names: an invented word like a
/// person's, in lower case.
pub fn provider(first: usize, second: usize) -> String {
    person(first, second).to_lowercase()
}

/// Whether a provider is kept out of training: one of five, by a hash of the pair, so that the
/// tools of a held-out task have names that training has never met.
pub fn is_held_out_provider(first: usize, second: usize) -> bool {
    let pair = (first * SYLLABLES + second) as u64;
    let hash = Seed(0).named("provider").child(pair).0;
    hash.is_multiple_of(5)
}

/// Every word that is a token of its own: as it stands, and where it is lower case also
/// with a space before it.
pub fn words() -> Vec<&'static str> {
    let mut words: Vec<&str> = [REGISTRY, ID]
        .into_iter()
        .chain(RELATIONS)
        .chain(PARAMETERS)
        .chain(WORDS)
        .collect();
    let mut seen = std::collections::HashSet::new();
    words.retain(|word| seen.insert(*word));
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_people_share_a_name() {
        let names: HashSet<String> = (0..SYLLABLES)
            .flat_map(|first| (0..SYLLABLES).map(move |second| person(first, second)))
            .collect();
        assert_eq!(names.len(), SYLLABLES * SYLLABLES);
    }

    #[test]
    fn people_are_split_in_eight_one_and_one_of_ten() {
        let count = |split| {
            (0..SYLLABLES * SYLLABLES)
                .filter(|pair| person_split(pair / SYLLABLES, pair % SYLLABLES) == split)
                .count()
        };
        let total = SYLLABLES * SYLLABLES;
        assert!(count(Split::Train).abs_diff(total * 8 / 10) < total / 25);
        assert!(count(Split::Validation).abs_diff(total / 10) < total / 50);
        assert!(count(Split::Test).abs_diff(total / 10) < total / 50);
    }

    #[test]
    fn a_fifth_of_the_providers_is_held_out() {
        let total = SYLLABLES * SYLLABLES;
        let held_out = (0..total)
            .filter(|pair| is_held_out_provider(pair / SYLLABLES, pair % SYLLABLES))
            .count();
        assert!(held_out.abs_diff(total / 5) < total / 25, "{held_out}");
    }
}
