//! The leaves of a JSON text.

use super::super::mapping::{push_item, push_member};
use super::name::PathSegment;
use super::{Found, check, sample};
use crate::json::TextFault;
use crate::json::walk::{self, Begins, Cursor};
use std::collections::BTreeMap;

pub(super) fn leaves(bytes: &[u8]) -> Result<Vec<Found>, TextFault> {
    let text = walk::check(bytes)?;
    let mut listing = Listing::default();
    listing.value(&mut Cursor::new(text))?;
    Ok(listing.found.into_iter().flatten().collect())
}

/// The position of the walk, and the leaves so far. A later member removes the leaves of an earlier one of the same
/// name.
#[derive(Default)]
struct Listing {
    found: Vec<Option<Found>>,
    path: String,
    segments: Vec<PathSegment>,
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
            let path = if self.path.is_empty() { "$" } else { &self.path };
            let (path, segments) = (path.to_owned(), self.segments.clone());
            self.found.push(Some(Found { path, segments, sample: sample(value) }));
        }
        Ok(())
    }
}
