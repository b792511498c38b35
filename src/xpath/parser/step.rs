//! Parses one step of a path: axis, node test and predicates.

use super::super::lexer::Token;
use super::super::node::{Axis, XML_NAMESPACE};
use super::super::syntax::{Step, Test};
use super::{Parser, Result, suggestion};

impl Parser<'_> {
    pub(super) fn step(&mut self) -> Result<Step> {
        for (token, axis) in [(Token::Dot, Axis::Itself), (Token::DotDot, Axis::Parent)] {
            if self.take(&token) {
                if self.peek() == Some(&Token::OpenBracket) {
                    let fix = "write `self::node()[…]` or `parent::node()[…]`";
                    return self.fault("`.` and `..` take no predicate", fix);
                }
                return Ok(Step::new(axis, Test::Node, Vec::new()));
            }
        }
        let axis = self.axis()?;
        let test = self.test()?;
        Ok(Step::new(axis, test, self.predicates()?))
    }

    fn axis(&mut self) -> Result<Axis> {
        if self.take(&Token::At) {
            return Ok(Axis::Attribute);
        }
        let (Some(Token::Name { prefix: None, local }), Some(Token::ColonColon)) =
            (self.peek(), self.peek_next())
        else {
            return Ok(Axis::Child);
        };
        let Some((_, axis)) = Axis::ALL.iter().find(|(name, _)| name == local) else {
            let fix = suggestion(local, Axis::ALL.iter().map(|(name, _)| *name))
                .unwrap_or_else(|| "write one of XPath's 13 axes, such as `descendant`".to_owned());
            return self.fault(format!("there is no axis `{local}`"), fix);
        };
        self.at += 2;
        Ok(*axis)
    }

    fn test(&mut self) -> Result<Test> {
        let test = match self.peek() {
            Some(Token::Star) => Test::AnyName,
            Some(Token::StarIn(prefix)) => Test::NameIn { namespace: self.namespace(prefix)? },
            Some(Token::Name { prefix, local }) if self.peek_next() == Some(&Token::Open) => {
                return self.node_type(prefix.as_deref(), local);
            }
            Some(Token::Name { prefix, local }) => {
                let namespace =
                    prefix.as_deref().map(|prefix| self.namespace(prefix)).transpose()?;
                Test::Name { namespace: namespace.unwrap_or_default(), local: local.clone() }
            }
            None => {
                return self.fault(
                    "the XPath ends where a name is missing",
                    "write a name, or leave the end out",
                );
            }
            Some(_) => {
                return self.fault(
                    "a name is missing before this",
                    "write the name of an element, `@` and that of an attribute, or `*`",
                );
            }
        };
        self.at += 1;
        Ok(test)
    }

    fn node_type(&mut self, prefix: Option<&str>, local: &str) -> Result<Test> {
        if prefix.is_some() || !is_node_type(local) {
            let fix = format!("write the function around the path: `{local}(…)`");
            return self.fault("a function cannot be a step of a path in XPath 1.0", fix);
        }
        let open = self.column();
        self.at += 2;
        let test = match (local, self.peek()) {
            ("processing-instruction", Some(Token::Text(target))) => {
                self.at += 1;
                Test::Instruction(Some(target.clone()))
            }
            ("processing-instruction", _) => Test::Instruction(None),
            ("text", _) => Test::Text,
            ("comment", _) => Test::Comment,
            _ => Test::Node,
        };
        self.close(&Token::Close, "the node type", open, "write `()` directly after it")?;
        Ok(test)
    }

    fn namespace(&self, prefix: &str) -> Result<String> {
        let declared = self.namespaces.iter().find(|(declared, _)| *declared == prefix);
        match declared {
            Some((_, name)) => Ok((*name).to_owned()),
            None if prefix == "xml" => Ok(XML_NAMESPACE.to_owned()),
            None => {
                let prefixes = self.namespaces.iter().map(|(declared, _)| *declared);
                let fix = suggestion(prefix, prefixes).unwrap_or_else(|| {
                    "declare it in the definition, or write `*[local-name()='…']`".to_owned()
                });
                self.fault(format!("the prefix `{prefix}` is not declared"), fix)
            }
        }
    }
}

pub(super) fn is_node_type(name: &str) -> bool {
    matches!(name, "node" | "text" | "comment" | "processing-instruction")
}
