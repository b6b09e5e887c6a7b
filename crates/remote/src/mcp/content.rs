//! What a tool returned, as text that an agent reads.

use episode::Observation;
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};

/// The blocks of a result, joined by line ends: text as it is, everything else by name. A result
/// with only structured content is that content as JSON.
pub(super) fn observation(result: &CallToolResult) -> Observation {
    let blocks: Vec<String> = result.content.iter().map(block).collect();
    let text = match (&result.structured_content, blocks.is_empty()) {
        (Some(content), true) => content.to_string(),
        _ => blocks.join("\n"),
    };
    Observation {
        text,
        failed: result.is_error == Some(true),
    }
}

fn block(block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => encoded("image", &image.mime_type, &image.data),
        ContentBlock::Audio(audio) => encoded("audio", &audio.mime_type, &audio.data),
        ContentBlock::ResourceLink(link) => format!("[resource {}: {}]", link.name, link.uri),
        ContentBlock::Resource(resource) => match &resource.resource {
            ResourceContents::TextResourceContents { text, .. } => text.clone(),
            ResourceContents::BlobResourceContents {
                uri,
                mime_type,
                blob,
                ..
            } => {
                let kind = mime_type.as_deref().unwrap_or("of unknown type");
                encoded(&format!("resource {uri}"), kind, blob)
            }
            _ => "[a resource of another kind]".to_owned(),
        },
        _ => "[content of another kind]".to_owned(),
    }
}

/// What a model that reads text cannot see.
fn encoded(what: &str, kind: &str, base64: &str) -> String {
    let bytes = base64.trim_end_matches('=').len() * 3 / 4;
    format!("[{what}, {kind}, {bytes} bytes]")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(result: Value, text: &str, failed: bool) {
        let result: CallToolResult = serde_json::from_value(result).unwrap();
        let expected = Observation {
            text: text.to_owned(),
            failed,
        };
        assert_eq!(observation(&result), expected);
    }

    #[test]
    fn text_is_joined_and_everything_else_is_named() {
        check(
            json!({"content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}),
            "one\ntwo",
            false,
        );
        check(
            json!({"content": [{"type": "image", "mimeType": "image/png", "data": "AAAAAA=="}]}),
            "[image, image/png, 4 bytes]",
            false,
        );
        check(
            json!({"content": [{"type": "resource", "resource": {"uri": "a:b", "text": "whole"}}]}),
            "whole",
            false,
        );
        check(
            json!({"content": [{"type": "resource", "resource": {"uri": "a:b", "blob": "AAAA"}}]}),
            "[resource a:b, of unknown type, 3 bytes]",
            false,
        );
        check(
            json!({"content": [{"type": "resource_link", "uri": "a:b", "name": "Ab"}]}),
            "[resource Ab: a:b]",
            false,
        );
    }

    #[test]
    fn an_error_of_the_tool_is_a_failed_call() {
        check(
            json!({"content": [{"type": "text", "text": "no"}], "isError": true}),
            "no",
            true,
        );
    }

    #[test]
    fn structured_content_is_read_where_nothing_else_is_said() {
        check(
            json!({"content": [], "structuredContent": {"a": 1}}),
            r#"{"a":1}"#,
            false,
        );
        check(
            json!({"content": [{"type": "text", "text": "a is 1"}], "structuredContent": {"a": 1}}),
            "a is 1",
            false,
        );
    }
}
