//! XPath's four types of values, their conversions and comparisons.

use super::Exhausted;
use super::evaluate::Evaluator;
use super::node::XNode;
use super::syntax::Comparison;
use std::borrow::Cow;
use std::collections::BTreeSet;

#[derive(Debug)]
pub(super) enum Value<'d> {
    /// A node-set in document order, without repeated nodes.
    Nodes(Vec<XNode<'d>>),
    Number(f64),
    Text(Cow<'d, str>),
    Boolean(bool),
}

/// Returns the number as XPath spells it: digits without an exponent, and zero without a sign.
pub(super) fn spell(number: f64) -> String {
    if number == 0.0 {
        "0".to_owned()
    } else if number.is_infinite() {
        (if number > 0.0 { "Infinity" } else { "-Infinity" }).to_owned()
    } else {
        // These are the shortest digits that parse to the same number.
        number.to_string()
    }
}

/// Parses `text` as a number. Returns NaN if it is none. XPath has neither exponents nor a plus sign.
pub(super) fn read_number(text: &str) -> f64 {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let plain = unsigned.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if plain { text.parse().unwrap_or(f64::NAN) } else { f64::NAN }
}

impl<'d> Value<'d> {
    pub(super) fn boolean(&self) -> bool {
        match self {
            Self::Nodes(nodes) => !nodes.is_empty(),
            Self::Number(number) => *number != 0.0 && !number.is_nan(),
            Self::Text(text) => !text.is_empty(),
            Self::Boolean(boolean) => *boolean,
        }
    }

    pub(super) fn text(self, evaluator: &Evaluator<'d, '_>) -> Result<Cow<'d, str>, Exhausted> {
        Ok(match self {
            Self::Nodes(nodes) => match nodes.first() {
                Some(node) => evaluator.text(node)?,
                None => Cow::Borrowed(""),
            },
            Self::Number(number) => Cow::Owned(spell(number)),
            Self::Text(text) => text,
            Self::Boolean(boolean) => Cow::Borrowed(if boolean { "true" } else { "false" }),
        })
    }

    pub(super) fn number(self, evaluator: &Evaluator<'d, '_>) -> Result<f64, Exhausted> {
        Ok(match self {
            Self::Number(number) => number,
            Self::Boolean(boolean) => f64::from(u8::from(boolean)),
            Self::Nodes(_) | Self::Text(_) => read_number(&self.text(evaluator)?),
        })
    }

    /// Compares two values: <https://www.w3.org/TR/1999/REC-xpath-19991116/#booleans>
    pub(super) fn compare(
        self,
        how: Comparison,
        other: Self,
        evaluator: &Evaluator<'d, '_>,
    ) -> Result<bool, Exhausted> {
        match (self, other) {
            (Self::Nodes(left), Self::Nodes(right)) => compare_sets(how, &left, &right, evaluator),
            (Self::Nodes(left), right) => compare_set(how, &left, right, evaluator),
            (left, Self::Nodes(right)) => compare_set(how.swapped(), &right, left, evaluator),
            (left, right) => compare_single(how, left, right, evaluator),
        }
    }
}

impl Comparison {
    /// Returns the comparison of the right operand to the left one.
    fn swapped(self) -> Self {
        match self {
            Self::Equal | Self::Unequal => self,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }

    fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::Unequal)
    }

    fn of<T: PartialOrd + ?Sized>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Unequal => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

/// Compares values that are not node-sets.
fn compare_single<'d>(
    how: Comparison,
    left: Value<'d>,
    right: Value<'d>,
    evaluator: &Evaluator<'d, '_>,
) -> Result<bool, Exhausted> {
    Ok(match (left, right) {
        (Value::Boolean(left), right) if how.is_equality() => how.of(&left, &right.boolean()),
        (left, Value::Boolean(right)) if how.is_equality() => how.of(&left.boolean(), &right),
        (Value::Text(left), Value::Text(right)) if how.is_equality() => {
            evaluator.pay_for(&left)?;
            how.of(left.as_ref(), right.as_ref())
        }
        (left, right) => how.of(&left.number(evaluator)?, &right.number(evaluator)?),
    })
}

/// Returns whether the comparison with `other`, which is no node-set, is true for any node.
fn compare_set<'d>(
    how: Comparison,
    nodes: &[XNode<'d>],
    other: Value<'d>,
    evaluator: &Evaluator<'d, '_>,
) -> Result<bool, Exhausted> {
    if let Value::Boolean(_) = other {
        return compare_single(how, Value::Boolean(!nodes.is_empty()), other, evaluator);
    }
    if let Value::Text(text) = &other
        && how.is_equality()
    {
        return any(nodes, |node| Ok(how.of(evaluator.text(node)?.as_ref(), text.as_ref())));
    }
    let number = other.number(evaluator)?;
    any(nodes, |node| Ok(how.of(&read_number(&evaluator.text(node)?), &number)))
}

fn any<'d>(
    nodes: &[XNode<'d>],
    mut holds: impl FnMut(&XNode<'d>) -> Result<bool, Exhausted>,
) -> Result<bool, Exhausted> {
    for node in nodes {
        if holds(node)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns whether the comparison is true for any pair of nodes of `left` and `right`. It visits each node once and not
/// each pair.
fn compare_sets<'d>(
    how: Comparison,
    left: &[XNode<'d>],
    right: &[XNode<'d>],
    evaluator: &Evaluator<'d, '_>,
) -> Result<bool, Exhausted> {
    let texts = |nodes: &[XNode<'d>]| {
        nodes.iter().map(|node| evaluator.text(node)).collect::<Result<BTreeSet<_>, _>>()
    };
    // The smallest and the largest number. Without numbers, two values that no number compares to.
    let bounds = |nodes: &[XNode<'d>]| {
        nodes.iter().try_fold((f64::NAN, f64::NAN), |(low, high), node| {
            let number = read_number(&evaluator.text(node)?);
            Ok((number.min(low), number.max(high)))
        })
    };
    match how {
        Comparison::Equal => {
            let left = texts(left)?;
            any(right, |node| Ok(left.contains(&evaluator.text(node)?)))
        }
        Comparison::Unequal => {
            let (left, right) = (texts(left)?, texts(right)?);
            // No pair is unequal only if both sets have one text and it is the same.
            Ok(!left.is_empty() && !right.is_empty() && (left.len() > 1 || left != right))
        }
        Comparison::Less | Comparison::LessOrEqual => {
            Ok(how.of(&bounds(left)?.0, &bounds(right)?.1))
        }
        Comparison::Greater | Comparison::GreaterOrEqual => {
            Ok(how.of(&bounds(left)?.1, &bounds(right)?.0))
        }
    }
}
