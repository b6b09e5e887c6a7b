//! A page as its two readable forms: its text, and Markdown.

use std::cell::RefCell;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

/// What a reader sees of a page: the strings between its tags, one a line, without white space
/// around and without scripts and styles.
pub(super) fn text(html: &str) -> String {
    let input = BufferQueue::default();
    input.push_back(StrTendril::from(html));
    let tokenizer = Tokenizer::new(TextSink::default(), TokenizerOpts::default());
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    tokenizer.sink.0.into_inner().finish()
}

/// The page as Markdown; scripts and styles are left out.
pub(super) fn markdown(html: &str) -> Result<String, String> {
    htmd::HtmlToMarkdown::builder()
        .skip_tags(vec!["script", "style"])
        .build()
        .convert(html)
        .map_err(|error| error.to_string())
}

#[derive(Default)]
struct TextSink(RefCell<Text>);

/// The lines so far, and the string that is being read.
#[derive(Default)]
struct Text {
    lines: Vec<String>,
    string: String,
    /// Inside a script or a style.
    is_hidden: bool,
}

impl Text {
    fn end_string(&mut self) {
        let string = std::mem::take(&mut self.string);
        let string = string.trim();
        if !string.is_empty() && !self.is_hidden {
            self.lines.push(string.to_owned());
        }
    }

    fn finish(mut self) -> String {
        self.end_string();
        self.lines.join("\n")
    }

    /// What an opening tag says about how to read on.
    fn tag(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        self.end_string();
        let raw = match &*tag.name {
            "script" => RawKind::ScriptData,
            "style" => RawKind::Rawtext,
            _ => return TokenSinkResult::Continue,
        };
        self.is_hidden = tag.kind == TagKind::StartTag;
        match tag.kind {
            TagKind::StartTag => TokenSinkResult::RawData(raw),
            TagKind::EndTag => TokenSinkResult::Continue,
        }
    }
}

impl TokenSink for TextSink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut text = self.0.borrow_mut();
        match token {
            Token::CharacterTokens(characters) => text.string.push_str(&characters),
            Token::TagToken(tag) => return text.tag(&tag),
            Token::CommentToken(_) => text.end_string(),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<!doctype html><html><head><title>Tea &amp; Time</title>\
        <style>p { color: red }</style><script>if (1 < 2) { alert('<p>no</p>') }</script></head>\
        <body><h1>Da Hong Pao</h1>\n<!-- a comment -->\
        <p>From <b>Fujian</b>, see <a href=\"https://a.example/x\">here</a>.</p></body></html>";

    #[test]
    fn the_text_of_a_page_is_one_string_a_line_without_scripts() {
        let lines = "Tea & Time\nDa Hong Pao\nFrom\nFujian\n, see\nhere\n.";
        assert_eq!(text(PAGE), lines);
        assert_eq!(text("no tags at all"), "no tags at all");
        assert_eq!(text("<p>never closed <script> if ("), "never closed");
        assert_eq!(text(""), "");
    }

    #[test]
    fn markdown_keeps_headings_and_links() {
        let markdown = markdown(PAGE).unwrap();
        assert!(markdown.contains("# Da Hong Pao"), "{markdown}");
        assert!(
            markdown.contains("[here](https://a.example/x)"),
            "{markdown}"
        );
        assert!(!markdown.contains("alert"), "{markdown}");
    }
}
