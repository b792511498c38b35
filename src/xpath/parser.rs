//! Parses tokens to an expression with correct types and known names.

mod step;

use super::fault::{PathFault, nearest};
use super::function::Function;
use super::lexer::{Binary, Placed, Token};
use super::node::Axis;
use super::syntax::{Comparison, Expression, Operator, Path, Start, Step, Test, Type};
use step::is_node_type;

/// The maximum depth of nested parentheses, brackets and arguments. It bounds the recursion in parsing and evaluating.
const NESTING_MAX: usize = 32;

/// The maximum number of operators, for the same reason.
const OPERATORS_MAX: usize = 256;

type Result<T> = std::result::Result<T, PathFault>;

/// Parses `tokens`. `end` is the column behind the last one.
pub(super) fn parse(
    tokens: &[Placed],
    end: usize,
    namespaces: &[(&str, &str)],
) -> Result<Expression> {
    let mut parser = Parser { tokens, at: 0, end, namespaces, nesting: 0, operators: 0 };
    let expression = parser.expression()?;
    match parser.peek() {
        None => Ok(expression),
        Some(Token::Close) => parser.fault("this parenthesis was not opened", "leave it out"),
        Some(Token::CloseBracket) => parser.fault("this bracket was not opened", "leave it out"),
        Some(_) => parser
            .fault("an operator or the end is missing before this", "write one, or leave this out"),
    }
}

struct Parser<'p> {
    tokens: &'p [Placed],
    at: usize,
    end: usize,
    namespaces: &'p [(&'p str, &'p str)],
    nesting: usize,
    operators: usize,
}

impl Binary {
    /// Returns the precedence of the operator.
    fn level(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Compare(Comparison::Equal | Comparison::Unequal) => 3,
            Self::Compare(_) => 4,
            Self::Calculate(Operator::Add | Operator::Subtract) => 5,
            Self::Calculate(_) => 6,
        }
    }
}

impl<'p> Parser<'p> {
    fn peek(&self) -> Option<&'p Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn peek_next(&self) -> Option<&'p Token> {
        self.tokens.get(self.at + 1).map(|(token, _)| token)
    }

    fn column(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |(_, column)| *column)
    }

    fn fault<T>(&self, problem: impl Into<String>, fix: impl Into<String>) -> Result<T> {
        Err(PathFault::new(self.column(), problem, fix))
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    fn count_operator(&mut self) -> Result<()> {
        if self.operators == OPERATORS_MAX {
            return self
                .fault(format!("more than {OPERATORS_MAX} operators"), "write a simpler XPath");
        }
        self.operators += 1;
        Ok(())
    }

    /// Parses a whole expression, or one within parentheses, brackets or arguments.
    fn expression(&mut self) -> Result<Expression> {
        if self.nesting == NESTING_MAX {
            let problem = format!("nested deeper than {NESTING_MAX} levels");
            return self.fault(problem, "write a simpler XPath");
        }
        self.nesting += 1;
        let expression = self.operation(1)?;
        self.nesting -= 1;
        Ok(expression)
    }

    /// Parses operands joined by operators of at least the precedence `level`. Operators of one level group from the
    /// left.
    fn operation(&mut self, level: u8) -> Result<Expression> {
        let mut left = self.unary()?;
        while let Some(Token::Binary(binary)) = self.peek() {
            if binary.level() < level {
                break;
            }
            self.count_operator()?;
            self.at += 1;
            let right = Box::new(self.operation(binary.level() + 1)?);
            let operand = Box::new(left);
            left = match binary {
                Binary::Or => Expression::Or(operand, right),
                Binary::And => Expression::And(operand, right),
                Binary::Compare(how) => Expression::Compare(*how, operand, right),
                Binary::Calculate(how) => Expression::Calculate(*how, operand, right),
            };
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expression> {
        let mut negative = None;
        while self.take(&Token::Binary(Binary::Calculate(Operator::Subtract))) {
            negative = Some(!negative.unwrap_or(false));
        }
        let operand = self.union()?;
        let negate = |operand| Expression::Negate(Box::new(operand));
        Ok(match negative {
            None => operand,
            Some(true) => negate(operand),
            // Two signs still convert the operand to a number.
            Some(false) => negate(negate(operand)),
        })
    }

    fn union(&mut self) -> Result<Expression> {
        let mut column = self.column();
        let mut left = self.path()?;
        while self.peek() == Some(&Token::Pipe) {
            self.require_nodes(&left, column, "`|` joins node-sets")?;
            self.count_operator()?;
            self.at += 1;
            column = self.column();
            let right = self.path()?;
            self.require_nodes(&right, column, "`|` joins node-sets")?;
            left = Expression::Union(Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn require_nodes(&self, expression: &Expression, column: usize, why: &str) -> Result<()> {
        if expression.kind() == Type::Nodes {
            return Ok(());
        }
        let problem = format!("{why}, and this is not one");
        Err(PathFault::new(column, problem, "write a path here"))
    }

    fn path(&mut self) -> Result<Expression> {
        let column = self.column();
        let (start, mut descend) = match self.peek() {
            Some(Token::Slash) => {
                self.at += 1;
                if !self.step_begins() {
                    return Ok(Expression::Path(Path { start: Start::Root, steps: Vec::new() }));
                }
                (Start::Root, false)
            }
            Some(Token::SlashSlash) => {
                self.at += 1;
                (Start::Root, true)
            }
            _ if self.filter_begins() => {
                let primary = self.primary()?;
                let predicates = self.predicates()?;
                let goes_on = matches!(self.peek(), Some(Token::Slash | Token::SlashSlash));
                if predicates.is_empty() && !goes_on {
                    return Ok(primary);
                }
                self.require_nodes(&primary, column, "predicates and steps need a node-set")?;
                let start = Start::Filter { primary: Box::new(primary), predicates };
                match self.separator() {
                    None => return Ok(Expression::Path(Path { start, steps: Vec::new() })),
                    Some(descend) => (start, descend),
                }
            }
            _ => (Start::Context, false),
        };
        let mut steps = Vec::new();
        loop {
            let step = self.step()?;
            push_step(&mut steps, step, descend);
            match self.separator() {
                Some(next) => descend = next,
                None => return Ok(Expression::Path(Path { start, steps })),
            }
        }
    }

    /// Takes a slash between steps. Returns whether it is a double slash.
    fn separator(&mut self) -> Option<bool> {
        if self.take(&Token::SlashSlash) {
            Some(true)
        } else {
            self.take(&Token::Slash).then_some(false)
        }
    }

    fn step_begins(&self) -> bool {
        matches!(
            self.peek(),
            Some(
                Token::Dot
                    | Token::DotDot
                    | Token::At
                    | Token::Star
                    | Token::StarIn(_)
                    | Token::Name { .. }
            )
        )
    }

    fn filter_begins(&self) -> bool {
        match self.peek() {
            Some(Token::Open | Token::Text(_) | Token::Number(_)) => true,
            Some(Token::Name { prefix, local }) => {
                self.peek_next() == Some(&Token::Open) && !(prefix.is_none() && is_node_type(local))
            }
            _ => false,
        }
    }

    fn primary(&mut self) -> Result<Expression> {
        let column = self.column();
        let token = self.peek();
        self.at += 1;
        match token {
            Some(Token::Text(text)) => Ok(Expression::Text(text.clone())),
            Some(Token::Number(number)) => Ok(Expression::Number(*number)),
            Some(Token::Name { prefix, local }) => {
                self.at += 1;
                let arguments = self.arguments()?;
                Function::call(prefix.as_deref(), local, arguments, column)
            }
            _ => {
                let inner = self.expression()?;
                self.close(&Token::Close, "the parenthesis", column, "add `)`")?;
                Ok(inner)
            }
        }
    }

    /// Parses the arguments of a function behind its opening parenthesis, each with its column.
    fn arguments(&mut self) -> Result<Vec<(Expression, usize)>> {
        let open = self.tokens.get(self.at - 1).map_or(self.end, |(_, column)| *column);
        let mut arguments = Vec::new();
        if self.take(&Token::Close) {
            return Ok(arguments);
        }
        loop {
            let column = self.column();
            arguments.push((self.expression()?, column));
            if !self.take(&Token::Comma) {
                self.close(&Token::Close, "the parenthesis", open, "add `)`")?;
                return Ok(arguments);
            }
        }
    }

    fn close(&mut self, token: &Token, what: &str, open: usize, fix: &str) -> Result<()> {
        if self.take(token) {
            return Ok(());
        }
        self.fault(format!("{what} of column {open} is not closed before this"), fix)
    }

    fn predicates(&mut self) -> Result<Vec<Expression>> {
        let mut predicates = Vec::new();
        loop {
            let open = self.column();
            if !self.take(&Token::OpenBracket) {
                return Ok(predicates);
            }
            let column = self.column();
            let predicate = self.expression()?;
            if let Expression::Number(number) = predicate
                && (number < 1.0 || number.fract() != 0.0)
            {
                let problem = format!("`[{number}]` never finds a node: positions are 1, 2, 3, …");
                return Err(PathFault::new(column, problem, "write `[1]` for the first"));
            }
            self.close(&Token::CloseBracket, "the bracket", open, "add `]`")?;
            predicates.push(predicate);
        }
    }
}

/// Adds a step. `//a` is short for `/descendant-or-self::node()/child::a`. Without a positional predicate it equals
/// `descendant::a`, which takes fewer steps.
fn push_step(steps: &mut Vec<Step>, mut step: Step, descend: bool) {
    if descend && step.axis == Axis::Child && !step.positional {
        step.axis = Axis::Descendant;
    } else if descend {
        steps.push(Step::new(Axis::DescendantOrSelf, Test::Node, Vec::new()));
    }
    steps.push(step);
}

/// Returns "did you mean" with one of `known`, if one is similar to `name`.
pub(super) fn suggestion<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<String> {
    nearest(name, known).map(|known| format!("did you mean `{known}`?"))
}
