//! The one place where pact looks at the clock; everything else is handed this.

use std::sync::Arc;
use std::time::Instant;

/// A clock that starts now.
#[expect(clippy::disallowed_methods, reason = "time enters through the binary")]
pub(crate) fn start() -> train::Clock {
    let began = Instant::now();
    Arc::new(move || began.elapsed())
}
