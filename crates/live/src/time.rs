//! Spans of time as people say them.

/// Seconds as the two largest units: `48 s`, `3m 12s`, `2h 05m`, `4d 07h`.
pub(crate) fn span(seconds: f64) -> String {
    // A clock that was set back gives no negative span; a `u64` holds every other.
    let whole = seconds.max(0.0).round() as u64;
    let (minutes, hours, days) = (whole / 60, whole / 3600, whole / 86400);
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{minutes}m {:02}s", whole % 60),
        3600..86400 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        for (seconds, text) in [
            (-5.0, "0 s"),
            (f64::NAN, "0 s"),
            (47.6, "48 s"),
            (192.0, "3m 12s"),
            (7500.0, "2h 05m"),
            (371_000.0, "4d 07h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
