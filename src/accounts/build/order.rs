//! The order of an account's rules, and the rules whose webhooks would come after themselves.

use super::Builder;
use super::graph::Graph;
use crate::accounts::entry::{AccountsFile, RuleEntry};
use crate::document::Place;
use crate::domain::{Definitions as _, FlowId, Rule, Trigger, WebhookName};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

type Rules = [(Option<FlowId>, Rule)];

/// Rules of an account for one webhook.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    /// All of them.
    All,
    /// Those that name this flow, or no flow.
    Of(Option<FlowId>),
}

/// Which rule comes after which. Rules of different flows never apply together, so none of them comes after the other.
struct Dependencies<'r> {
    rules: &'r Rules,
    /// The first nodes are the rules. A rule leads to the groups that contain it, and a group to the rules that come
    /// after it. So the number of edges grows with the rules, and not with their square.
    graph: Graph,
    groups: BTreeMap<(&'r WebhookName, Scope), usize>,
}

impl<'r> Dependencies<'r> {
    /// `values` has pairs of a webhook whose answer gives a value, and the index of a rule that uses the value.
    fn new(rules: &'r Rules, values: &[(&WebhookName, usize)]) -> Self {
        let (mut graph, mut groups) = (Graph::default(), BTreeMap::new());
        for _ in rules {
            graph.node();
        }
        for (index, (flow, rule)) in rules.iter().enumerate() {
            for scope in [Scope::All, Scope::Of(*flow)] {
                let group = groups.entry((&rule.webhook, scope)).or_insert_with(|| graph.node());
                graph.edge(index, *group);
            }
        }
        let mut dependencies = Self { rules, graph, groups };
        for (index, (_, rule)) in rules.iter().enumerate() {
            rule.after.iter().for_each(|before| dependencies.add(before, index));
        }
        values.iter().for_each(|(before, index)| dependencies.add(before, *index));
        dependencies
    }

    /// Adds the rules on the end of a webhook. They need no order among the rules, since they are triggered later.
    fn add_triggers(&mut self) {
        for (index, (_, rule)) in self.rules.iter().enumerate() {
            triggers(rule).for_each(|before| self.add(before, index));
        }
    }

    fn add(&mut self, before: &WebhookName, index: usize) {
        for group in self.groups_of(before, index) {
            self.graph.edge(group, index);
        }
    }

    /// Returns the groups of the rules for `webhook` that may apply together with the rule `index`.
    fn groups_of(&self, webhook: &WebhookName, index: usize) -> Vec<usize> {
        let flow = self.rules.get(index).and_then(|(flow, _)| *flow);
        let scopes = match flow {
            None => vec![Scope::All],
            Some(_) => vec![Scope::Of(None), Scope::Of(flow)],
        };
        let group = |scope| self.groups.get(&(webhook, scope)).copied();
        scopes.into_iter().filter_map(group).collect()
    }

    /// Returns the indexes of the rules, each behind those that it comes after. Of rules that may be next, the first one
    /// is. Rules that depend on each other keep their order.
    fn sorted(&self) -> Vec<usize> {
        let mut blockers = self.graph.arriving();
        let free = blockers.iter().take(self.rules.len()).enumerate();
        let free = free.filter(|(_, blockers)| **blockers == 0).map(|(rule, _)| Reverse(rule));
        let mut free: BinaryHeap<Reverse<usize>> = free.collect();
        let mut left: BTreeSet<usize> = (0..self.rules.len()).collect();
        let mut sorted = Vec::with_capacity(self.rules.len());
        while let Some(first) = left.first().copied() {
            let next = free.pop().map_or(first, |Reverse(rule)| rule);
            // One that was next although others block it becomes free later.
            if !left.remove(&next) {
                continue;
            }
            sorted.push(next);
            let mut release = |node: usize| {
                let blockers = blockers.get_mut(node);
                blockers.is_some_and(|blockers| {
                    *blockers -= 1;
                    *blockers == 0
                })
            };
            for group in self.graph.next(next) {
                if release(*group) {
                    let rules = self.graph.next(*group).iter();
                    free.extend(rules.filter(|rule| release(**rule)).map(|rule| Reverse(*rule)));
                }
            }
        }
        sorted
    }

    /// Returns the cycles that contain a webhook that a rule names: of each group of rules that come after each other,
    /// those of the last rule.
    fn cycles(&self) -> Vec<Cycle<'r>> {
        let components = self.graph.components();
        let mut last: BTreeMap<usize, Vec<Cycle<'r>>> = BTreeMap::new();
        for (index, (_, rule)) in self.rules.iter().enumerate() {
            let Some(component) = components.get(index) else { continue };
            let cycle = |before: &'r WebhookName| {
                let groups = self.groups_of(before, index).into_iter();
                let mut groups = groups.filter(|group| components.get(*group) == Some(component));
                let path = self.graph.path(index, groups.next()?);
                let rules = path.into_iter().filter_map(|node| self.rules.get(node));
                Some(Cycle { index, before, path: rules.map(|(_, rule)| &rule.webhook).collect() })
            };
            let cycles: Vec<_> = named(rule).filter_map(cycle).collect();
            if !cycles.is_empty() {
                last.insert(*component, cycles);
            }
        }
        last.into_values().flatten().collect()
    }
}

/// A rule whose webhook would come after itself.
struct Cycle<'r> {
    index: usize,
    /// The webhook that the rule names.
    before: &'r WebhookName,
    /// From the rule's webhook to `before`, each of which comes after the one before it.
    path: Vec<&'r WebhookName>,
}

/// Returns the webhooks that the rule's triggers name.
fn triggers(rule: &Rule) -> impl Iterator<Item = &WebhookName> {
    rule.on.iter().filter_map(Trigger::webhook)
}

/// Returns the webhooks that the rule names and comes after, each of them once.
fn named(rule: &Rule) -> impl Iterator<Item = &WebhookName> {
    let names: BTreeSet<&WebhookName> = rule.after.iter().chain(triggers(rule)).collect();
    names.into_iter()
}

impl Builder<'_> {
    /// Puts the rules of each account into the order in which their webhooks depend on each other, and reports those
    /// whose webhook would come after itself.
    pub(super) fn order_rules(&mut self, written: &AccountsFile, place: &Place<'_>) {
        let mut accounts = std::mem::take(&mut self.built.accounts);
        for (id, entries) in std::mem::take(&mut self.entries) {
            let Some(account) = accounts.get_mut(&id) else { continue };
            let values = self.values(&account.rules);
            let mut dependencies = Dependencies::new(&account.rules, &values);
            let sorted = dependencies.sorted();
            dependencies.add_triggers();
            for cycle in dependencies.cycles() {
                let Some(number) = entries.get(cycle.index) else { continue };
                let Some(entry) = written.rule.get(*number) else { continue };
                self.refuse(&cycle, entry, &place.key("rule").item(*number));
            }
            let mut rules: Vec<_> = account.rules.drain(..).map(Some).collect();
            let in_order = sorted.into_iter().filter_map(|index| rules.get_mut(index)?.take());
            account.rules = in_order.collect();
        }
        self.built.accounts = accounts;
    }

    /// Returns the pairs of a webhook whose answer gives a value, and the index of a rule that uses it.
    fn values<'r>(&self, rules: &'r Rules) -> Vec<(&'r WebhookName, usize)> {
        let definitions = &self.built.definitions;
        let mut users: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut calls = Vec::new();
        for (index, (_, rule)) in rules.iter().enumerate() {
            let of_webhook = self.named.get(&rule.webhook).into_iter().flatten();
            let of_conditions = rule.when.iter().map(|condition| &*condition.variable);
            for variable in of_webhook.map(String::as_str).chain(of_conditions) {
                users.entry(variable).or_default().push(index);
            }
            // A call of the platform may carry whole families of variables.
            calls.extend(self.calls.contains(&rule.webhook).then_some((index, rule)));
        }
        let givers: BTreeSet<&WebhookName> = rules.iter().map(|(_, rule)| &rule.webhook).collect();
        let mut pairs = BTreeSet::new();
        for giver in givers {
            for variable in definitions.saves(giver) {
                let by_name = match variable.strip_suffix('*') {
                    Some(family) => {
                        let users = users.range(family..);
                        users.take_while(|(name, _)| name.starts_with(family)).collect()
                    }
                    None => Vec::from_iter(users.get_key_value(&**variable)),
                };
                let by_name = by_name.into_iter().flat_map(|(_, users)| users).copied();
                let by_call =
                    calls.iter().filter(|(_, it)| definitions.uses(&it.webhook, variable));
                pairs.extend(
                    by_name.chain(by_call.map(|(index, _)| *index)).map(|user| (giver, user)),
                );
            }
        }
        let is_own = |giver: &WebhookName, user: usize| {
            rules.get(user).is_some_and(|(_, rule)| rule.webhook == *giver)
        };
        pairs.into_iter().filter(|(giver, user)| !is_own(giver, *user)).collect()
    }

    fn refuse(&mut self, cycle: &Cycle<'_>, entry: &RuleEntry, place: &Place<'_>) {
        let Cycle { before, path, .. } = cycle;
        let Some(webhook) = path.first() else { return };
        let shown: Vec<&str> = path.iter().map(|name| name.as_str()).collect();
        let problem = format!(
            "makes a cycle: `{webhook}` would come after itself ({}, {webhook})",
            shown.join(", ")
        );
        let fix = "remove it, or what makes the other webhook come after this one";
        let is_about = |text: &String| {
            let name = text.strip_prefix("webhook:").and_then(|text| text.rsplit_once(':'));
            name.is_some_and(|(name, _)| name == before.as_str())
        };
        let places = entry.on.iter().enumerate().filter(|(_, text)| is_about(text));
        let places = places.map(|(index, _)| place.key("on").item(index));
        let after = place.key("after");
        let is_after = entry.after.as_deref() == Some(before.as_str());
        for place in is_after.then_some(after).into_iter().chain(places) {
            self.context.fault(&place, problem.clone(), fix);
        }
    }
}
