//! XPath 1.0, complete: <https://www.w3.org/TR/1999/REC-xpath-19991116/>.
//!
//! It is written here because every crate for it takes as long as a document makes it take, and an endpoint's answer is
//! whatever the endpoint sends: here each evaluation is paid for from [`Steps`]. Parsing checks types and arities as well, so
//! that evaluating a parsed expression cannot fail otherwise.

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

pub use fault::{PATH_MAX, PathFault};

use evaluate::{Context, Evaluator};
use node::XNode;
use roxmltree::Document;
use std::cell::Cell;
use syntax::Expression;
use value::Value;

/// How many steps all XPaths of a map may take on one answer, together. A step looks at one node, or at 16 bytes of text.
const STEPS_MAX: u64 = 2_000_000;

/// An XPath 1.0 expression, parsed.
///
/// It is evaluated with the document's root as context node, without variables; `id()` finds nothing, as documents have no
/// document type. Prefixes stand for the namespaces that were given to [`XPath::parse`], and `xml` for its own.
#[derive(Debug)]
pub struct XPath {
    expression: Expression,
}

impl XPath {
    /// Parses `spelt`, which may use the prefixes of `namespaces`: pairs of a prefix and its namespace's name.
    ///
    /// # Errors
    ///
    /// Says where `spelt` is no XPath 1.0, uses a name that nothing stands for, or can never find anything.
    pub fn parse(spelt: &str, namespaces: &[(&str, &str)]) -> Result<Self, PathFault> {
        PathFault::check_length(spelt)?;
        let tokens = lexer::tokens(spelt)?;
        let expression = parser::parse(&tokens, spelt.chars().count() + 1, namespaces)?;
        Ok(Self { expression })
    }

    /// The value in `document` as JSON text; `None` if there is none. Of a node-set it is the string-value of the first node
    /// in document order.
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

/// What evaluations may still cost.
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
