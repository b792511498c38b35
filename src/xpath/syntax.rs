//! An XPath expression as a tree.

use super::function::Function;
use super::node::Axis;

/// An expression: <https://www.w3.org/TR/1999/REC-xpath-19991116/#section-Expressions>
#[derive(Debug)]
pub(super) enum Expression {
    Or(Box<Expression>, Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Compare(Comparison, Box<Expression>, Box<Expression>),
    Calculate(Operator, Box<Expression>, Box<Expression>),
    Negate(Box<Expression>),
    Union(Box<Expression>, Box<Expression>),
    Path(Path),
    Text(String),
    Number(f64),
    Call(Function, Vec<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

/// A location path: the start, and the steps from there. The start may be another node-set with predicates.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) start: Start,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug)]
pub(super) enum Start {
    Root,
    Context,
    Filter { primary: Box<Expression>, predicates: Vec<Expression> },
}

#[derive(Debug)]
pub(super) struct Step {
    pub(super) axis: Axis,
    pub(super) test: Test,
    pub(super) predicates: Vec<Expression>,
    /// Whether a predicate depends on positions. The step must then be taken from each node, even if another node
    /// contains it.
    pub(super) positional: bool,
    /// The most nodes of the axis that are needed: `[3]` needs three.
    pub(super) nodes_max: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// `*`
    AnyName,
    /// `p:*`
    NameIn { namespace: String },
    /// `name` or `p:name`; the namespace is empty without a prefix.
    Name { namespace: String, local: String },
    /// `node()`
    Node,
    /// `text()`
    Text,
    /// `comment()`
    Comment,
    /// `processing-instruction()`, with or without a target.
    Instruction(Option<String>),
}

/// The type of an expression's value. XPath without variables knows it before evaluating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Nodes,
    Number,
    Text,
    Boolean,
}

impl Expression {
    pub(super) fn kind(&self) -> Type {
        match self {
            Self::Or(..) | Self::And(..) | Self::Compare(..) => Type::Boolean,
            Self::Calculate(..) | Self::Negate(_) | Self::Number(_) => Type::Number,
            Self::Union(..) | Self::Path(_) => Type::Nodes,
            Self::Text(_) => Type::Text,
            Self::Call(function, _) => function.kind(),
        }
    }

    /// Returns whether this, as a predicate, depends on the position of a node among the others.
    pub(super) fn is_positional(&self) -> bool {
        self.kind() == Type::Number || self.asks_position()
    }

    /// Returns whether this uses `position()` or `last()` of its context. Inner predicates have a context of their own.
    fn asks_position(&self) -> bool {
        match self {
            Self::Or(left, right)
            | Self::And(left, right)
            | Self::Compare(_, left, right)
            | Self::Calculate(_, left, right)
            | Self::Union(left, right) => left.asks_position() || right.asks_position(),
            Self::Negate(inner) => inner.asks_position(),
            Self::Path(path) => match &path.start {
                Start::Root | Start::Context => false,
                Start::Filter { primary, .. } => primary.asks_position(),
            },
            Self::Text(_) | Self::Number(_) => false,
            Self::Call(Function::Position | Function::Last, _) => true,
            Self::Call(_, arguments) => arguments.iter().any(Self::asks_position),
        }
    }
}

impl Step {
    pub(super) fn new(axis: Axis, test: Test, predicates: Vec<Expression>) -> Self {
        let positional = predicates.iter().any(Expression::is_positional);
        let nodes_max = match predicates.first() {
            Some(Expression::Number(number)) => super::value::spell(*number).parse().ok(),
            _ => None,
        };
        Self { axis, test, predicates, positional, nodes_max: nodes_max.unwrap_or(usize::MAX) }
    }
}
