//! Text into tokens, with the texts of the `SyntaxError`s that Python's tokenizer raises.

mod number;
mod text;

use crate::{Exception, MAX_DEPTH, Value};

/// A piece of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// A name or a keyword.
    Name(String),
    /// A number.
    Number(Value),
    /// One text, its escapes resolved.
    Text(String),
    /// One `b''`, one character a byte.
    Bytes(String),
    /// An operator or bracket that expressions here may have.
    Symbol(&'static str),
    /// Any other operator, and where the expression's line ends before its text.
    Foreign(String),
    /// The end of the expression.
    End,
}

/// A token and the line where it begins, counted from 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Placed {
    pub(crate) token: Token,
    pub(crate) line: usize,
}

/// Longest first, so that `**` is not two `*`.
const SYMBOLS: [&str; 19] = [
    "...", "**", "//", "(", ")", "[", "]", "{", "}", ",", ":", ".", "=", "+", "-", "*", "/", "%",
    "~",
];

/// Operators that Python has and that have no value here.
const FOREIGN: &str = "<>!=&|^@;:$?`";

/// All tokens of one expression, `End` last. Blanks before it are no indentation.
pub(crate) fn tokenize(text: &str) -> Result<Vec<Placed>, Exception> {
    let mut lexer = Lexer {
        text: text.trim_start_matches([' ', '\t']),
        at: 0,
        line: 1,
        open: Vec::new(),
        tokens: Vec::new(),
    };
    lexer.run()?;
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    text: &'a str,
    /// A byte of `text`, at the beginning of a character.
    at: usize,
    line: usize,
    /// Brackets that wait for their other half, with their lines.
    open: Vec<(char, usize)>,
    tokens: Vec<Placed>,
}

impl<'a> Lexer<'a> {
    fn run(&mut self) -> Result<(), Exception> {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\u{c}' => self.advance(c),
                '\r' | '\n' => self.new_line(c),
                '#' => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.at += self.peek().map_or(0, char::len_utf8);
                    }
                }
                '\\' => self.continue_line()?,
                '\'' | '"' => self.text("")?,
                '0'..='9' => self.number()?,
                '.' if self.follows(|c| c.is_ascii_digit()) => self.number()?,
                c if is_name_start(c) => self.name()?,
                c => self.symbol(c)?,
            }
        }
        if let Some((bracket, line)) = self.open.first().copied() {
            return Err(Exception::syntax_error(
                format!("'{bracket}' was never closed"),
                line,
            ));
        }
        self.push(Token::End);
        Ok(())
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn advance(&mut self, c: char) {
        self.at += c.len_utf8();
    }

    /// Whether the character after the next is of a kind.
    fn follows(&self, kind: impl Fn(char) -> bool) -> bool {
        self.rest().chars().nth(1).is_some_and(kind)
    }

    fn push(&mut self, token: Token) {
        self.tokens.push(Placed {
            token,
            line: self.line,
        });
    }

    fn error(&self, problem: impl std::fmt::Display) -> Exception {
        Exception::syntax_error(problem, self.line)
    }

    /// Between brackets a line's end is a blank; after an expression only blanks may follow it.
    fn new_line(&mut self, c: char) {
        self.advance(c);
        if c == '\r' && self.peek() == Some('\n') {
            self.at += 1;
        }
        self.line += 1;
        let is_over = self.open.is_empty() && !self.tokens.is_empty();
        let has_more = self
            .rest()
            .lines()
            .any(|line| !matches!(line.trim().chars().next(), None | Some('#')));
        if is_over && has_more {
            self.push(Token::Foreign("\n".to_owned()));
        }
    }

    fn continue_line(&mut self) -> Result<(), Exception> {
        match self.rest()[1..].chars().next() {
            Some(c @ ('\n' | '\r')) => {
                self.at += 1;
                self.advance(c);
                self.line += 1;
                Ok(())
            }
            _ => Err(self.error("unexpected character after line continuation character")),
        }
    }

    fn name(&mut self) -> Result<(), Exception> {
        let name: String = self
            .rest()
            .chars()
            .take_while(|c| is_name_start(*c) || c.is_alphanumeric())
            .collect();
        let is_prefix = name.len() <= 2
            && ["r", "b", "u", "f", "br", "rb", "fr", "rf"]
                .contains(&name.to_ascii_lowercase().as_str());
        self.at += name.len();
        if is_prefix && matches!(self.peek(), Some('\'' | '"')) {
            return self.text(&name.to_ascii_lowercase());
        }
        self.push(Token::Name(name));
        Ok(())
    }

    fn symbol(&mut self, c: char) -> Result<(), Exception> {
        let two: String = self.rest().chars().take(2).collect();
        let is_foreign = ["==", "!=", "<=", ">=", "->", ":=", "<<", ">>"].contains(&two.as_str());
        if is_foreign || FOREIGN.contains(c) && !SYMBOLS.contains(&c.to_string().as_str()) {
            let length = if is_foreign { 2 } else { 1 };
            self.at += length;
            self.push(Token::Foreign(two[..length].to_owned()));
            return Ok(());
        }
        let Some(symbol) = SYMBOLS.iter().find(|s| self.rest().starts_with(**s)) else {
            let code = u32::from(c);
            return Err(if crate::is_printable(c) {
                self.error(format!("invalid character '{c}' (U+{code:04X})"))
            } else {
                self.error(format!("invalid non-printable character U+{code:04X}"))
            });
        };
        self.bracket(c)?;
        self.at += symbol.len();
        self.push(Token::Symbol(symbol));
        Ok(())
    }

    /// Opens or closes a bracket; other characters pass.
    fn bracket(&mut self, c: char) -> Result<(), Exception> {
        let opening = match c {
            '(' | '[' | '{' => {
                if self.open.len() == MAX_DEPTH {
                    return Err(self.error("too many nested parentheses"));
                }
                self.open.push((c, self.line));
                return Ok(());
            }
            ')' => '(',
            ']' => '[',
            '}' => '{',
            _ => return Ok(()),
        };
        match self.open.pop() {
            None => Err(self.error(format!("unmatched '{c}'"))),
            Some((found, _)) if found == opening => Ok(()),
            Some((found, line)) => {
                let place = if line == self.line {
                    String::new()
                } else {
                    format!(" on line {line}")
                };
                Err(self.error(format!(
                    "closing parenthesis '{c}' does not match opening parenthesis '{found}'{place}"
                )))
            }
        }
    }
}

fn is_name_start(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}
