//! Walks the markup of an XML text. Text that is not well-formed may stop the walk or pass it: another parser checks
//! that.

use super::check::BYTE_ORDER_MARK;
use super::{Compiler, Stretch};
use crate::definition::template::DEPTH_MAX;
use std::collections::BTreeSet;

/// The most attributes in one tag. More are refused.
const ATTRIBUTES_MAX: usize = 256;

/// The most namespace declarations in a text. More are refused.
const NAMESPACES_MAX: usize = 256;

/// The end of a walk.
pub(super) enum End {
    Whole,
    /// Markup at this byte can't be read.
    IllFormed(usize),
    /// The text exceeds a limit, and the fault is reported. No other parser should get the text.
    Limit,
}

/// An attribute, with the byte offsets of its parts.
struct Attribute<'t> {
    name: &'t str,
    name_start: usize,
    /// The beginning of the white space before the attribute.
    start: usize,
    value: usize,
    value_end: usize,
}

impl Attribute<'_> {
    /// Returns whether the attribute declares a namespace.
    fn declares(&self) -> bool {
        self.name == "xmlns" || self.name.starts_with("xmlns:")
    }
}

impl<'t> Compiler<'_, 't, '_> {
    /// Compiles the whole text.
    pub(super) fn document(&mut self) -> End {
        loop {
            let text_end = self.find("<", self.at).unwrap_or(self.text.len());
            let inside = !self.state.open.is_empty();
            let outside = Stretch::Fixed("text outside of the root element");
            self.copy(text_end, if inside { Stretch::Text } else { outside });
            let rest = self.rest();
            let markup = if rest.is_empty() {
                return End::Whole;
            } else if rest.starts_with("<!--") {
                self.fixed("-->", 4, "a comment")
            } else if rest.starts_with("<![CDATA[") {
                self.cdata()
            } else if rest.starts_with("<!") {
                let fix = "remove it; spell entities out as characters";
                self.faults.add(self.at, "a document type is not allowed", fix);
                return End::IllFormed(self.at);
            } else if rest.starts_with("<?") {
                self.instruction();
                self.fixed("?>", 2, "a processing instruction or declaration")
            } else if rest.starts_with("</") {
                self.end_tag()
            } else {
                self.start_tag()
            };
            match markup {
                Some(End::Whole) => {}
                Some(end) => return end,
                None => return End::IllFormed(self.at),
            }
        }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn find(&self, what: &str, from: usize) -> Option<usize> {
        self.text.get(from..)?.find(what).map(|at| from + at)
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// Moves behind markup that ends with `end` and may contain no variables.
    fn fixed(&mut self, end: &str, open: usize, place: &'static str) -> Option<End> {
        let to = self.find(end, self.at + open)? + end.len();
        self.copy(to, Stretch::Fixed(place));
        Some(End::Whole)
    }

    /// Checks the target of the processing instruction that begins here. The other parser does not check it.
    fn instruction(&mut self) {
        let rest = self.text.get(self.at + 2..).unwrap_or_default();
        let end =
            rest.find([' ', '\t', '\r', '\n', '?', '"', '\'', '=', '<', '>']).unwrap_or(rest.len());
        let (target, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let before = self.text.get(..self.at).unwrap_or_default();
        if target.eq_ignore_ascii_case("xml")
            && !before.trim_start_matches(BYTE_ORDER_MARK).is_empty()
        {
            let fix = "move it to the very beginning, or remove it";
            self.faults.add(self.at, "an XML declaration is allowed only at the beginning", fix);
        }
        if !after.starts_with([' ', '\t', '\r', '\n']) && !after.starts_with("?>") {
            let fix = "put a space after its name";
            self.faults.add(self.at, "this processing instruction cannot be read", fix);
        }
    }

    fn cdata(&mut self) -> Option<End> {
        let open = self.at + "<![CDATA[".len();
        let close = self.find("]]>", open)?;
        self.copy(open, Stretch::Cdata);
        self.copy(close, Stretch::Cdata);
        self.builder.literal("]]>");
        self.at = close + 3;
        Some(End::Whole)
    }

    fn end_tag(&mut self) -> Option<End> {
        let end = self.find(">", self.at)? + 1;
        self.copy(end, Stretch::Fixed("the name of an element"));
        if let Some(skip) = self.state.open.pop()? {
            self.land(skip);
        }
        Some(End::Whole)
    }

    fn start_tag(&mut self) -> Option<End> {
        let start = self.at;
        let name_end = self.name_end(start + 1);
        let (attributes, end) = self.attributes(name_end)?;
        let is_empty = self.byte(end - 2) == Some(b'/');
        if attributes.len() > ATTRIBUTES_MAX {
            let problem = format!("this element has more than {ATTRIBUTES_MAX} attributes");
            self.faults.add(start, problem, "use elements instead");
            return Some(End::Limit);
        }
        self.state.namespaces += attributes.iter().filter(|attribute| attribute.declares()).count();
        if self.state.namespaces > NAMESPACES_MAX {
            let problem =
                format!("there are more than {NAMESPACES_MAX} declarations of namespaces");
            self.faults.add(start, problem, "declare each namespace once, at the root");
            return Some(End::Limit);
        }
        if self.state.open.len() == DEPTH_MAX {
            let problem = format!("this is nested deeper than {DEPTH_MAX} levels");
            self.faults.add(start, problem, "make the body flatter");
            return Some(End::Limit);
        }
        let optional = if is_empty || !self.state.root { None } else { self.whole_content(end) };
        self.state.root = true;
        let skip = optional.map(|slot| self.skip(slot));
        self.copy(name_end, Stretch::Fixed("the name of an element"));
        let mut names = BTreeSet::new();
        for attribute in &attributes {
            if !names.insert(attribute.name) {
                let problem = "this element has the attribute twice";
                self.faults.add(attribute.name_start, problem, "remove one of them");
            }
            self.attribute(attribute);
        }
        self.copy(end, Stretch::Fixed("a tag outside of its attributes' values"));
        if is_empty {
            return Some(End::Whole);
        }
        self.state.open.push(skip);
        Some(End::Whole)
    }

    fn attribute(&mut self, attribute: &Attribute<'t>) {
        let declares = attribute.declares();
        if attribute.name.starts_with("xmlns:") && attribute.value == attribute.value_end {
            let problem = "a prefix is declared without a namespace";
            self.faults.add(attribute.value, problem, "name the namespace, or remove this");
        }
        let optional = self.optional_at(attribute.value);
        let whole = optional.filter(|(_, end)| *end == attribute.value_end);
        self.copy(attribute.start, Stretch::Fixed("a tag outside of its attributes' values"));
        let skip = whole.map(|(slot, _)| self.skip(slot));
        self.copy(attribute.value, Stretch::Fixed("the name of an attribute"));
        let value = Stretch::Attribute;
        let namespace = Stretch::Fixed("the declaration of a namespace");
        self.copy(attribute.value_end, if declares { namespace } else { value });
        self.copy(attribute.value_end + 1, Stretch::Fixed("a tag"));
        if let Some(skip) = skip {
            self.land(skip);
        }
    }

    /// Returns the slot of an optional variable that is the whole content of an element. The content begins at the byte
    /// `from`.
    fn whole_content(&mut self, from: usize) -> Option<u32> {
        let content = self.text.get(from..)?;
        let (open, close) =
            if content.starts_with("<![CDATA[") { ("<![CDATA[", "]]>") } else { ("", "") };
        let (slot, end) = self.optional_at(from + open.len())?;
        let rest = self.text.get(end..)?.strip_prefix(close)?;
        rest.starts_with("</").then_some(slot)
    }

    /// Returns the attributes from the byte `from` on, and the end of their tag.
    fn attributes(&self, from: usize) -> Option<(Vec<Attribute<'t>>, usize)> {
        let mut attributes = Vec::new();
        let mut start = from;
        loop {
            let name_start = self.skip_space(start);
            match self.byte(name_start)? {
                b'>' => return Some((attributes, name_start + 1)),
                b'/' if self.byte(name_start + 1) == Some(b'>') => {
                    return Some((attributes, name_start + 2));
                }
                _ => {}
            }
            let name_end = self.name_end(name_start);
            let equals = self.skip_space(name_end);
            if name_end == name_start || self.byte(equals)? != b'=' {
                return None;
            }
            let quote = self.skip_space(equals + 1);
            let quote_text = match self.byte(quote)? {
                b'"' => "\"",
                b'\'' => "'",
                _ => return None,
            };
            let value_end = self.find(quote_text, quote + 1)?;
            let name = self.text.get(name_start..name_end)?;
            attributes.push(Attribute { name, name_start, start, value: quote + 1, value_end });
            start = value_end + 1;
        }
    }

    fn name_end(&self, from: usize) -> usize {
        let rest = self.text.as_bytes().get(from..).unwrap_or_default();
        let ends = |byte: &u8| {
            matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'=' | b'>' | b'/' | b'<' | b'"' | b'\'')
        };
        from + rest.iter().position(ends).unwrap_or(rest.len())
    }

    fn skip_space(&self, from: usize) -> usize {
        let rest = self.text.as_bytes().get(from..).unwrap_or_default();
        let space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        from + rest.iter().take_while(space).count()
    }
}
