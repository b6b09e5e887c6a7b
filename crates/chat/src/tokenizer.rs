//! Tokens and their bytes. A token has fixed bytes, so what a policy sampled can be read
//! byte by byte, whether or not it is text. Nothing here knows a message.

use std::collections::HashMap;

use crate::ChatError;

/// A tokenizer, and the bytes of each of its tokens.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The bytes of all tokens, one after the other.
    bytes: Vec<u8>,
    /// `bytes[ends[i - 1]..ends[i]]` is token i.
    ends: Vec<usize>,
}

/// What stands for bytes that are no text, and for ids that are no token.
const UNKNOWN: &[u8] = "\u{fffd}".as_bytes();

/// Up to here ids may be of any density.
const DENSE: usize = 1 << 20;
/// Beyond, there are no more ids than this many times the tokens: each takes memory, and a file
/// of a few bytes can name the id 4,294,967,295.
const SPARSEST: usize = 4;

/// The library's own reading. It panics over a decoder that it does not know, where it fails
/// over anything else; such a file is an error like the others.
fn parse(json: &str) -> Result<tokenizers::Tokenizer, ChatError> {
    let read = std::panic::catch_unwind(|| tokenizers::Tokenizer::from_bytes(json));
    let read = read.map_err(|_| ChatError::Tokenizer("its decoder cannot be read".into()))?;
    read.map_err(|error| ChatError::Tokenizer(error.to_string()))
}

impl Tokenizer {
    /// Reads the text of a `tokenizer.json`.
    pub(crate) fn from_json(json: &str) -> Result<Self, ChatError> {
        let mut inner = parse(json)?;
        inner
            .with_truncation(None)
            .map_err(|error| ChatError::Tokenizer(error.to_string()))?
            .with_padding(None);

        let spelling = Spelling::of(&inner);
        let vocabulary = inner.get_vocab(true);
        let size = vocabulary.values().max().map_or(0, |&id| id as usize + 1);
        if size > DENSE.max(SPARSEST * vocabulary.len()) {
            let count = vocabulary.len();
            return Err(ChatError::Tokenizer(format!(
                "it has {count} tokens, and one of them is number {}",
                size - 1
            )));
        }
        let mut of_token = vec![UNKNOWN.to_vec(); size];
        for (token, id) in vocabulary {
            of_token[id as usize] = spelling.bytes(&token);
        }
        for (id, added) in inner.get_added_tokens_decoder() {
            if let Some(bytes) = of_token.get_mut(id as usize) {
                *bytes = added.content.into_bytes();
            }
        }

        let ends = of_token
            .iter()
            .scan(0, |end, token| {
                *end += token.len();
                Some(*end)
            })
            .collect();
        Ok(Self {
            inner,
            bytes: of_token.concat(),
            ends,
        })
    }

    /// 1 + the largest token id.
    pub(crate) fn vocab_size(&self) -> usize {
        self.ends.len()
    }

    /// The id of a token by its text.
    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Whether this is an added token marked as special, which no text merges with.
    pub(crate) fn is_special(&self, id: u32) -> bool {
        self.inner
            .get_added_tokens_decoder()
            .get(&id)
            .is_some_and(|token| token.special)
    }

    /// Tokens of a text, special tokens in it recognised, none added.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>, ChatError> {
        Ok(self
            .inner
            .encode_fast(text, false)
            .map_err(|error| ChatError::Encode(error.to_string()))?
            .get_ids()
            .to_vec())
    }

    /// Tokens of a text, and the byte of the text at which each begins.
    pub(crate) fn encode_with_starts(
        &self,
        text: &str,
    ) -> Result<(Vec<u32>, Vec<usize>), ChatError> {
        let encoding = self
            .inner
            .encode(text, false)
            .map_err(|error| ChatError::Encode(error.to_string()))?;
        let starts = encoding.get_offsets().iter().map(|offset| offset.0);
        Ok((encoding.get_ids().to_vec(), starts.collect()))
    }

    /// The bytes of a token.
    pub(crate) fn bytes(&self, id: u32) -> &[u8] {
        let id = id as usize;
        match self.ends.get(id) {
            Some(&end) => &self.bytes[id.checked_sub(1).map_or(0, |i| self.ends[i])..end],
            None => UNKNOWN,
        }
    }

    /// The bytes of tokens, one after the other.
    pub(crate) fn concat(&self, tokens: &[u32]) -> Vec<u8> {
        tokens
            .iter()
            .flat_map(|&id| self.bytes(id))
            .copied()
            .collect()
    }

    /// Text of tokens, special tokens kept; U+FFFD where the bytes are not UTF-8.
    pub(crate) fn decode(&self, tokens: &[u32]) -> String {
        String::from_utf8_lossy(&self.concat(tokens)).into_owned()
    }
}

/// How a vocabulary spells bytes in its tokens' names.
enum Spelling {
    /// GPT-2's: one printable character for each byte.
    ByteLevel(HashMap<char, u8>),
    /// SentencePiece's: `▁` for a space, `<0x0A>` for a byte.
    SentencePiece,
}

impl Spelling {
    fn of(tokenizer: &tokenizers::Tokenizer) -> Self {
        let decoder = tokenizer.get_decoder().map(serde_json::to_string);
        match decoder {
            Some(Ok(decoder)) if decoder.contains("\"ByteLevel\"") => {
                Self::ByteLevel(byte_characters().map(|(byte, c)| (c, byte)).collect())
            }
            _ => Self::SentencePiece,
        }
    }

    fn bytes(&self, token: &str) -> Vec<u8> {
        match self {
            Self::ByteLevel(bytes) => token
                .chars()
                .map(|c| bytes.get(&c).copied())
                .collect::<Option<_>>()
                .unwrap_or_else(|| token.as_bytes().to_vec()),
            Self::SentencePiece => token
                .strip_prefix("<0x")
                .and_then(|rest| rest.strip_suffix('>'))
                .and_then(|hex| u8::from_str_radix(hex, 16).ok())
                .map_or_else(|| token.replace('▁', " ").into_bytes(), |byte| vec![byte]),
        }
    }
}

/// Every byte with the character that stands for it in a byte-level vocabulary: itself where
/// Latin-1 prints it, else the next free character from U+0100 on (Radford et al. 2019).
pub(crate) fn byte_characters() -> impl Iterator<Item = (u8, char)> {
    let mut free = '\u{100}'..;
    (0..=u8::MAX).map(move |byte| match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => (byte, char::from(byte)),
        _ => (
            byte,
            free.next().expect("there are more characters than bytes"),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn every_byte_has_its_own_character() {
        let characters: std::collections::BTreeSet<char> =
            byte_characters().map(|(_, c)| c).collect();
        assert_eq!(characters.len(), 256);
        assert_eq!(byte_characters().nth(usize::from(b' ')), Some((b' ', 'Ġ')));
        assert_eq!(
            byte_characters().nth(usize::from(b'\n')),
            Some((b'\n', 'Ċ'))
        );
    }

    #[test]
    fn text_survives_and_broken_text_is_marked() {
        let tokenizer = Tokenizer::from_json(&fixture::tokenizer_json()).unwrap();
        let text = "<|im_start|>é 日本\n\u{0}<tool_call>";
        let tokens = tokenizer.encode(text).unwrap();
        assert_eq!(tokenizer.decode(&tokens), text);
        assert_eq!(
            tokenizer.decode(&[0xc3, u32::from(b'x'), 99_999]),
            "\u{fffd}x\u{fffd}"
        );
    }

    #[test]
    fn a_file_over_which_the_library_panics_is_an_error() {
        let json = fixture::tokenizer_json();
        let broken = json.replacen(r#""decoder":"#, r#""decoder": 3, "decoder_":"#, 1);
        assert_ne!(broken, json, "the fixture has a decoder");
        assert!(matches!(
            Tokenizer::from_json(&broken),
            Err(ChatError::Tokenizer(_))
        ));
    }

    #[test]
    fn sentencepiece_names_are_read() {
        let spelling = Spelling::SentencePiece;
        assert_eq!(spelling.bytes("▁the"), b" the");
        assert_eq!(spelling.bytes("<0x0A>"), b"\n");
        assert_eq!(spelling.bytes("<0xZZ>"), b"<0xZZ>");
    }

    /// Each id takes memory, whether there is a token or not.
    #[test]
    fn an_id_far_beyond_the_tokens_is_refused() {
        let json = fixture::tokenizer_json();
        let far = json.replace("\"ÿ\":255", "\"ÿ\":4294967295");
        assert_ne!(far, json);
        let error = Tokenizer::from_json(&far).unwrap_err().to_string();
        assert!(
            error.contains("265 tokens, and one of them is number 4294967295"),
            "{error}"
        );
    }

    #[test]
    fn a_truncated_file_is_an_error() {
        let json = fixture::tokenizer_json();
        let error = Tokenizer::from_json(&json[..json.len() / 2]).unwrap_err();
        assert!(error.to_string().contains("tokenizer.json"), "{error}");
    }
}
