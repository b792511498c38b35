//! Evaluates an expression, and pays for it with steps.

use super::node::{Axis, XNode};
use super::syntax::{Expression, Operator, Path, Start, Step, Test};
use super::value::Value;
use super::{Exhausted, Steps};
use roxmltree::Node;
use std::borrow::Cow;
use std::ops::ControlFlow;

/// The bytes of text that cost as much as one node.
const BYTES_PER_STEP: usize = 16;

/// The number of nodes that a step may find before it removes repeated ones.
const FOUND_MIN: usize = 4_096;

/// The context of an expression: <https://www.w3.org/TR/1999/REC-xpath-19991116/#dt-context-node>
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'d> {
    pub(super) node: XNode<'d>,
    /// The position of the node, from 1.
    pub(super) position: usize,
    pub(super) size: usize,
}

impl<'d> Context<'d> {
    /// Creates the context of a whole XPath.
    pub(super) fn new(node: XNode<'d>) -> Self {
        Self { node, position: 1, size: 1 }
    }
}

pub(super) struct Evaluator<'d, 's> {
    root: Node<'d, 'd>,
    steps: &'s Steps,
}

impl<'d, 's> Evaluator<'d, 's> {
    pub(super) fn new(root: Node<'d, 'd>, steps: &'s Steps) -> Self {
        Self { root, steps }
    }

    /// Evaluates `expression`. The recursion is as deep as the expression, which the parser bounds.
    pub(super) fn evaluate(
        &self,
        expression: &'d Expression,
        context: &Context<'d>,
    ) -> Result<Value<'d>, Exhausted> {
        self.steps.spend(1)?;
        let value = |expression| self.evaluate(expression, context);
        Ok(match expression {
            Expression::Or(left, right) => {
                Value::Boolean(value(left)?.boolean() || value(right)?.boolean())
            }
            Expression::And(left, right) => {
                Value::Boolean(value(left)?.boolean() && value(right)?.boolean())
            }
            Expression::Compare(how, left, right) => {
                Value::Boolean(value(left)?.compare(*how, value(right)?, self)?)
            }
            Expression::Calculate(how, left, right) => {
                let (left, right) = (value(left)?.number(self)?, value(right)?.number(self)?);
                Value::Number(match how {
                    Operator::Add => left + right,
                    Operator::Subtract => left - right,
                    Operator::Multiply => left * right,
                    Operator::Divide => left / right,
                    Operator::Modulo => left % right,
                })
            }
            Expression::Negate(operand) => Value::Number(-value(operand)?.number(self)?),
            Expression::Union(left, right) => {
                let mut nodes = self.nodes(left, context)?;
                nodes.extend(self.nodes(right, context)?);
                Value::Nodes(in_document_order(nodes))
            }
            Expression::Path(path) => Value::Nodes(self.path(path, context)?),
            Expression::Text(text) => Value::Text(Cow::Borrowed(text)),
            Expression::Number(number) => Value::Number(*number),
            Expression::Call(function, arguments) => function.evaluate(arguments, context, self)?,
        })
    }

    /// Returns the node-set of an expression. The parser made sure that it is one.
    pub(super) fn nodes(
        &self,
        expression: &'d Expression,
        context: &Context<'d>,
    ) -> Result<Vec<XNode<'d>>, Exhausted> {
        match self.evaluate(expression, context)? {
            Value::Nodes(nodes) => Ok(nodes),
            Value::Number(_) | Value::Text(_) | Value::Boolean(_) => Ok(Vec::new()),
        }
    }

    /// Returns the string-value of a node.
    pub(super) fn text(&self, node: &XNode<'d>) -> Result<Cow<'d, str>, Exhausted> {
        self.steps.spend(1)?;
        if let Some(text) = node.own_text() {
            self.pay_for(text)?;
            return Ok(Cow::Borrowed(text));
        }
        let mut all = Cow::Borrowed("");
        for inner in node.anchor().descendants() {
            self.steps.spend(1)?;
            if inner.is_text() {
                let text = inner.text().unwrap_or_default();
                self.pay_for(text)?;
                all += text;
            }
        }
        Ok(all)
    }

    /// Pays for this number of nodes.
    pub(super) fn pay(&self, nodes: usize) -> Result<(), Exhausted> {
        self.steps.spend(nodes)
    }

    /// Pays for work that is proportional to the length of `text`.
    pub(super) fn pay_for(&self, text: &str) -> Result<(), Exhausted> {
        self.steps.spend(text.len() / BYTES_PER_STEP)
    }

    fn path(&self, path: &'d Path, context: &Context<'d>) -> Result<Vec<XNode<'d>>, Exhausted> {
        let mut nodes = match &path.start {
            Start::Root => vec![XNode::Tree(self.root)],
            Start::Context => vec![context.node],
            Start::Filter { primary, predicates } => {
                let mut nodes = self.nodes(primary, context)?;
                for predicate in predicates {
                    nodes = self.filter(nodes, predicate)?;
                }
                nodes
            }
        };
        for step in &path.steps {
            nodes = self.step(step, &nodes)?;
        }
        Ok(nodes)
    }

    fn step(&self, step: &'d Step, from: &[XNode<'d>]) -> Result<Vec<XNode<'d>>, Exhausted> {
        let descends = matches!(step.axis, Axis::Descendant | Axis::DescendantOrSelf);
        let mut found = Vec::new();
        // Repeated nodes are removed now and then, so that they never take much more memory than the document.
        let mut found_max = FOUND_MIN;
        let mut visited = 0;
        for node in from {
            if descends && !step.positional && matches!(node, XNode::Tree(_)) {
                // The nodes below a visited node were visited with it. Visiting them again would find the same nodes.
                let start = node.anchor().id().get_usize();
                if start < visited {
                    continue;
                }
                visited = start + node.anchor().descendants().len();
            }
            let mut nodes = self.select(step, node)?;
            for predicate in &step.predicates {
                nodes = self.filter(nodes, predicate)?;
            }
            found.append(&mut nodes);
            if found.len() > found_max {
                found = in_document_order(found);
                found_max = FOUND_MIN.max(2 * found.len());
            }
        }
        Ok(in_document_order(found))
    }

    /// Returns the nodes on the axis that pass the test, nearest first.
    fn select(&self, step: &'d Step, from: &XNode<'d>) -> Result<Vec<XNode<'d>>, Exhausted> {
        let mut nodes = Vec::new();
        let walked = from.walk(step.axis, &mut |node| {
            if self.steps.spend(1).is_err() {
                return ControlFlow::Break(Err(Exhausted));
            }
            if step.test.passes(&node, step.axis) {
                nodes.push(node);
            }
            if nodes.len() == step.nodes_max {
                return ControlFlow::Break(Ok(()));
            }
            ControlFlow::Continue(())
        });
        match walked {
            ControlFlow::Break(Err(exhausted)) => Err(exhausted),
            ControlFlow::Break(Ok(())) | ControlFlow::Continue(()) => Ok(nodes),
        }
    }

    fn filter(
        &self,
        nodes: Vec<XNode<'d>>,
        predicate: &'d Expression,
    ) -> Result<Vec<XNode<'d>>, Exhausted> {
        let size = nodes.len();
        let mut kept = Vec::new();
        for (index, node) in nodes.into_iter().enumerate() {
            let position = index + 1;
            let keep = match self.evaluate(predicate, &Context { node, position, size })? {
                Value::Number(number) => number == count(position),
                value @ (Value::Nodes(_) | Value::Text(_) | Value::Boolean(_)) => value.boolean(),
            };
            if keep {
                kept.push(node);
            }
        }
        Ok(kept)
    }
}

/// Returns a count as an XPath number.
pub(super) fn count(count: usize) -> f64 {
    count as f64
}

/// Sorts nodes if necessary, and removes repeated ones.
fn in_document_order(mut nodes: Vec<XNode<'_>>) -> Vec<XNode<'_>> {
    if !nodes.is_sorted_by(|left, right| left.order() < right.order()) {
        nodes.sort_by_key(XNode::order);
        nodes.dedup_by_key(|node| node.order());
    }
    nodes
}

impl Test {
    /// Returns whether the test accepts `node`. A name test accepts elements; on their own axes it accepts attributes
    /// and namespaces.
    fn passes(&self, node: &XNode<'_>, axis: Axis) -> bool {
        let (tree, named) = match node {
            XNode::Tree(node) => (Some(node), node.is_element()),
            XNode::Attribute(..) => (None, axis == Axis::Attribute),
            XNode::Namespace { .. } => (None, axis == Axis::Namespace),
        };
        match self {
            Self::AnyName => named,
            Self::NameIn { namespace } => named && node.namespace() == namespace,
            Self::Name { namespace, local } => {
                named && node.local_name() == local && node.namespace() == namespace
            }
            // An empty CDATA section gives an empty text node, which XPath does not have.
            Self::Node => tree.is_none_or(|node| !node.is_text() || node.text() != Some("")),
            Self::Text => tree.is_some_and(|node| node.is_text() && node.text() != Some("")),
            Self::Comment => tree.is_some_and(Node::is_comment),
            Self::Instruction(target) => tree.and_then(Node::pi).is_some_and(|instruction| {
                target.as_ref().is_none_or(|target| instruction.target == target)
            }),
        }
    }
}
