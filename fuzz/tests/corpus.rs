//! Every reader against its corpus, and against a few thousand inputs that are nearly those.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fuzz::TARGETS;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Changed inputs of each reader.
const CHANGED: usize = 300;
/// A changed input is at most so long, in bytes, but where it nests deeply.
const LONGEST: usize = 4096;

/// What readers stumble over: numbers at the ends of their types, what opens and never closes,
/// half a character, text that stands for something.
const PIECES: &[&[u8]] = &[
    b"0",
    b"-1",
    b"9223372036854775807",
    b"18446744073709551615",
    b"1e999",
    b"-0.0",
    b"null",
    b"\"\"",
    b"{}",
    b"[]",
    b"\n",
    b"\0",
    b"\\u",
    b"\xff",
    "\u{1f980}".as_bytes(),
    b"<think>",
    b"</think>",
    b"<tool_call>",
    b"</tool_call>",
    b"<|im_end|>",
    b"data: ",
    b"**",
    b"'",
];
const OPENING: &[&[u8]] = &[
    b"[", b"{", b"(", b"{\"a\":", b"not ", b"-", b"f(", b"[a.b(x=",
];

#[test]
fn every_reader_comes_back_from_every_input_of_its_corpus() {
    let mut panics = Vec::new();
    for (name, read) in TARGETS {
        for (file, bytes) in corpus(name) {
            panics.extend(panic_of(name, &file, &bytes, *read));
        }
    }
    assert!(panics.is_empty(), "{}", panics.join("\n"));
}

#[test]
fn every_reader_comes_back_from_inputs_that_are_nearly_those_of_its_corpus() {
    let mut panics = Vec::new();
    for (number, (name, read)) in TARGETS.iter().enumerate() {
        let inputs = corpus(name);
        let mut rng = ChaCha8Rng::seed_from_u64(number as u64);
        panics.extend((0..CHANGED).find_map(|_| {
            let (file, bytes) = &inputs[rng.random_range(0..inputs.len())];
            let (_, other) = &inputs[rng.random_range(0..inputs.len())];
            let bytes = changed(&mut rng, bytes, other);
            panic_of(name, file, &bytes, *read)
        }));
    }
    assert!(panics.is_empty(), "{}", panics.join("\n"));
}

/// Nesting is what ends a recursive reader, and not by a panic.
#[test]
fn no_reader_runs_out_of_stack() {
    let mut panics = Vec::new();
    for (name, read) in TARGETS {
        for opening in OPENING {
            let deep = opening.repeat(20_000);
            panics.extend(panic_of(name, "deep", &deep, *read));
            let chosen = [&[0], &deep[..]].concat();
            panics.extend(panic_of(name, "deep", &chosen, *read));
        }
    }
    assert!(panics.is_empty(), "{}", panics.join("\n"));
}

/// The inputs of a reader with their names, in the order of these.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut inputs: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(&path).unwrap())
        })
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "no input in {folder:?}");
    inputs
}

/// What to say of an input over which a reader panics.
fn panic_of(name: &str, file: &str, bytes: &[u8], read: fuzz::Target) -> Option<String> {
    catch_unwind(AssertUnwindSafe(|| read(bytes))).err()?;
    let shown = bytes[..bytes.len().min(LONGEST)].escape_ascii();
    Some(format!(
        "`{name}` panics over an input like `{file}`: {shown}"
    ))
}

/// One to four changes of an input.
fn changed(rng: &mut ChaCha8Rng, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        let at = rng.random_range(0..=bytes.len());
        let end = (at + rng.random_range(0..=16)).min(bytes.len());
        match rng.random_range(0..6) {
            0 if at < bytes.len() => bytes[at] = rng.next_u32() as u8,
            1 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let piece = PIECES[rng.random_range(0..PIECES.len())];
                bytes.splice(at..end, piece.iter().copied());
            }
            4 => bytes.truncate(at),
            _ => {
                let from = rng.random_range(0..=other.len());
                bytes.splice(at.., other[from..].iter().copied());
            }
        }
    }
    bytes.truncate(LONGEST);
    bytes
}
