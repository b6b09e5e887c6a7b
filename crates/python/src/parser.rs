//! Tokens into expressions. Every text has an answer: an expression, or the `SyntaxError` that
//! Python would raise. What Python has and calls do not need (comparisons, conditions,
//! lambdas, comprehensions, slices, `*` arguments) is read as what it is, and refused to those
//! who would evaluate it. Not read at all: `await`, `yield`, texts that begin with `f`.

use crate::expression::{Call, Expression, UNPACKING, UnaryOperator, add_keyword};
use crate::lexer::{Placed, Token, tokenize};
use crate::{BinaryOperator, Exception, MAX_DEPTH, Value};

/// Names that no expression here may use as such.
const KEYWORDS: [&str; 31] = [
    "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif",
    "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda",
    "nonlocal", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// Reads one expression.
pub fn parse_expression(text: &str) -> Result<Expression, Exception> {
    let (expression, refused) = parse_uncompiled(text)?;
    match refused {
        Some(exception) => Err(exception),
        None => Ok(expression),
    }
}

/// Reads one expression as `ast.parse` does, and why [`parse_expression`] refuses it: for a
/// keyword that repeats, which is an error only to those who compile it, or for what has no
/// value here.
pub(crate) fn parse_uncompiled(text: &str) -> Result<(Expression, Option<Exception>), Exception> {
    let mut parser = Parser {
        tokens: tokenize(text)?,
        at: 0,
        refused: None,
    };
    if parser.peek() == &Token::End && parser.tokens.len() == 1 {
        let line = if text.contains('#') { 1 } else { 0 };
        return Err(Exception::syntax_error("invalid syntax", line));
    }
    let expression = parser.expressions(0)?;
    if parser.peek() != &Token::End {
        return Err(parser.invalid());
    }
    Ok((expression, parser.refused))
}

/// Reads a literal, as `ast.literal_eval` does, and arithmetic of literals besides.
pub fn parse_literal(text: &str) -> Result<Value, Exception> {
    parse_expression(text)?.to_value()
}

/// Reads one call whose arguments are literals.
pub fn parse_call(text: &str) -> Result<Call, Exception> {
    let not_a_call = || Exception::syntax_error("expected a call", 1);
    let Expression::Call {
        function,
        positional,
        keywords,
    } = parse_expression(text)?
    else {
        return Err(not_a_call());
    };
    let function = function.dotted_name().ok_or_else(not_a_call)?;
    let mut named = Vec::new();
    for (keyword, value) in keywords {
        add_keyword(&function, &keyword, value.to_value()?, &mut named)?;
    }
    Ok(Call {
        positional: positional
            .iter()
            .map(Expression::to_value)
            .collect::<Result<_, _>>()?,
        function,
        keywords: named,
    })
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    /// The first thing that cannot be evaluated.
    refused: Option<Exception>,
}

impl Parser {
    /// One expression, or several with commas between them, which are a tuple.
    fn expressions(&mut self, depth: usize) -> Result<Expression, Exception> {
        let first = self.expression(depth)?;
        if !self.is(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.take(",") && self.begins_expression() {
            items.push(self.expression(depth)?);
        }
        Ok(Expression::Tuple(items))
    }

    fn expression(&mut self, depth: usize) -> Result<Expression, Exception> {
        self.check(depth)?;
        if self.is_word("lambda") {
            return self.lambda(depth);
        }
        let value = self.either(depth)?;
        if !self.is_word("if") {
            return Ok(value);
        }
        let condition = self.other("a condition");
        self.either(depth + 1)?;
        if !self.take_word("else") {
            return Err(self.error("expected 'else' after 'if' expression"));
        }
        self.expression(depth + 1)?;
        Ok(condition)
    }

    /// Steps over what only begins an expression without a value here.
    fn other(&mut self, kind: &'static str) -> Expression {
        let refusal = self.invalid();
        self.refused.get_or_insert(refusal);
        self.at += 1;
        Expression::Other(kind)
    }

    fn lambda(&mut self, depth: usize) -> Result<Expression, Exception> {
        let lambda = self.other("a lambda");
        while !self.take(":") {
            let _ = self.take("*") || self.take("**");
            if !matches!(self.peek(), Token::Name(name) if !is_reserved(name)) {
                return Err(self.invalid());
            }
            self.at += 1;
            if self.take("=") {
                self.expression(depth + 1)?;
            }
            self.comma_or(":")?;
        }
        self.expression(depth + 1)?;
        Ok(lambda)
    }

    /// `a and b or not c`
    fn either(&mut self, depth: usize) -> Result<Expression, Exception> {
        let mut value = self.negation(depth)?;
        while self.is_word("and") || self.is_word("or") {
            value = self.other("`and` or `or`");
            self.negation(depth + 1)?;
        }
        Ok(value)
    }

    fn negation(&mut self, depth: usize) -> Result<Expression, Exception> {
        self.check(depth)?;
        if self.take_word("not") {
            let value = self.negation(depth + 1)?;
            return Ok(Expression::Unary(UnaryOperator::Not, Box::new(value)));
        }
        let mut value = self.binary(0, depth)?;
        while self.is_comparison() {
            let is_not = self.is_word("is") && self.word_follows("not");
            let not_in = self.is_word("not");
            value = self.other("a comparison");
            self.at += usize::from(is_not || not_in);
            self.binary(0, depth + 1)?;
        }
        Ok(value)
    }

    fn is_comparison(&self) -> bool {
        match self.peek() {
            Token::Foreign(symbol) => ["==", "!=", "<", ">", "<=", ">="].contains(&symbol.as_str()),
            Token::Name(name) if name == "not" => self.word_follows("in"),
            Token::Name(name) => name == "in" || name == "is",
            _ => false,
        }
    }

    /// ` for a, b in c if d`, as often as it comes: what a comprehension's item is followed by.
    fn comprehension(&mut self, item: Expression, depth: usize) -> Result<Expression, Exception> {
        let mut value = item;
        while self.is_word("for") {
            value = self.other("a comprehension");
            self.binary(0, depth + 1)?;
            while self.take(",") && self.begins_expression() {
                self.binary(0, depth + 1)?;
            }
            if !self.take_word("in") {
                return Err(self.invalid());
            }
            self.either(depth + 1)?;
            while self.take_word("if") {
                self.either(depth + 1)?;
            }
        }
        Ok(value)
    }

    /// An item of brackets: an expression, `*a`, or `a := b`.
    fn item(&mut self, depth: usize) -> Result<Expression, Exception> {
        if self.is("*") {
            let starred = self.other("what is unpacked");
            self.binary(0, depth + 1)?;
            return Ok(starred);
        }
        let value = self.expression(depth)?;
        let is_walrus = matches!(self.peek(), Token::Foreign(symbol) if symbol == ":=");
        if !is_walrus || !matches!(value, Expression::Name(_)) {
            return Ok(value);
        }
        let assignment = self.other("an assignment");
        self.expression(depth + 1)?;
        Ok(assignment)
    }

    /// What stands between a subscript's brackets: an index, a slice, or several.
    fn index(&mut self, depth: usize) -> Result<Expression, Exception> {
        let first = self.slice(depth)?;
        if !self.is(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.take(",") && !self.is("]") {
            items.push(self.slice(depth)?);
        }
        Ok(Expression::Tuple(items))
    }

    fn slice(&mut self, depth: usize) -> Result<Expression, Exception> {
        if !self.is(":") {
            let value = self.item(depth)?;
            if !self.is(":") {
                return Ok(value);
            }
            return self.slice_after(Some(Box::new(value)), depth);
        }
        self.slice_after(None, depth)
    }

    fn slice_after(
        &mut self,
        start: Option<Box<Expression>>,
        depth: usize,
    ) -> Result<Expression, Exception> {
        self.other("a slice");
        let stop = self.bound(depth)?;
        let step = match self.take(":") {
            true => self.bound(depth)?,
            false => None,
        };
        Ok(Expression::Slice([start, stop, step]))
    }

    fn bound(&mut self, depth: usize) -> Result<Option<Box<Expression>>, Exception> {
        if self.is(":") || self.is(",") || self.is("]") {
            return Ok(None);
        }
        Ok(Some(Box::new(self.expression(depth)?)))
    }

    /// Operators that bind at least as tightly as `least`; those of one strength from the left.
    fn binary(&mut self, least: usize, depth: usize) -> Result<Expression, Exception> {
        let mut left = self.unary(depth)?;
        let mut length = depth;
        while let Some((operator, strength)) = self.binary_operator().filter(|(_, s)| *s >= least) {
            length += 1;
            self.check(length)?;
            self.at += 1;
            let right = self.binary(strength + 1, depth + 1)?;
            left = Expression::Binary(Box::new(left), operator, Box::new(right));
        }
        Ok(left)
    }

    fn binary_operator(&self) -> Option<(BinaryOperator, usize)> {
        let symbol = match self.peek() {
            Token::Symbol(symbol) => symbol,
            Token::Foreign(symbol) => symbol.as_str(),
            _ => return None,
        };
        Some(match symbol {
            "|" => (BinaryOperator::Or, 0),
            "^" => (BinaryOperator::ExclusiveOr, 1),
            "&" => (BinaryOperator::And, 2),
            "<<" => (BinaryOperator::ShiftLeft, 3),
            ">>" => (BinaryOperator::ShiftRight, 3),
            "+" => (BinaryOperator::Add, 4),
            "-" => (BinaryOperator::Subtract, 4),
            "*" => (BinaryOperator::Multiply, 5),
            "/" => (BinaryOperator::Divide, 5),
            "//" => (BinaryOperator::FloorDivide, 5),
            "%" => (BinaryOperator::Modulo, 5),
            _ => return None,
        })
    }

    /// `-a ** -b` is `-(a ** (-b))`.
    fn unary(&mut self, depth: usize) -> Result<Expression, Exception> {
        self.check(depth)?;
        let operator = match self.peek() {
            Token::Symbol("-") => UnaryOperator::Minus,
            Token::Symbol("+") => UnaryOperator::Plus,
            Token::Symbol("~") => UnaryOperator::Invert,
            _ => {
                let base = self.postfix(depth)?;
                if !self.take("**") {
                    return Ok(base);
                }
                let exponent = self.unary(depth + 1)?;
                return Ok(Expression::Binary(
                    Box::new(base),
                    BinaryOperator::Power,
                    Box::new(exponent),
                ));
            }
        };
        self.at += 1;
        let value = self.unary(depth + 1)?;
        Ok(Expression::Unary(operator, Box::new(value)))
    }

    /// A value and the attributes, calls and subscripts after it.
    fn postfix(&mut self, depth: usize) -> Result<Expression, Exception> {
        let mut value = self.atom(depth)?;
        let mut length = depth;
        loop {
            length += 1;
            self.check(length)?;
            if self.take(".") {
                let Token::Name(name) = self.peek().clone() else {
                    return Err(self.invalid());
                };
                if is_reserved(&name) {
                    return Err(self.invalid());
                }
                self.at += 1;
                value = Expression::Attribute(Box::new(value), name);
            } else if self.take("(") {
                value = self.call(value, depth + 1)?;
            } else if self.take("[") {
                let index = self.index(depth + 1)?;
                self.expect("]")?;
                value = Expression::Subscript(Box::new(value), Box::new(index));
            } else {
                return Ok(value);
            }
        }
    }

    /// The arguments of a call, whose bracket has been read.
    fn call(&mut self, function: Expression, depth: usize) -> Result<Expression, Exception> {
        let mut positional = Vec::new();
        let mut keywords: Vec<(String, Expression)> = Vec::new();
        while !self.take(")") {
            let line = self.line();
            if self.take("**") {
                keywords.push((UNPACKING.to_owned(), self.expression(depth)?));
                self.comma_or(")")?;
                continue;
            }
            let unpacks = self.is("*");
            let value = self.item(depth)?;
            if self.take("=") {
                let name = keyword(value, line)?;
                if keywords.iter().any(|(other, _)| *other == name) {
                    let text = format!("keyword argument repeated: {name}");
                    self.refused
                        .get_or_insert(Exception::syntax_error(text, line));
                }
                keywords.push((name, self.expression(depth)?));
            } else if self.is_word("for") {
                let alone = positional.is_empty() && keywords.is_empty();
                positional.push(self.comprehension(value, depth)?);
                if !alone || !self.is(")") {
                    return Err(self.error("Generator expression must be parenthesized"));
                }
            } else if keywords.is_empty() || unpacks {
                positional.push(value);
            } else {
                return Err(Exception::syntax_error(
                    "positional argument follows keyword argument",
                    line,
                ));
            }
            self.comma_or(")")?;
        }
        Ok(Expression::Call {
            function: Box::new(function),
            positional,
            keywords,
        })
    }

    fn atom(&mut self, depth: usize) -> Result<Expression, Exception> {
        match self.peek().clone() {
            Token::Number(value) => {
                self.at += 1;
                Ok(Expression::Constant(value))
            }
            Token::Text(_) | Token::Bytes(_) => self.texts(),
            Token::Name(name) => self.name(name),
            Token::Symbol("...") => {
                self.at += 1;
                Ok(Expression::Constant(Value::ellipsis()))
            }
            Token::Symbol("(") => {
                self.at += 1;
                self.parenthesised(depth + 1)
            }
            Token::Symbol("[") => {
                self.at += 1;
                let items = self.items("]", depth + 1)?;
                Ok(Expression::List(items))
            }
            Token::Symbol("{") => {
                self.at += 1;
                self.braces(depth + 1)
            }
            _ => Err(self.invalid()),
        }
    }

    fn name(&mut self, name: String) -> Result<Expression, Exception> {
        let expression = match name.as_str() {
            "None" => Expression::Constant(Value::None),
            "True" => Expression::Constant(Value::Bool(true)),
            "False" => Expression::Constant(Value::Bool(false)),
            name if is_reserved(name) => return Err(self.invalid()),
            _ => Expression::Name(name),
        };
        self.at += 1;
        Ok(expression)
    }

    /// Texts that follow each other are one.
    fn texts(&mut self) -> Result<Expression, Exception> {
        let is_bytes = matches!(self.peek(), Token::Bytes(_));
        let mut whole = String::new();
        loop {
            match (self.peek(), is_bytes) {
                (Token::Text(part), false) | (Token::Bytes(part), true) => whole.push_str(part),
                (Token::Text(_) | Token::Bytes(_), _) => {
                    return Err(self.error("cannot mix bytes and nonbytes literals"));
                }
                _ => break,
            }
            self.at += 1;
        }
        Ok(Expression::Constant(if is_bytes {
            Value::opaque("bytes", repr_bytes(&whole))
        } else {
            Value::Str(whole)
        }))
    }

    /// `()`, `(a)`, `(a,)`, `(a, b)`; the bracket has been read.
    fn parenthesised(&mut self, depth: usize) -> Result<Expression, Exception> {
        if self.take(")") {
            return Ok(Expression::Tuple(Vec::new()));
        }
        let first = self.item(depth)?;
        let first = self.comprehension(first, depth)?;
        if self.take(")") {
            return Ok(first);
        }
        self.comma_or(")")?;
        let mut items = vec![first];
        items.extend(self.items(")", depth)?);
        Ok(Expression::Tuple(items))
    }

    /// Items up to a closing bracket.
    fn items(&mut self, close: &'static str, depth: usize) -> Result<Vec<Expression>, Exception> {
        let mut items = Vec::new();
        while !self.take(close) {
            let item = self.item(depth)?;
            items.push(self.comprehension(item, depth)?);
            self.comma_or(close)?;
        }
        Ok(items)
    }

    /// A dict or a set; the brace has been read.
    fn braces(&mut self, depth: usize) -> Result<Expression, Exception> {
        if self.take("}") {
            return Ok(Expression::Dict(Vec::new()));
        }
        if self.is("**") {
            return self.dict(Vec::new(), depth);
        }
        let first = self.item(depth)?;
        if self.is(":") {
            let value = self.dict_value(depth)?;
            let items = vec![(first, self.comprehension(value, depth)?)];
            self.comma_or("}")?;
            return self.dict(items, depth);
        }
        let mut items = vec![self.comprehension(first, depth)?];
        self.comma_or("}")?;
        items.extend(self.items("}", depth)?);
        Ok(Expression::Set(items))
    }

    /// The rest of a dict.
    fn dict(
        &mut self,
        mut items: Vec<(Expression, Expression)>,
        depth: usize,
    ) -> Result<Expression, Exception> {
        while !self.take("}") {
            if self.is("**") {
                let unpacked = self.other("what is unpacked");
                items.push((unpacked, self.binary(0, depth)?));
            } else {
                let key = self.expression(depth)?;
                items.push((key, self.dict_value(depth)?));
            }
            self.comma_or("}")?;
        }
        Ok(Expression::Dict(items))
    }

    fn dict_value(&mut self, depth: usize) -> Result<Expression, Exception> {
        if !self.take(":") {
            return Err(self.error("':' expected after dictionary key"));
        }
        if self.is("}") || self.is(",") {
            return Err(self.error("expression expected after dictionary key and ':'"));
        }
        self.expression(depth)
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.at].token
    }

    fn line(&self) -> usize {
        self.tokens[self.at].line
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Name(name) if name == word)
    }

    fn word_follows(&self, word: &str) -> bool {
        let next = self.tokens.get(self.at + 1);
        matches!(next, Some(Placed { token: Token::Name(name), .. }) if name == word)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.peek(), Token::Symbol(found) if *found == symbol)
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), Exception> {
        if self.take(symbol) {
            return Ok(());
        }
        Err(self.invalid())
    }

    /// A comma, or the bracket that ends the items, which stays.
    fn comma_or(&mut self, close: &str) -> Result<(), Exception> {
        if self.take(",") || self.is(close) {
            return Ok(());
        }
        let before = &self.tokens[self.at - 1].token;
        let is_prefix = matches!(
            (before, self.peek()),
            (Token::Name(_), Token::Text(_) | Token::Bytes(_))
        );
        Err(if self.begins_expression() && !is_prefix {
            self.error("invalid syntax. Perhaps you forgot a comma?")
        } else {
            self.invalid()
        })
    }

    fn begins_expression(&self) -> bool {
        match self.peek() {
            Token::Name(name) => !is_reserved(name),
            Token::Number(_) | Token::Text(_) | Token::Bytes(_) => true,
            Token::Symbol(symbol) => ["(", "[", "{", "-", "+", "~", "..."].contains(symbol),
            Token::Foreign(_) | Token::End => false,
        }
    }

    fn check(&self, depth: usize) -> Result<(), Exception> {
        if depth > MAX_DEPTH {
            return Err(self.error("too many nested parentheses"));
        }
        Ok(())
    }

    fn error(&self, problem: &str) -> Exception {
        Exception::syntax_error(problem, self.line())
    }

    fn invalid(&self) -> Exception {
        self.error("invalid syntax")
    }
}

/// What stands before the `=` of an argument.
fn keyword(expression: Expression, line: usize) -> Result<String, Exception> {
    let problem = match expression {
        Expression::Name(name) => return Ok(name),
        Expression::Constant(value @ (Value::None | Value::Bool(_))) => {
            format!("cannot assign to {value}")
        }
        _ => "expression cannot contain assignment, perhaps you meant \"==\"?".to_owned(),
    };
    Err(Exception::syntax_error(problem, line))
}

fn is_reserved(name: &str) -> bool {
    KEYWORDS.contains(&name)
}

/// `repr` of bytes, of which each is one character.
fn repr_bytes(bytes: &str) -> String {
    let quote = if bytes.contains('\'') && !bytes.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut repr = format!("b{quote}");
    for c in bytes.chars() {
        match c {
            '\\' => repr.push_str("\\\\"),
            '\n' => repr.push_str("\\n"),
            '\r' => repr.push_str("\\r"),
            '\t' => repr.push_str("\\t"),
            c if c == quote => {
                repr.push('\\');
                repr.push(c);
            }
            ' '..='~' => repr.push(c),
            c => repr.push_str(&format!("\\x{:02x}", u32::from(c) & 0xff)),
        }
    }
    repr.push(quote);
    repr
}
