//! What tools a server lists, page by page, as it sends them.

use std::mem;

use rmcp::RoleClient;
use rmcp::model::{ClientRequest, ListToolsRequest, PaginatedRequestParams, ServerResult};
use rmcp::service::RunningService;
use serde_json::Value;

use super::connection::LONGEST_ERROR;
use crate::own::bounds::cut;

/// A server that lists more pages of tools than this lists them for ever.
const MOST_PAGES: usize = 100;

/// Every tool of a server.
pub(super) async fn list(client: &RunningService<RoleClient, ()>) -> Result<Vec<Value>, String> {
    let mut tools = Vec::new();
    let mut page = PaginatedRequestParams::default();
    for _ in 0..MOST_PAGES {
        let request = ListToolsRequest::with_param(page);
        let sent = client.send_request(ClientRequest::ListToolsRequest(request));
        let sent = sent.await.map_err(|error| error.to_string());
        let (listed, next) = sent
            .and_then(self::page)
            .map_err(|problem| format!("tools/list: {}", cut(problem, LONGEST_ERROR)))?;
        tools.extend(listed);
        match next {
            Some(cursor) => page = PaginatedRequestParams::default().with_cursor(Some(cursor)),
            None => return Ok(tools),
        }
    }
    Err(format!("tools/list: more than {MOST_PAGES} pages"))
}

/// The tools of one page, and what asks for the next one.
pub(super) fn page(result: ServerResult) -> Result<(Vec<Value>, Option<String>), String> {
    let reply = match result {
        ServerResult::ListToolsResult(list) => serde_json::to_value(list),
        // A tool that is none makes this of the whole list; which one, the suite says.
        ServerResult::CustomResult(other) => Ok(other.0),
        other => serde_json::to_value(other),
    };
    let mut reply = reply.map_err(|error| error.to_string())?;
    let next = reply["nextCursor"].as_str().map(str::to_owned);
    match reply.get_mut("tools") {
        Some(Value::Array(tools)) => Ok((mem::take(tools), next)),
        _ => Err(format!("no `tools` in {reply}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reply_that_lists_no_tools_is_told() {
        for reply in [json!([1]), json!("tools"), json!(1), json!({"tools": "a"})] {
            let problem = format!("no `tools` in {reply}");
            let result: ServerResult = serde_json::from_value(reply).expect("any JSON is one");
            assert_eq!(page(result), Err(problem));
        }
    }
}
