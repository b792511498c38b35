//! Compiles the text of a JSON template to its program.

use super::Action;
use crate::definition::template::DEPTH_MAX;
use crate::definition::template::body::{Compiled, Input, compiler};
use crate::definition::template::fault::Faults;
use crate::definition::template::lex::{Percent, lex};
use crate::definition::template::uses::{DefinitionPart, Uses};
use repeat::Repeats;
use std::collections::BTreeSet;

mod repeat;
mod token;

/// Compiles `text`. Adds its faults to `faults`; after a fault the program is unusable.
pub(in crate::definition::template::body) fn compile(
    input: &Input<'_>,
    faults: &mut Faults<'_>,
) -> (Box<dyn Compiled>, Uses) {
    let pieces = lex(input.text, input.tokens, Percent::Text, faults);
    let mut compiler = Compiler::new(input, &pieces, Action::Nothing, faults);
    compiler.state = Repeats::of(&pieces, input.tokens);
    // The fault that stops the parser is already in `faults`.
    compiler.document().unwrap_or(());
    (Box::new(compiler.builder.finish()), compiler.uses.finish(input.text, &DefinitionPart::Body))
}

type Compiler<'c, 't, 'f> = compiler::Compiler<'c, 't, 'f, Action, Repeats>;

/// The text is not JSON from here on. The fault is in `faults`.
struct Stop;

/// A variable's slot, and whether the variable is optional.
#[derive(Clone, Copy)]
struct VariableSlot {
    slot: u32,
    optional: bool,
}

/// A part of a string.
enum Content<'t> {
    /// Text as it is spelt.
    Text(&'t str),
    Variable(VariableSlot),
    Bad,
}

/// The beginning of a value, read but not compiled yet.
enum Head<'t> {
    Variable(VariableSlot),
    Bad,
    Text(Vec<Content<'t>>),
    /// A number, `true`, `false` or `null`.
    Scalar(&'t str),
    Object,
    Array,
}

impl Head<'_> {
    /// Returns the slot of the optional variable that this consists of. Without its value this is left out.
    fn optional(&self) -> Option<u32> {
        let variable = match self {
            Self::Variable(variable) => variable,
            Self::Text(contents) => match contents.as_slice() {
                [Content::Variable(variable)] => variable,
                _ => return None,
            },
            Self::Bad | Self::Scalar(_) | Self::Object | Self::Array => return None,
        };
        variable.optional.then_some(variable.slot)
    }
}

/// The items of an array or object that are compiled so far.
#[derive(Default)]
struct Items {
    any: bool,
    /// Whether at least one item is never left out.
    certain: bool,
}

impl<'t> Compiler<'_, 't, '_> {
    fn document(&mut self) -> Result<(), Stop> {
        self.skip_space();
        let head = self.head()?;
        self.value(&head, DEPTH_MAX)?;
        self.skip_space();
        if self.at < self.text.len() {
            return Err(self.unexpected("the end, after the body's one value"));
        }
        Ok(())
    }

    /// Compiles the value that begins with `head` and may be nested up to `depth` levels.
    fn value(&mut self, head: &Head<'t>, depth: usize) -> Result<(), Stop> {
        match head {
            Head::Variable(variable) => {
                self.builder.step(Action::Bare(variable.slot));
            }
            Head::Bad => {}
            Head::Text(contents) => match contents.as_slice() {
                [Content::Variable(variable)] => {
                    self.builder.step(Action::Quoted(variable.slot));
                }
                contents => self.string(contents),
            },
            Head::Scalar(text) => self.builder.literal(text),
            Head::Object | Head::Array if depth == 0 => {
                let problem = format!("this is nested deeper than {DEPTH_MAX} levels");
                self.faults.add(self.at, problem, "make the body flatter");
                return Err(Stop);
            }
            Head::Object => self.object(depth - 1)?,
            Head::Array => self.array(depth - 1)?,
        }
        Ok(())
    }

    fn string(&mut self, contents: &[Content<'t>]) {
        self.builder.literal("\"");
        for content in contents {
            match content {
                Content::Text(text) => self.builder.literal(text),
                Content::Variable(variable) => {
                    self.builder.step(Action::Inside(variable.slot));
                }
                Content::Bad => {}
            }
        }
        self.builder.literal("\"");
    }

    fn object(&mut self, depth: usize) -> Result<(), Stop> {
        let mut items = Items::default();
        let mut names = BTreeSet::new();
        self.open("{");
        while !self.close(b'}', items.any)? {
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a member's name in double quotes"));
            }
            let name = self.contents()?;
            if !names.insert(token::identity(&name)) {
                let problem = "another member of this object has the same name";
                self.faults.add(start, problem, "rename or remove one of them");
            }
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("`:` after a member's name"));
            }
            self.at += 1;
            self.skip_space();
            let head = self.head()?;
            self.item(&mut items, &head, Some(&name), depth)?;
        }
        self.builder.literal("}");
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), Stop> {
        let mut items = Items::default();
        let mut run = None;
        self.open("[");
        while !self.close(b']', items.any)? {
            let begun = self.begin_item(&items);
            let head = self.head()?;
            self.item(&mut items, &head, None, depth)?;
            self.end_item(begun, &mut items, &mut run);
        }
        self.end_run(run);
        self.builder.literal("]");
        Ok(())
    }

    fn open(&mut self, bracket: &str) {
        self.at += bracket.len();
        self.builder.literal(bracket);
        self.skip_space();
    }

    /// Returns whether the array or object ends here. Otherwise its next item begins here.
    fn close(&mut self, bracket: u8, any: bool) -> Result<bool, Stop> {
        if self.peek() == Some(bracket) {
            self.at += 1;
            return Ok(true);
        }
        if any {
            if self.peek() != Some(b',') {
                let close = char::from(bracket);
                return Err(self.unexpected(&format!("`,` or `{close}` after a value")));
            }
            let comma = self.at;
            self.at += 1;
            self.skip_space();
            if self.peek() == Some(bracket) {
                self.faults.add(comma, "nothing follows this comma", "remove it");
                return Err(Stop);
            }
        }
        Ok(false)
    }

    /// Compiles an item: its comma, its name if it is a member, and its value.
    fn item(
        &mut self,
        items: &mut Items,
        head: &Head<'t>,
        name: Option<&[Content<'t>]>,
        depth: usize,
    ) -> Result<(), Stop> {
        let optional = head.optional();
        let skip = optional.map(|slot| (slot, self.builder.step(Action::Nothing)));
        if items.certain {
            self.builder.literal(",");
        } else if items.any || (name.is_none() && self.state.any()) {
            self.builder.step(Action::Comma);
        }
        if let Some(name) = name {
            self.string(name);
            self.builder.literal(":");
        }
        self.value(head, depth)?;
        if let Some((slot, step)) = skip {
            let to = self.builder.boundary();
            self.builder.replace(step, Action::Skip { slot, to });
        }
        items.any = true;
        items.certain |= optional.is_none();
        self.skip_space();
        Ok(())
    }
}
