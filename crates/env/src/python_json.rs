//! JSON as Python's `json.dumps` prints it with `ensure_ascii=False`, as the files of others have
//! it.

use serde::Serialize;
use serde::ser::Error;

/// JSON as Python writes it, with no ASCII escapes.
pub(crate) fn python_json(value: &impl Serialize) -> serde_json::Result<String> {
    let value = serde_json::to_value(value)?;
    python::json_dumps(&(&value).into(), &python::JsonStyle::default())
        .map_err(serde_json::Error::custom)
}
