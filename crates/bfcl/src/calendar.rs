//! Dates as Python's `datetime.strptime` reads them and `strftime` prints them. Knows no time zone
//! and no clock.

use std::fmt;

/// A moment of the proleptic Gregorian calendar, to the second. Ordered as time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The day.
    pub date: Date,
    /// Seconds since midnight.
    pub second: u32,
}

/// A day of the proleptic Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// 1 to 9999.
    pub year: u32,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
}

/// What a format's directives may match, in the order in which Python tries it.
#[derive(Clone, Copy)]
enum Field {
    /// `%Y`: four digits.
    Year,
    /// `%m`: 10 to 12, 01 to 09, 1 to 9.
    Month,
    /// `%d`: 30 and 31, 10 to 29, 01 to 09, 1 to 9, a blank and 1 to 9.
    Day,
    /// `%H`: 20 to 23, 00 to 19, 0 to 9.
    Hour,
    /// `%M`: 00 to 59, 0 to 9.
    Minute,
    /// `%S`: 60 and 61, 00 to 59, 0 to 9.
    Second,
    /// A character of the format itself.
    Text(char),
    /// White space of the format: at least one of any white space.
    Blank,
}

const DATE: (&str, &[Field]) = (
    "%Y-%m-%d",
    &[
        Field::Year,
        Field::Text('-'),
        Field::Month,
        Field::Text('-'),
        Field::Day,
    ],
);

const MOMENT: (&str, &[Field]) = (
    "%Y-%m-%d %H:%M:%S",
    &[
        Field::Year,
        Field::Text('-'),
        Field::Month,
        Field::Text('-'),
        Field::Day,
        Field::Blank,
        Field::Hour,
        Field::Text(':'),
        Field::Minute,
        Field::Text(':'),
        Field::Second,
    ],
);

/// The first day of 2025, which is today to every template and back end of pact that is told no
/// other.
impl Default for Date {
    fn default() -> Self {
        Self {
            year: 2025,
            month: 1,
            day: 1,
        }
    }
}

impl Date {
    /// `datetime.strptime(text, "%Y-%m-%d")`, which also takes `2024-1-5`; an `Err` is the text of
    /// Python's `ValueError`.
    pub fn parse(text: &str) -> Result<Date, String> {
        Ok(parse(text, DATE)?.date)
    }

    /// Whole years from this day to `today`, as people count their age.
    pub fn age(self, today: Date) -> i64 {
        let birthday_is_to_come = (today.month, today.day) < (self.month, self.day);
        i64::from(today.year) - i64::from(self.year) - i64::from(birthday_is_to_come)
    }

    /// The day after.
    fn next(self) -> Date {
        if self.day < days_of_month(self.year, self.month) {
            Date {
                day: self.day + 1,
                ..self
            }
        } else if self.month < 12 {
            Date {
                month: self.month + 1,
                day: 1,
                ..self
            }
        } else {
            Date {
                year: self.year + 1,
                month: 1,
                day: 1,
            }
        }
    }
}

impl Moment {
    /// Midnight at the beginning of `date`.
    pub fn midnight(date: Date) -> Moment {
        Moment { date, second: 0 }
    }

    /// `datetime.strptime(text, "%Y-%m-%d %H:%M:%S")`; an `Err` is the text of Python's
    /// `ValueError`.
    pub fn parse(text: &str) -> Result<Moment, String> {
        parse(text, MOMENT)
    }

    /// The moment `seconds` later.
    pub fn after(self, seconds: u32) -> Moment {
        let (mut date, mut second) = (self.date, self.second + seconds);
        while second >= SECONDS_OF_DAY {
            date = date.next();
            second -= SECONDS_OF_DAY;
        }
        Moment { date, second }
    }
}

const SECONDS_OF_DAY: u32 = 24 * 60 * 60;

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute, second) = (self.second / 3600, self.second / 60 % 60, self.second % 60);
        write!(f, "{} {hour:02}:{minute:02}:{second:02}", self.date)
    }
}

/// A text by a format: its name in Python and its fields.
fn parse(text: &str, (name, fields): (&str, &[Field])) -> Result<Moment, String> {
    let mut values = Values::default();
    let Some(rest) = match_fields(fields, text, &mut values) else {
        return Err(format!(
            "time data {} does not match format '{name}'",
            python::Value::from(text).repr()
        ));
    };
    if !rest.is_empty() {
        return Err(format!("unconverted data remains: {rest}"));
    }
    let Values {
        year,
        month,
        day,
        hour,
        minute,
        second,
    } = values;
    if year == 0 {
        return Err("year 0 is out of range".to_owned());
    }
    if day > days_of_month(year, month) {
        return Err("day is out of range for month".to_owned());
    }
    if second > 59 {
        return Err("second must be in 0..59".to_owned());
    }
    Ok(Moment {
        date: Date { year, month, day },
        second: hour * 3600 + minute * 60 + second,
    })
}

#[derive(Default)]
struct Values {
    year: u32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
}

/// What is left of `text` after `fields` have been matched at its beginning. A number takes fewer
/// digits where what follows would not match otherwise.
fn match_fields<'t>(fields: &[Field], text: &'t str, values: &mut Values) -> Option<&'t str> {
    let Some((field, others)) = fields.split_first() else {
        return Some(text);
    };
    let (lengths, range): (&[usize], _) = match field {
        Field::Text(wanted) => return match_fields(others, text.strip_prefix(*wanted)?, values),
        Field::Blank => {
            let rest = text.trim_start();
            return (rest.len() < text.len())
                .then(|| match_fields(others, rest, values))
                .flatten();
        }
        Field::Year => (&[4], 0..=9999),
        Field::Month => (&[2, 1], 1..=12),
        Field::Day => (&[2, 1], 1..=31),
        Field::Hour => (&[2, 1], 0..=23),
        Field::Minute => (&[2, 1], 0..=59),
        Field::Second => (&[2, 1], 0..=61),
    };
    for &length in lengths {
        let Some((number, rest)) = text.split_at_checked(length) else {
            continue;
        };
        let digits = if matches!(field, Field::Day) && length == 2 {
            number.strip_prefix(' ').unwrap_or(number)
        } else {
            number
        };
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Some(value) = digits.parse().ok().filter(|value| range.contains(value)) else {
            continue;
        };
        if let Some(rest) = match_fields(others, rest, values) {
            match field {
                Field::Year => values.year = value,
                Field::Month => values.month = value,
                Field::Day => values.day = value,
                Field::Hour => values.hour = value,
                Field::Minute => values.minute = value,
                Field::Second => values.second = value,
                Field::Text(_) | Field::Blank => unreachable!("matched above"),
            }
            return Some(rest);
        }
    }
    None
}

fn days_of_month(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let found = Date::parse(text).map(|date| date.to_string());
        assert_eq!(
            found.as_deref().map_err(String::as_str),
            expected,
            "{text:?}"
        );
    }

    #[test]
    fn a_date_is_read_as_strptime_reads_it() {
        check("2024-11-16", Ok("2024-11-16"));
        check("2024-1-5", Ok("2024-01-05"));
        check("2024-02- 9", Ok("2024-02-09"));
        check("2024-02-29", Ok("2024-02-29"));
        check("2023-02-29", Err("day is out of range for month"));
        check("0000-01-01", Err("year 0 is out of range"));
        check(
            "2024-13-01",
            Err("time data '2024-13-01' does not match format '%Y-%m-%d'"),
        );
        check(
            "it's",
            Err("time data \"it's\" does not match format '%Y-%m-%d'"),
        );
        check("2024-01-32", Err("unconverted data remains: 2"));
        check("2024-01-05 10:00", Err("unconverted data remains:  10:00"));
    }

    #[test]
    fn a_moment_is_read_and_counted_on_over_midnight() {
        let clock = Moment::parse("2024-09-01 10:30:00").unwrap();
        assert_eq!(clock.to_string(), "2024-09-01 10:30:00");
        assert_eq!(clock.after(86_399).to_string(), "2024-09-02 10:29:59");
        assert_eq!(
            Moment::parse("2024-12-31 23:59:59")
                .unwrap()
                .after(1)
                .to_string(),
            "2025-01-01 00:00:00"
        );
        assert_eq!(
            Moment::parse("2024-05-01 22:14:05.85"),
            Err("unconverted data remains: .85".to_owned())
        );
    }

    #[test]
    fn an_age_counts_the_birthdays_that_have_been() {
        let born = Date {
            year: 2007,
            month: 1,
            day: 2,
        };
        assert_eq!(
            born.age(Date {
                year: 2025,
                month: 1,
                day: 1
            }),
            17
        );
        assert_eq!(
            born.age(Date {
                year: 2025,
                month: 1,
                day: 2
            }),
            18
        );
    }
}
