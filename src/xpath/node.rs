//! XPath's view of a document: roxmltree's nodes, with attributes and namespaces as separate nodes.
//!
//! <https://www.w3.org/TR/1999/REC-xpath-19991116/#data-model>

use roxmltree::{Attribute, Node};
use std::borrow::Cow;
use std::ops::ControlFlow;

/// The namespace of the prefix `xml`, which is always in scope.
pub(super) const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";

/// A node of a document with the lifetime `'d`.
#[derive(Clone, Copy, Debug)]
pub(super) enum XNode<'d> {
    /// The root, an element, a text, a comment or a processing instruction.
    Tree(Node<'d, 'd>),
    /// An attribute of an element, with its index among the attributes.
    Attribute(Node<'d, 'd>, usize, Attribute<'d, 'd>),
    /// A namespace in scope at an element, with its index among the namespaces.
    Namespace { element: Node<'d, 'd>, index: usize, prefix: &'d str, name: &'d str },
}

/// An axis: <https://www.w3.org/TR/1999/REC-xpath-19991116/#axes>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    Ancestor,
    AncestorOrSelf,
    Attribute,
    Child,
    Descendant,
    DescendantOrSelf,
    Following,
    FollowingSibling,
    Namespace,
    Parent,
    Preceding,
    PrecedingSibling,
    Itself,
}

impl Axis {
    pub(super) const ALL: [(&'static str, Self); 13] = [
        ("ancestor", Self::Ancestor),
        ("ancestor-or-self", Self::AncestorOrSelf),
        ("attribute", Self::Attribute),
        ("child", Self::Child),
        ("descendant", Self::Descendant),
        ("descendant-or-self", Self::DescendantOrSelf),
        ("following", Self::Following),
        ("following-sibling", Self::FollowingSibling),
        ("namespace", Self::Namespace),
        ("parent", Self::Parent),
        ("preceding", Self::Preceding),
        ("preceding-sibling", Self::PrecedingSibling),
        ("self", Self::Itself),
    ];
}

impl<'d> XNode<'d> {
    /// Returns a key that sorts nodes in document order: an element, then its namespaces, then its attributes, then its
    /// children.
    pub(super) fn order(&self) -> (u32, u8, usize) {
        match self {
            Self::Tree(node) => (node.id().get(), 0, 0),
            Self::Namespace { element, index, .. } => (element.id().get(), 1, *index),
            Self::Attribute(element, index, _) => (element.id().get(), 2, *index),
        }
    }

    /// Returns the node itself if it is in the tree, or the element to which it belongs.
    pub(super) fn anchor(&self) -> Node<'d, 'd> {
        match self {
            Self::Tree(node) | Self::Attribute(node, ..) => *node,
            Self::Namespace { element, .. } => *element,
        }
    }

    /// Returns the local part of the expanded name, or an empty text if the node has none.
    pub(super) fn local_name(&self) -> &'d str {
        match self {
            Self::Tree(node) => match node.pi() {
                Some(instruction) => instruction.target,
                None => node.tag_name().name(),
            },
            Self::Attribute(_, _, attribute) => attribute.name(),
            Self::Namespace { prefix, .. } => prefix,
        }
    }

    /// Returns the namespace of the expanded name, or an empty text if the node has none.
    pub(super) fn namespace(&self) -> &'d str {
        match self {
            Self::Tree(node) => node.tag_name().namespace().unwrap_or_default(),
            Self::Attribute(_, _, attribute) => attribute.namespace().unwrap_or_default(),
            Self::Namespace { .. } => "",
        }
    }

    /// Returns the name with a prefix for its namespace. The tree does not keep the prefix that was written. If two
    /// prefixes stand for the namespace, the result may have the other one, as XPath allows.
    pub(super) fn qualified_name(&self) -> Cow<'d, str> {
        let (local, namespace) = (self.local_name(), self.namespace());
        if namespace.is_empty() {
            return Cow::Borrowed(local);
        }
        let unprefixed = matches!(self, Self::Tree(_));
        let prefix = self.anchor().namespaces().find(|declared| {
            declared.uri() == namespace && (unprefixed || declared.name().is_some())
        });
        let prefix =
            if namespace == XML_NAMESPACE { Some("xml") } else { prefix.and_then(|p| p.name()) };
        prefix.map_or(Cow::Borrowed(local), |prefix| Cow::Owned(format!("{prefix}:{local}")))
    }

    /// Returns the node's own text, or `None` for the root and elements: their string-value joins the texts below them.
    pub(super) fn own_text(&self) -> Option<&'d str> {
        match self {
            Self::Tree(node) if node.is_root() || node.is_element() => None,
            Self::Tree(node) => match node.pi() {
                Some(instruction) => Some(instruction.value.unwrap_or_default()),
                None => Some(node.text().unwrap_or_default()),
            },
            Self::Attribute(_, _, attribute) => Some(attribute.value()),
            Self::Namespace { name, .. } => Some(name),
        }
    }

    /// Visits the nodes on `axis`, nearest first, until `visit` breaks.
    pub(super) fn walk<B>(
        &self,
        axis: Axis,
        visit: &mut impl FnMut(XNode<'d>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let tree = |node| XNode::Tree(node);
        let anchor = self.anchor();
        let in_tree = matches!(self, Self::Tree(_));
        match axis {
            Axis::Itself => visit(*self),
            Axis::Parent if in_tree => anchor.parent().map(tree).into_iter().try_for_each(visit),
            Axis::Parent => visit(tree(anchor)),
            Axis::Ancestor => {
                anchor.ancestors().skip(usize::from(in_tree)).map(tree).try_for_each(visit)
            }
            Axis::AncestorOrSelf => {
                visit(*self)?;
                self.walk(Axis::Ancestor, visit)
            }
            Axis::DescendantOrSelf if !in_tree => visit(*self),
            Axis::DescendantOrSelf => anchor.descendants().map(tree).try_for_each(visit),
            Axis::Following => {
                if !in_tree {
                    // The nodes below an element follow its attributes: they are not below the attributes.
                    anchor.descendants().skip(1).map(tree).try_for_each(&mut *visit)?;
                }
                anchor.ancestors().try_for_each(|node| {
                    let after = node.next_siblings().skip(1).flat_map(|node| node.descendants());
                    after.map(tree).try_for_each(&mut *visit)
                })
            }
            Axis::Preceding => anchor.ancestors().try_for_each(|node| {
                let before = node.prev_siblings().skip(1).flat_map(|node| node.descendants().rev());
                before.map(tree).try_for_each(&mut *visit)
            }),
            Axis::Child
            | Axis::Descendant
            | Axis::FollowingSibling
            | Axis::PrecedingSibling
            | Axis::Attribute
            | Axis::Namespace
                if !in_tree =>
            {
                ControlFlow::Continue(())
            }
            Axis::Child => anchor.children().map(tree).try_for_each(visit),
            Axis::Descendant => anchor.descendants().skip(1).map(tree).try_for_each(visit),
            Axis::FollowingSibling => anchor.next_siblings().skip(1).map(tree).try_for_each(visit),
            Axis::PrecedingSibling => anchor.prev_siblings().skip(1).map(tree).try_for_each(visit),
            Axis::Attribute => attributes(anchor).try_for_each(visit),
            Axis::Namespace => namespaces(anchor).try_for_each(visit),
        }
    }
}

fn attributes<'d>(element: Node<'d, 'd>) -> impl Iterator<Item = XNode<'d>> {
    let attributes = element.attributes().enumerate();
    attributes.map(move |(index, attribute)| XNode::Attribute(element, index, attribute))
}

fn namespaces<'d>(element: Node<'d, 'd>) -> impl Iterator<Item = XNode<'d>> {
    let xml = element.is_element().then_some(("xml", XML_NAMESPACE));
    let declared = element.namespaces().map(|namespace| {
        let prefix: &'d str = namespace.name().unwrap_or_default();
        let name: &'d str = namespace.uri();
        (prefix, name)
    });
    // `xmlns=""` removes the default namespace from the scope.
    let in_scope = xml.into_iter().chain(declared.filter(|(_, name)| !name.is_empty()));
    in_scope.enumerate().map(move |(index, (prefix, name))| XNode::Namespace {
        element,
        index,
        prefix,
        name,
    })
}
