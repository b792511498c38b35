//! XPath 1.0, complete: <https://www.w3.org/TR/1999/REC-xpath-19991116/>.
//!
//! It is written here because the available crates have no limit of time, and an endpoint can send any answer. Here
//! each evaluation pays from a budget of [`Steps`]. Parsing also checks types and numbers of arguments, so that
//! evaluating a parsed expression can only fail because the budget is used up.

mod evaluate;
mod fault;
mod function;
mod lexer;
mod node;
mod parser;
mod strings;
mod syntax;
#[cfg(test)]
mod tests;
mod value;

pub use fault::{PATH_MAX, PathFault, nearest};

use evaluate::{Context, Evaluator};
use node::XNode;
use roxmltree::Document;
use std::cell::Cell;
use syntax::Expression;
use value::Value;

/// The steps that all XPaths of a map may take together on one answer. A step visits one node, or 16 bytes of text.
const STEPS_MAX: u64 = 2_000_000;

/// A parsed XPath 1.0 expression.
///
/// Its context node is the document's root, and it has no variables. `id()` finds nothing, since documents have no
/// document type. Prefixes stand for the namespaces that were given to [`XPath::parse`]; `xml` stands for its own.
#[derive(Debug)]
pub struct XPath {
    expression: Expression,
}

impl XPath {
    /// Parses `spelt`, which may use the prefixes of `namespaces`: pairs of a prefix and its namespace's name.
    ///
    /// # Errors
    ///
    /// `spelt` is not XPath 1.0, uses an unknown name, or can never find anything. The error says where.
    pub fn parse(spelt: &str, namespaces: &[(&str, &str)]) -> Result<Self, PathFault> {
        PathFault::check_length(spelt)?;
        let tokens = lexer::tokens(spelt)?;
        let expression = parser::parse(&tokens, spelt.chars().count() + 1, namespaces)?;
        Ok(Self { expression })
    }

    /// Returns the value in `document` as JSON text, or `None` if there is none. The value of a node-set is the
    /// string-value of its first node in document order.
    pub(super) fn evaluate<'d>(
        &'d self,
        document: &'d Document<'d>,
        steps: &mut Steps,
    ) -> Result<Option<String>, Exhausted> {
        let evaluator = Evaluator::new(document.root(), steps);
        let context = Context::new(XNode::Tree(document.root()));
        let text = match evaluator.evaluate(&self.expression, &context)? {
            Value::Nodes(nodes) => match nodes.first() {
                Some(node) => evaluator.text(node)?,
                None => return Ok(None),
            },
            Value::Text(text) => text,
            Value::Number(number) if number.is_finite() => return Ok(Some(value::spell(number))),
            Value::Number(_) => return Ok(None),
            Value::Boolean(boolean) => return Ok(Some(boolean.to_string())),
        };
        Ok(Some(serde_json::Value::from(text).to_string()))
    }
}

/// The steps that evaluations may still take.
#[derive(Debug)]
pub(super) struct Steps {
    left: Cell<u64>,
}

/// The steps are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

impl Steps {
    pub(super) fn new() -> Self {
        Self { left: Cell::new(STEPS_MAX) }
    }

    fn spend(&self, steps: usize) -> Result<(), Exhausted> {
        let left = self.left.get().checked_sub(steps as u64).ok_or(Exhausted)?;
        self.left.set(left);
        Ok(())
    }
}
