//! The day that templates see as today, and `strftime` for it. There is no clock here.

use crate::ChatError;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// A day of the Gregorian calendar; its time is midnight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Date {
    year: u32,
    month: u32,
    day: u32,
}

impl Date {
    /// Reads `YYYY-MM-DD`.
    pub(crate) fn parse(text: &str) -> Result<Self, ChatError> {
        let wrong = || ChatError::Date(text.to_owned());
        let numbers: Vec<u32> = text
            .split('-')
            .map(|part| part.parse().map_err(|_| wrong()))
            .collect::<Result<_, _>>()?;
        match numbers[..] {
            [year, month @ 1..=12, day @ 1..=31] if (1..=9999).contains(&year) => {
                Ok(Self { year, month, day })
            }
            _ => Err(wrong()),
        }
    }

    /// Formats as C's `strftime` does, for the fields that a day has; others are kept as written.
    pub(crate) fn format(self, format: &str) -> String {
        let mut text = String::new();
        let mut rest = format.chars();
        while let Some(c) = rest.next() {
            if c != '%' {
                text.push(c);
                continue;
            }
            match rest.next() {
                Some('-') => match rest.next() {
                    Some(field) => text.push_str(self.field(field).trim_start_matches('0')),
                    None => text.push_str("%-"),
                },
                Some(field) => text.push_str(&self.field(field)),
                None => text.push('%'),
            }
        }
        text
    }

    fn field(self, field: char) -> String {
        let month = MONTHS[self.month as usize - 1];
        match field {
            'Y' => format!("{:04}", self.year),
            'y' => format!("{:02}", self.year % 100),
            'm' => format!("{:02}", self.month),
            'd' => format!("{:02}", self.day),
            'B' => month.to_owned(),
            'b' => month[..3].to_owned(),
            'A' => DAYS[self.weekday()].to_owned(),
            'a' => DAYS[self.weekday()][..3].to_owned(),
            'F' => self.format("%Y-%m-%d"),
            'H' | 'M' | 'S' => "00".to_owned(),
            '%' => "%".to_owned(),
            other => format!("%{other}"),
        }
    }

    /// Sakamoto's method; 0 is Sunday.
    fn weekday(self) -> usize {
        const SHIFT: [u32; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
        let year = if self.month < 3 {
            self.year - 1
        } else {
            self.year
        };
        let days = year + year / 4 - year / 100 + year / 400;
        ((days + SHIFT[self.month as usize - 1] + self.day) % 7) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_printed_as_strftime_prints_it() {
        let date = Date::parse("2024-07-04").unwrap();
        assert_eq!(date.format("%d %b %Y"), "04 Jul 2024");
        assert_eq!(
            date.format("%A, %B %-d, %y %H:%M 100%%"),
            "Thursday, July 4, 24 00:00 100%"
        );
        assert_eq!(Date::parse("2000-02-29").unwrap().format("%a"), "Tue");
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in [
            "",
            "2024",
            "2024-13-01",
            "2024-00-01",
            "today",
            "2024-01-01-01",
        ] {
            assert!(Date::parse(text).is_err(), "{text}");
        }
    }
}
