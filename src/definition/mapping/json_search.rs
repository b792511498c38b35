//! Finds all paths of a map in one walk over the answer.

use super::json_path::{JsonPath, JsonStep};
use crate::json::TextFault;
use crate::json::walk::{self, Begins, Cursor};
use std::collections::BTreeMap;

/// The paths as a tree. Paths with a common beginning share its nodes.
#[derive(Debug)]
pub(super) struct Search {
    nodes: Vec<Node>,
    /// Where each path leads.
    ends: Vec<End>,
}

/// Where a path leads.
#[derive(Debug)]
struct End {
    node: usize,
    /// The node to which the path leads if its `data` is the whole text.
    of_root: Option<usize>,
}

/// A step of one or more paths, with the nodes below it. The first node is the whole text.
#[derive(Debug, Default)]
struct Node {
    members: BTreeMap<String, usize>,
    items: BTreeMap<usize, usize>,
}

impl Search {
    pub(super) fn new(paths: &[JsonPath]) -> Self {
        let mut search = Self { nodes: vec![Node::default()], ends: Vec::new() };
        for path in paths {
            let mut end =
                |steps: &[JsonStep]| steps.iter().fold(0, |node, step| search.follow(node, step));
            let (node, of_root) = (end(path.steps()), path.steps_after_data().map(end));
            search.ends.push(End { node, of_root });
        }
        search
    }

    /// Returns the node to which `step` leads, and creates it if necessary.
    fn follow(&mut self, node: usize, step: &JsonStep) -> usize {
        let new = self.nodes.len();
        let Some(node) = self.nodes.get_mut(node) else { return node };
        let next = match step {
            JsonStep::Member(name) => *node.members.entry(name.clone()).or_insert(new),
            JsonStep::Item(index) => *node.items.entry(*index).or_insert(new),
        };
        if next == new {
            self.nodes.push(Node::default());
        }
        next
    }

    /// Returns the value that each path finds in `text`, which [`walk::check`] returned. Of members with the same name
    /// the last one counts.
    pub(super) fn find<'t>(&self, text: &'t str) -> Result<Vec<Option<&'t str>>, TextFault> {
        let mut found = vec![NodeValue::default(); self.nodes.len()];
        self.value(0, &mut Cursor::new(text), &mut found)?;
        let value = |node: usize| found.get(node).and_then(|entry| entry.value);
        let is_there = |node: usize| found.get(node).is_some_and(|entry| entry.is_there);
        let value = |end: &End| match end.of_root {
            // The path is `data` alone: a member of this name counts even if it is null.
            Some(0) if is_there(end.node) => value(end.node),
            Some(root) => value(end.node).or_else(|| value(root)),
            None => value(end.node),
        };
        Ok(self.ends.iter().map(value).collect())
    }

    /// Finds the values of `node` and the nodes below it in the value at the cursor. The longest path bounds the
    /// recursion.
    fn value<'t>(
        &self,
        node: usize,
        cursor: &mut Cursor<'t>,
        found: &mut [NodeValue<'t>],
    ) -> Result<(), TextFault> {
        let Some(Node { members, items }) = self.nodes.get(node) else { return Ok(()) };
        forget_below(node, found);
        let start = cursor.at();
        let mut visit = |next: Option<&usize>, cursor: &mut Cursor<'t>| match next {
            Some(next) => {
                if let Some(entry) = found.get_mut(node) {
                    entry.visited.push(*next);
                }
                self.value(*next, cursor, found)
            }
            None => cursor.skip_value(),
        };
        match cursor.begins() {
            Begins::Object if !members.is_empty() => cursor.object(|cursor, name| {
                let name = walk::decode(name);
                visit(name.and_then(|name| members.get(name.as_ref())), cursor)
            })?,
            Begins::Array if !items.is_empty() => {
                cursor.array(|cursor, index| visit(items.get(&index), cursor))?;
            }
            Begins::Object | Begins::Array | Begins::Scalar => cursor.skip_value()?,
        }
        if let Some(entry) = found.get_mut(node) {
            entry.is_there = true;
            entry.value = Some(cursor.since(start)).filter(|value| *value != "null");
        }
        Ok(())
    }
}

/// The value found for a node.
#[derive(Clone, Debug, Default)]
struct NodeValue<'t> {
    /// Whether the text has the node, even if it is null.
    is_there: bool,
    value: Option<&'t str>,
    /// The nodes directly below that were visited, one entry per visit.
    visited: Vec<usize>,
}

/// Removes the values found below a node in an earlier member of the same name. It takes as long as finding them took.
fn forget_below(node: usize, found: &mut [NodeValue<'_>]) {
    let mut open = vec![node];
    while let Some(entry) = open.pop().and_then(|node| found.get_mut(node)) {
        entry.is_there = false;
        entry.value = None;
        open.append(&mut entry.visited);
    }
}
