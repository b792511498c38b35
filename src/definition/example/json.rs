//! The leaves of a JSON text, each with its path as the platform writes it: `data` is the text itself.

use super::super::mapping::{DATA, push_item, push_member};
use super::name::PathSegment;
use super::{Found, check, sample};
use crate::json::TextFault;
use crate::json::walk::{self, Begins, Cursor};
use std::collections::BTreeMap;

pub(super) fn leaves(bytes: &[u8]) -> Result<Vec<Found>, TextFault> {
    let text = walk::check(bytes)?;
    let mut listing = Listing { path: DATA.to_owned(), ..Listing::default() };
    listing.value(&mut Cursor::new(text))?;
    let mut found: Vec<Found> = listing.found.into_iter().flatten().collect();
    if listing.has_data {
        found.iter_mut().for_each(start_exactly);
    }
    Ok(found)
}

/// Writes the path of a text that has a member `data` of its own. There, `data` is this member.
fn start_exactly(found: &mut Found) {
    let rest = found.path.strip_prefix(DATA).unwrap_or_default();
    found.path = match found.segments.first() {
        Some(PathSegment::Name(name)) if name == DATA => rest.trim_start_matches('.').to_owned(),
        Some(PathSegment::Name(_) | PathSegment::Index(_)) | None => format!("${rest}"),
    };
}

/// The position of the walk, and the leaves so far. A later member removes the leaves of an earlier one of the same
/// name.
#[derive(Default)]
struct Listing {
    found: Vec<Option<Found>>,
    path: String,
    segments: Vec<PathSegment>,
    /// Whether the text is an object with a member `data`.
    has_data: bool,
}

impl Listing {
    /// Lists the value at the cursor. The cursor's limit of depth bounds the recursion.
    fn value(&mut self, cursor: &mut Cursor<'_>) -> Result<(), TextFault> {
        match cursor.begins() {
            Begins::Object => {
                let mut members = BTreeMap::new();
                cursor.object(|cursor, name| {
                    let Some(name) = walk::decode(name) else {
                        return Err(cursor.fault("a name with half a surrogate pair before this"));
                    };
                    self.has_data |= self.segments.is_empty() && name == DATA;
                    let start = self.found.len();
                    self.below(PathSegment::Name(name.clone().into_owned()), cursor)?;
                    if let Some(hidden) = members.insert(name, start..self.found.len()) {
                        self.found.get_mut(hidden).unwrap_or_default().fill_with(|| None);
                    }
                    Ok(())
                })
            }
            Begins::Array => {
                cursor.array(|cursor, index| self.below(PathSegment::Index(index), cursor))
            }
            Begins::Scalar => self.scalar(cursor),
        }
    }

    fn below(&mut self, segment: PathSegment, cursor: &mut Cursor<'_>) -> Result<(), TextFault> {
        let length = self.path.len();
        match &segment {
            PathSegment::Name(name) => push_member(&mut self.path, name),
            PathSegment::Index(index) => push_item(&mut self.path, *index),
        }
        self.segments.push(segment);
        self.value(cursor)?;
        self.segments.pop();
        self.path.truncate(length);
        Ok(())
    }

    fn scalar(&mut self, cursor: &mut Cursor<'_>) -> Result<(), TextFault> {
        let start = cursor.at();
        check(&self.path, self.found.len()).map_err(|problem| cursor.fault(problem))?;
        cursor.skip_value()?;
        let value = cursor.since(start);
        if value != "null" {
            let (path, segments) = (self.path.clone(), self.segments.clone());
            self.found.push(Some(Found { path, segments, sample: sample(value) }));
        }
        Ok(())
    }
}
