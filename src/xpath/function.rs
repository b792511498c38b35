//! The core function library: <https://www.w3.org/TR/1999/REC-xpath-19991116/#corelib>.

use super::Exhausted;
use super::evaluate::{Context, Evaluator, count};
use super::fault::PathFault;
use super::node::{XML_NAMESPACE, XNode};
use super::parser::suggestion;
use super::strings;
use super::syntax::{Expression, Type};
use super::value::{Value, read_number};
use std::borrow::Cow;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Last,
    Position,
    Count,
    Id,
    LocalName,
    NamespaceUri,
    Name,
    Text,
    Concat,
    StartsWith,
    Contains,
    SubstringBefore,
    SubstringAfter,
    Substring,
    StringLength,
    NormalizeSpace,
    Translate,
    Boolean,
    Not,
    True,
    False,
    Lang,
    Number,
    Sum,
    Floor,
    Ceiling,
    Round,
}

use Function as F;

/// Name, function, minimum and maximum of arguments, and type of the value.
const TABLE: [(&str, Function, usize, usize, Type); 27] = [
    ("last", F::Last, 0, 0, Type::Number),
    ("position", F::Position, 0, 0, Type::Number),
    ("count", F::Count, 1, 1, Type::Number),
    ("id", F::Id, 1, 1, Type::Nodes),
    ("local-name", F::LocalName, 0, 1, Type::Text),
    ("namespace-uri", F::NamespaceUri, 0, 1, Type::Text),
    ("name", F::Name, 0, 1, Type::Text),
    ("string", F::Text, 0, 1, Type::Text),
    ("concat", F::Concat, 2, usize::MAX, Type::Text),
    ("starts-with", F::StartsWith, 2, 2, Type::Boolean),
    ("contains", F::Contains, 2, 2, Type::Boolean),
    ("substring-before", F::SubstringBefore, 2, 2, Type::Text),
    ("substring-after", F::SubstringAfter, 2, 2, Type::Text),
    ("substring", F::Substring, 2, 3, Type::Text),
    ("string-length", F::StringLength, 0, 1, Type::Number),
    ("normalize-space", F::NormalizeSpace, 0, 1, Type::Text),
    ("translate", F::Translate, 3, 3, Type::Text),
    ("boolean", F::Boolean, 1, 1, Type::Boolean),
    ("not", F::Not, 1, 1, Type::Boolean),
    ("true", F::True, 0, 0, Type::Boolean),
    ("false", F::False, 0, 0, Type::Boolean),
    ("lang", F::Lang, 1, 1, Type::Boolean),
    ("number", F::Number, 0, 1, Type::Number),
    ("sum", F::Sum, 1, 1, Type::Number),
    ("floor", F::Floor, 1, 1, Type::Number),
    ("ceiling", F::Ceiling, 1, 1, Type::Number),
    ("round", F::Round, 1, 1, Type::Number),
];

impl Function {
    /// Creates the call at `column`. Each argument has its own column.
    pub(super) fn call(
        prefix: Option<&str>,
        name: &str,
        arguments: Vec<(Expression, usize)>,
        column: usize,
    ) -> Result<Expression, PathFault> {
        let found = TABLE.iter().find(|(known, ..)| prefix.is_none() && *known == name);
        let Some((_, function, min, max, _)) = found else {
            let fix = suggestion(name, TABLE.iter().map(|(known, ..)| *known))
                .unwrap_or_else(|| "use one of XPath's 27 core functions".to_owned());
            let name = prefix.map_or(name.to_owned(), |prefix| format!("{prefix}:{name}"));
            let problem = format!("XPath 1.0 has no function `{name}`");
            return Err(PathFault::new(column, problem, fix));
        };
        if !(*min..=*max).contains(&arguments.len()) {
            let problem = format!("`{name}` does not take {} arguments", arguments.len());
            let fix = match (min, max) {
                (min, max) if min == max => format!("give it {min}"),
                (min, &usize::MAX) => format!("give it {min} or more"),
                (min, max) => format!("give it {min} to {max}"),
            };
            return Err(PathFault::new(column, problem, fix));
        }
        let needs_nodes =
            matches!(function, F::Count | F::Sum | F::LocalName | F::NamespaceUri | F::Name);
        if let Some((argument, column)) = arguments.first()
            && needs_nodes
            && argument.kind() != Type::Nodes
        {
            let problem = format!("`{name}` needs a node-set, and this is not one");
            return Err(PathFault::new(*column, problem, "write a path here"));
        }
        let arguments = arguments.into_iter().map(|(argument, _)| argument).collect();
        Ok(Expression::Call(*function, arguments))
    }

    pub(super) fn kind(self) -> Type {
        let found = TABLE.iter().find(|(_, function, ..)| *function == self);
        found.map_or(Type::Text, |(.., kind)| *kind)
    }

    pub(super) fn evaluate<'d>(
        self,
        arguments: &'d [Expression],
        context: &Context<'d>,
        evaluator: &Evaluator<'d, '_>,
    ) -> Result<Value<'d>, Exhausted> {
        let call = Call { arguments, context, evaluator };
        Ok(match self {
            F::Last => Value::Number(count(context.size)),
            F::Position => Value::Number(count(context.position)),
            F::Count => Value::Number(count(call.nodes()?.len())),
            // Only a document type can declare IDs, and no document has one.
            F::Id => {
                call.value(0)?;
                Value::Nodes(Vec::new())
            }
            F::LocalName => Value::Text(Cow::Borrowed(call.node()?.map_or("", |n| n.local_name()))),
            F::NamespaceUri => {
                Value::Text(Cow::Borrowed(call.node()?.map_or("", |n| n.namespace())))
            }
            F::Name => {
                Value::Text(call.node()?.map_or(Cow::Borrowed(""), |node| node.qualified_name()))
            }
            F::Lang => Value::Boolean(call.is_in_language()?),
            F::Boolean => Value::Boolean(call.value(0)?.boolean()),
            F::Not => Value::Boolean(!call.value(0)?.boolean()),
            F::True => Value::Boolean(true),
            F::False => Value::Boolean(false),
            F::Number => Value::Number(call.number(0)?),
            F::Floor => Value::Number(call.number(0)?.floor()),
            F::Ceiling => Value::Number(call.number(0)?.ceil()),
            F::Round => Value::Number(strings::round(call.number(0)?)),
            F::Sum => {
                let nodes = call.nodes()?;
                let sum = nodes
                    .iter()
                    .try_fold(0.0, |sum, node| Ok(sum + read_number(&evaluator.text(node)?)));
                Value::Number(sum?)
            }
            F::Text => Value::Text(call.text(0)?),
            F::Concat => Value::Text(call.concat()?.into()),
            F::StartsWith => Value::Boolean(call.text(0)?.starts_with(call.text(1)?.as_ref())),
            F::Contains => Value::Boolean(call.text(0)?.contains(call.text(1)?.as_ref())),
            F::SubstringBefore => Value::Text(strings::before(call.text(0)?, &call.text(1)?)),
            F::SubstringAfter => Value::Text(strings::after(call.text(0)?, &call.text(1)?)),
            F::Substring => Value::Text(call.substring()?.into()),
            F::StringLength => Value::Number(count(call.text(0)?.chars().count())),
            F::NormalizeSpace => Value::Text(strings::normalize_space(&call.text(0)?).into()),
            F::Translate => {
                let (from, to) = (call.text(1)?, call.text(2)?);
                Value::Text(strings::translate(&call.text(0)?, &from, &to).into())
            }
        })
    }
}

struct Call<'c, 'd, 's> {
    arguments: &'d [Expression],
    context: &'c Context<'d>,
    evaluator: &'c Evaluator<'d, 's>,
}

impl<'d> Call<'_, 'd, '_> {
    /// Evaluates an argument. A missing one is the context node.
    fn value(&self, index: usize) -> Result<Value<'d>, Exhausted> {
        match self.arguments.get(index) {
            Some(argument) => self.evaluator.evaluate(argument, self.context),
            None => Ok(Value::Nodes(vec![self.context.node])),
        }
    }

    /// Evaluates an argument as a string, and pays for its length: every function reads all of it.
    fn text(&self, index: usize) -> Result<Cow<'d, str>, Exhausted> {
        let text = self.value(index)?.text(self.evaluator)?;
        self.evaluator.pay_for(&text)?;
        Ok(text)
    }

    fn number(&self, index: usize) -> Result<f64, Exhausted> {
        self.value(index)?.number(self.evaluator)
    }

    fn nodes(&self) -> Result<Vec<XNode<'d>>, Exhausted> {
        match self.value(0)? {
            Value::Nodes(nodes) => Ok(nodes),
            Value::Number(_) | Value::Text(_) | Value::Boolean(_) => Ok(Vec::new()),
        }
    }

    fn node(&self) -> Result<Option<XNode<'d>>, Exhausted> {
        Ok(self.nodes()?.first().copied())
    }

    fn concat(&self) -> Result<String, Exhausted> {
        let mut all = String::new();
        for index in 0..self.arguments.len() {
            all.push_str(&self.text(index)?);
        }
        Ok(all)
    }

    fn substring(&self) -> Result<String, Exhausted> {
        let length = match self.arguments.len() {
            3 => Some(self.number(2)?),
            _ => None,
        };
        Ok(strings::substring(&self.text(0)?, self.number(1)?, length))
    }

    /// Returns whether `xml:lang` is the language in the argument, or a sublanguage of it. The attribute of the nearest
    /// element counts, from the context node outwards.
    fn is_in_language(&self) -> Result<bool, Exhausted> {
        let wanted = self.text(0)?;
        for node in self.context.node.anchor().ancestors() {
            self.evaluator.pay(1 + node.attributes().len())?;
            if let Some(declared) = node.attribute((XML_NAMESPACE, "lang")) {
                let parts = declared.split_at_checked(wanted.len());
                return Ok(parts.is_some_and(|(head, tail)| {
                    head.eq_ignore_ascii_case(&wanted) && (tail.is_empty() || tail.starts_with('-'))
                }));
            }
        }
        Ok(false)
    }
}
