//! A directed graph, whose nodes are numbers from 0.

use std::collections::VecDeque;

/// A directed graph.
#[derive(Default)]
pub(super) struct Graph {
    /// The nodes to which each node leads.
    next: Vec<Vec<usize>>,
}

impl Graph {
    /// Adds a node and returns its number.
    pub(super) fn node(&mut self) -> usize {
        self.next.push(Vec::new());
        self.next.len() - 1
    }

    pub(super) fn edge(&mut self, from: usize, to: usize) {
        self.next.get_mut(from).into_iter().for_each(|next| next.push(to));
    }

    /// Returns the nodes to which `node` leads.
    pub(super) fn next(&self, node: usize) -> &[usize] {
        self.next.get(node).map_or(&[], Vec::as_slice)
    }

    /// Returns for each node the number of edges that lead to it.
    pub(super) fn arriving(&self) -> Vec<usize> {
        let mut arriving = vec![0; self.next.len()];
        for to in self.next.iter().flatten() {
            arriving.get_mut(*to).into_iter().for_each(|count| *count += 1);
        }
        arriving
    }

    /// Returns the strongly connected component of each node: two nodes have the same one if and only if each can be
    /// reached from the other. The work is linear in nodes and edges (the algorithm of Kosaraju and Sharir).
    pub(super) fn components(&self) -> Vec<usize> {
        let nodes = self.next.len();
        let (mut seen, mut left) = (vec![false; nodes], Vec::with_capacity(nodes));
        for node in 0..nodes {
            self.visit(node, &mut seen, &mut left);
        }
        let mut back = Self { next: vec![Vec::new(); nodes] };
        for (from, next) in self.next.iter().enumerate() {
            next.iter().for_each(|to| back.edge(*to, from));
        }
        let (mut seen, mut components) = (vec![false; nodes], vec![0; nodes]);
        for node in left.into_iter().rev() {
            let mut members = Vec::new();
            back.visit(node, &mut seen, &mut members);
            for member in members {
                components.get_mut(member).into_iter().for_each(|it| *it = node);
            }
        }
        components
    }

    /// Appends the nodes that can be reached from `start` and are not seen yet to `left`, each behind those that were
    /// reached through it. Chains may be long, so this does not recurse.
    fn visit(&self, start: usize, seen: &mut [bool], left: &mut Vec<usize>) {
        let mut is_new =
            |node: usize| seen.get_mut(node).is_some_and(|seen| !std::mem::replace(seen, true));
        // The path to the current node, and how many edges of each node have been followed.
        let mut path: Vec<(usize, usize)> = Vec::new();
        path.extend(is_new(start).then_some((start, 0)));
        while let Some((node, followed)) = path.last_mut() {
            match self.next(*node).get(*followed) {
                Some(next) => {
                    *followed += 1;
                    path.extend(is_new(*next).then_some((*next, 0)));
                }
                None => {
                    left.push(*node);
                    path.pop();
                }
            }
        }
    }

    /// Returns the nodes of a shortest path, with both ends. Empty if there is none.
    pub(super) fn path(&self, from: usize, to: usize) -> Vec<usize> {
        let mut before = vec![None; self.next.len()];
        let mut found = VecDeque::from([from]);
        while let Some(node) = found.pop_front() {
            if node == to {
                let step = |node: &usize| before.get(*node).copied().flatten();
                let mut path: Vec<usize> = std::iter::successors(Some(to), step).collect();
                path.reverse();
                return path;
            }
            for next in self.next(node).iter().filter(|next| **next != from) {
                if let Some(before @ None) = before.get_mut(*next) {
                    *before = Some(node);
                    found.push_back(*next);
                }
            }
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::Graph;

    fn graph(nodes: usize, edges: &[(usize, usize)]) -> Graph {
        let mut graph = Graph::default();
        for node in 0..nodes {
            assert_eq!(graph.node(), node);
        }
        edges.iter().for_each(|(from, to)| graph.edge(*from, *to));
        graph
    }

    #[test]
    fn nodes_of_one_cycle_have_one_component() {
        // Two cycles, 0 1 2 and 3 4, with an edge between them, and a node behind both.
        let graph = graph(6, &[(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 3), (4, 5)]);
        let found = graph.components();
        let same = |one: usize, other: usize| found[one] == found[other];
        assert!(same(0, 1) && same(1, 2) && same(3, 4), "{found:?}");
        assert!(!same(0, 3) && !same(3, 5) && !same(0, 5), "{found:?}");
        assert_eq!(graph.arriving(), [1, 1, 1, 2, 1, 1]);
    }

    #[test]
    fn a_path_is_a_shortest_one() {
        let graph = graph(5, &[(0, 1), (1, 2), (2, 3), (0, 3), (3, 0), (2, 2)]);
        assert_eq!(graph.path(0, 3), [0, 3]);
        assert_eq!(graph.path(1, 0), [1, 2, 3, 0]);
        assert_eq!(graph.path(2, 2), [2]);
        assert!(graph.path(0, 4).is_empty());
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let edges: Vec<(usize, usize)> = (0..200_000).map(|node| (node, node + 1)).collect();
        let graph = graph(200_001, &edges);
        assert_eq!(graph.path(0, 200_000).len(), 200_001);
        assert_eq!(graph.components().len(), 200_001);
    }
}
