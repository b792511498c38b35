//! The tokens of an XPath: <https://www.w3.org/TR/1999/REC-xpath-19991116/#exprlex>.

use super::fault::PathFault;
use super::syntax::{Comparison, Operator};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    Dot,
    DotDot,
    At,
    Comma,
    ColonColon,
    Slash,
    SlashSlash,
    Pipe,
    /// An operator between two operands. `-` is also a prefix of one operand.
    Binary(Binary),
    /// `*` as a name test.
    Star,
    /// `p:*`
    StarIn(String),
    /// `name` or `p:name`
    Name {
        prefix: Option<String>,
        local: String,
    },
    Text(String),
    Number(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Or,
    And,
    Compare(Comparison),
    Calculate(Operator),
}

/// A token and its column, from 1.
pub(super) type Placed = (Token, usize);

/// Splits `spelt` into tokens.
pub(super) fn tokens(spelt: &str) -> Result<Vec<Placed>, PathFault> {
    let mut lexer = Lexer { text: spelt.chars().collect(), at: 0, tokens: Vec::new() };
    lexer.skip_space();
    while lexer.at < lexer.text.len() {
        let column = lexer.at + 1;
        let token = lexer.token()?;
        lexer.tokens.push((token, column));
        lexer.skip_space();
    }
    Ok(lexer.tokens)
}

struct Lexer {
    text: Vec<char>,
    at: usize,
    tokens: Vec<Placed>,
}

impl Lexer {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn peek_next(&self) -> Option<char> {
        self.text.get(self.at + 1).copied()
    }

    fn skip_space(&mut self) {
        self.take_while(|letter| matches!(letter, ' ' | '\t' | '\r' | '\n'));
    }

    fn take_while(&mut self, taken: impl Fn(char) -> bool) -> String {
        let start = self.at;
        while self.peek().is_some_and(&taken) {
            self.at += 1;
        }
        self.text.get(start..self.at).unwrap_or_default().iter().collect()
    }

    fn fault<T>(&self, problem: impl Into<String>, fix: &str) -> Result<T, PathFault> {
        Err(PathFault::new(self.at + 1, problem, fix))
    }

    fn token(&mut self) -> Result<Token, PathFault> {
        let Some(first) = self.peek() else { return self.fault("the XPath ends", "go on") };
        let pair = |next| self.peek_next() == Some(next);
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '[' => (Token::OpenBracket, 1),
            ']' => (Token::CloseBracket, 1),
            '@' => (Token::At, 1),
            ',' => (Token::Comma, 1),
            '+' => (Token::Binary(Binary::Calculate(Operator::Add)), 1),
            '-' => (Token::Binary(Binary::Calculate(Operator::Subtract)), 1),
            '.' if pair('.') => (Token::DotDot, 2),
            '.' if !self.peek_next().is_some_and(|next| next.is_ascii_digit()) => (Token::Dot, 1),
            '/' if pair('/') => (Token::SlashSlash, 2),
            '/' => (Token::Slash, 1),
            '|' if pair('|') => {
                return self.fault("`||` is not XPath", "write `or`, or `|` for a union");
            }
            '|' => (Token::Pipe, 1),
            '&' => return self.fault("`&` is not XPath", "write `and`"),
            '=' if pair('=') => return self.fault("`==` is not XPath", "write `=`"),
            '=' => (Token::Binary(Binary::Compare(Comparison::Equal)), 1),
            '!' if pair('=') => (Token::Binary(Binary::Compare(Comparison::Unequal)), 2),
            '!' => return self.fault("`!` is not XPath", "write `not(…)`, or `!=`"),
            '<' if pair('=') => (Token::Binary(Binary::Compare(Comparison::LessOrEqual)), 2),
            '<' => (Token::Binary(Binary::Compare(Comparison::Less)), 1),
            '>' if pair('=') => (Token::Binary(Binary::Compare(Comparison::GreaterOrEqual)), 2),
            '>' => (Token::Binary(Binary::Compare(Comparison::Greater)), 1),
            ':' if pair(':') => (Token::ColonColon, 2),
            '*' if self.operator_may_come() => {
                (Token::Binary(Binary::Calculate(Operator::Multiply)), 1)
            }
            '*' => (Token::Star, 1),
            '"' | '\'' => return self.text_literal(first),
            '.' | '0'..='9' => return self.number(),
            '$' => {
                let fix = "an XPath of a map can't use variables; write the value itself";
                return self.fault("`$` begins a variable", fix);
            }
            _ if is_name_start(first) => return self.name(),
            _ => return self.fault(format!("`{first}` is not XPath"), "leave it out"),
        };
        self.at += length;
        Ok(token)
    }

    /// Returns whether `*` and the words `and`, `or`, `div` and `mod` are operators here. They are operators everywhere
    /// except at the beginning of the expression, behind an operator, and behind a token that opens or separates.
    fn operator_may_come(&self) -> bool {
        match self.tokens.last() {
            None => false,
            Some((token, _)) => match token {
                Token::At
                | Token::ColonColon
                | Token::Open
                | Token::OpenBracket
                | Token::Comma
                | Token::Slash
                | Token::SlashSlash
                | Token::Pipe
                | Token::Binary(_) => false,
                Token::Close
                | Token::CloseBracket
                | Token::Dot
                | Token::DotDot
                | Token::Star
                | Token::StarIn(_)
                | Token::Name { .. }
                | Token::Text(_)
                | Token::Number(_) => true,
            },
        }
    }

    fn text_literal(&mut self, quote: char) -> Result<Token, PathFault> {
        let open = self.at;
        self.at += 1;
        let text = self.take_while(|letter| letter != quote);
        if self.peek().is_none() {
            self.at = open;
            return self.fault("the quotes are not closed", "close them");
        }
        self.at += 1;
        Ok(Token::Text(text))
    }

    fn number(&mut self) -> Result<Token, PathFault> {
        let mut digits = self.take_while(|letter| letter.is_ascii_digit());
        if self.peek() == Some('.') {
            self.at += 1;
            digits.push('.');
            digits.push_str(&self.take_while(|letter| letter.is_ascii_digit()));
        }
        match digits.parse() {
            Ok(number) => Ok(Token::Number(number)),
            Err(_) => self.fault("this is not a number", "write digits, with at most one point"),
        }
    }

    fn name(&mut self) -> Result<Token, PathFault> {
        let operator = self.operator_may_come();
        let local = self.take_while(is_name_part);
        if operator {
            match local.as_str() {
                "or" => return Ok(Token::Binary(Binary::Or)),
                "and" => return Ok(Token::Binary(Binary::And)),
                "div" => return Ok(Token::Binary(Binary::Calculate(Operator::Divide))),
                "mod" => return Ok(Token::Binary(Binary::Calculate(Operator::Modulo))),
                _ => {}
            }
        }
        match (self.peek(), self.peek_next()) {
            (Some(':'), Some('*')) => {
                self.at += 2;
                Ok(Token::StarIn(local))
            }
            (Some(':'), Some(next)) if is_name_start(next) => {
                self.at += 1;
                let prefix = Some(local);
                Ok(Token::Name { prefix, local: self.take_while(is_name_part) })
            }
            (Some(':'), Some(':')) => Ok(Token::Name { prefix: None, local }),
            (Some(':'), _) => {
                self.fault("a name is missing after the colon", "write `prefix:name`")
            }
            _ => Ok(Token::Name { prefix: None, local }),
        }
    }
}

/// Returns whether a name may begin with `letter`: <https://www.w3.org/TR/xml/#NT-NameStartChar> without the colon.
fn is_name_start(letter: char) -> bool {
    matches!(letter, 'A'..='Z' | 'a'..='z' | '_'
        | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}'
        | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}'
        | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}'
        | '\u{fdf0}'..='\u{fffd}' | '\u{10000}'..='\u{effff}')
}

/// Returns whether a name may contain `letter`: <https://www.w3.org/TR/xml/#NT-NameChar> without the colon.
fn is_name_part(letter: char) -> bool {
    is_name_start(letter)
        || matches!(letter, '-' | '.' | '0'..='9' | '\u{b7}'
            | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}
