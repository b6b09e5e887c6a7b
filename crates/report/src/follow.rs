//! A file that grows by lines, followed while somebody else writes it.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::ReportError;

/// How many bytes before a position are remembered to tell whether the file was rewritten. A line's
/// end suffices: it holds measured seconds, or what any rewriting repeats anyway.
const REMEMBERED: usize = 256;

/// Follows one file of lines. A last line without its line break is being written, and no line yet.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    /// One past the last line that was given, in bytes.
    position: u64,
    /// The bytes that lay before `position`, [`REMEMBERED`] at most.
    before: Vec<u8>,
    /// The most bytes that are read at once, the file's last ones; `None` for all.
    limit: Option<u64>,
}

/// What is new in a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The file was rewritten, as a resumed run does it: what was given before does not hold any
    /// more, and `lines` begins anew.
    pub began_again: bool,
    /// Whole lines, without their line breaks.
    pub lines: Vec<String>,
}

impl Follower {
    /// Follows every line. There need be no such file yet.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            position: 0,
            before: Vec::new(),
            limit: None,
        }
    }

    /// Follows the end of a file that is too large to read whole: where there is more news than
    /// `limit` bytes, only the lines that lie whole within the last ones are given.
    pub fn of_end(path: &Path, limit: u64) -> Self {
        Self {
            limit: Some(limit),
            ..Self::new(path)
        }
    }

    /// The lines that were completed since the last time.
    pub fn poll(&mut self) -> Result<News, ReportError> {
        self.read().map_err(|source| ReportError::Read {
            path: self.path.clone(),
            source,
        })
    }

    fn read(&mut self) -> std::io::Result<News> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(News {
                    began_again: self.forget(),
                    lines: Vec::new(),
                });
            }
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        let mut began_again = false;
        if length < self.position || !self.is_the_same(&mut file)? {
            began_again = self.forget();
        }
        let unread = length - self.position;
        let read = self.limit.map_or(unread, |limit| unread.min(limit));
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(length - read))?;
        file.take(read).read_to_end(&mut bytes)?;
        let is_break = |byte: &u8| *byte == b'\n';
        // Where something is left out, what comes before the first break is the end of a line.
        let start = match read < unread {
            true => bytes.iter().position(is_break).map(|at| at + 1),
            false => Some(0),
        };
        let end = bytes.iter().rposition(is_break).map(|at| at + 1);
        let (Some(start), Some(end)) = (start, end) else {
            let lines = Vec::new();
            return Ok(News { began_again, lines });
        };
        self.position = length - read + end as u64;
        self.before = bytes[end.saturating_sub(REMEMBERED)..end].to_vec();
        let text = String::from_utf8_lossy(&bytes[start..end]);
        let lines = text.lines().map(str::to_owned).collect();
        Ok(News { began_again, lines })
    }

    fn is_the_same(&self, file: &mut File) -> std::io::Result<bool> {
        let mut bytes = vec![0; self.before.len()];
        file.seek(SeekFrom::Start(self.position - self.before.len() as u64))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes == self.before)
    }

    /// Begins anew; whether anything had been given.
    fn forget(&mut self) -> bool {
        let had_begun = self.position > 0;
        (self.position, self.before) = (0, Vec::new());
        had_begun
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        (folder, path)
    }

    fn news(began_again: bool, lines: &[&str]) -> News {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        News { began_again, lines }
    }

    #[test]
    fn a_line_is_given_once_and_only_when_it_is_whole() {
        let (_folder, path) = file();
        let mut follower = Follower::new(&path);
        assert_eq!(follower.poll().unwrap(), news(false, &[]), "no file yet");
        for (text, new) in [
            ("", &[] as &[&str]),
            ("one\ntw", &["one"]),
            ("one\ntwo", &[]),
            ("one\ntwo\n\nfour\n", &["two", "", "four"]),
            ("one\ntwo\n\nfour\n", &[]),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(follower.poll().unwrap(), news(false, new), "{text:?}");
        }
    }

    #[test]
    fn a_file_that_was_cut_back_or_rewritten_begins_again() {
        let (_folder, path) = file();
        let mut follower = Follower::new(&path);
        let written = |text: &str| fs::write(&path, text).unwrap();
        written("one\ntwo\n");
        follower.poll().unwrap();
        written("one\n");
        assert_eq!(follower.poll().unwrap(), news(true, &["one"]));
        written("one\ntwo\n");
        follower.poll().unwrap();
        // A resumed run has dropped the second step and taken it anew, and another, before anybody looked.
        written("one\n2wo\nthree\n");
        assert_eq!(
            follower.poll().unwrap(),
            news(true, &["one", "2wo", "three"])
        );
        fs::remove_file(&path).unwrap();
        assert_eq!(follower.poll().unwrap(), news(true, &[]));
        assert_eq!(follower.poll().unwrap(), news(false, &[]));
    }

    #[test]
    fn of_a_long_file_only_whole_lines_of_its_end_are_given() {
        let (_folder, path) = file();
        let mut follower = Follower::of_end(&path, 10);
        fs::write(&path, "a long first line\ntwo\nthree\n").unwrap();
        assert_eq!(follower.poll().unwrap(), news(false, &["three"]));
        let more = "a long first line\ntwo\nthree\nfour\n";
        fs::write(&path, more).unwrap();
        assert_eq!(follower.poll().unwrap(), news(false, &["four"]));
        fs::write(&path, format!("{more}longer than ten bytes\n")).unwrap();
        assert_eq!(follower.poll().unwrap(), news(false, &[]));
    }

    #[test]
    fn what_is_not_utf8_is_marked_and_no_error() {
        let (_folder, path) = file();
        fs::write(&path, b"a\xff\n").unwrap();
        let mut follower = Follower::new(&path);
        assert_eq!(follower.poll().unwrap(), news(false, &["a\u{fffd}"]));
    }
}
