//! The schemas of the registry that the decoder keeps.

use super::framing::{RegisteredSchema, SchemaId};
use crate::codec::avro::{Readers, SchemaError};
use std::collections::HashMap;
use std::sync::Arc;

/// The largest number of ids that are kept as unknown to the registry. It bounds the memory if records contain random
/// ids.
const REJECTED_MAX: usize = 10_000;

/// The largest number of schemas that are kept. A schema that was removed is requested again.
const SCHEMAS_MAX: usize = 1000;

/// The decoder's knowledge of a schema id.
#[derive(Clone)]
pub(super) enum Schema {
    Avro(Arc<Readers>),
    Json,
    Protobuf,
    /// The registry does not know the id, or the schema can't be used.
    Rejected,
}

/// A schema, and the number of its last use.
struct Kept {
    schema: Schema,
    used: u64,
}

/// Keeps schemas. The schema that was not used for the longest time is removed first. So the schemas that one record
/// needs stay until all of them are there.
#[derive(Default)]
pub(super) struct KnownSchemas {
    schemas: HashMap<SchemaId, Kept>,
    /// The number of rejected ids among them.
    rejected: usize,
    /// The number of uses so far.
    uses: u64,
}

impl KnownSchemas {
    /// Returns whether the id is known, be it as rejected.
    pub(super) fn holds(&self, id: SchemaId) -> bool {
        self.schemas.contains_key(&id)
    }

    /// Returns the schema, and notes its use.
    pub(super) fn get(&mut self, id: SchemaId) -> Option<Schema> {
        self.uses += 1;
        let kept = self.schemas.get_mut(&id)?;
        kept.used = self.uses;
        Some(kept.schema.clone())
    }

    /// Adds a schema as the registry has it.
    ///
    /// # Errors
    /// Records of the schema can't be read.
    pub(super) fn add(
        &mut self,
        id: SchemaId,
        schema: &RegisteredSchema,
    ) -> Result<(), SchemaError> {
        let schema = match schema {
            RegisteredSchema::Avro { text, references } => {
                Schema::Avro(Arc::new(Readers::new(text, references)?))
            }
            RegisteredSchema::Json => Schema::Json,
            RegisteredSchema::Protobuf => Schema::Protobuf,
        };
        self.forget(id);
        if self.schemas.len() - self.rejected >= SCHEMAS_MAX {
            let usable =
                self.schemas.iter().filter(|(_, kept)| !matches!(kept.schema, Schema::Rejected));
            if let Some(id) = usable.min_by_key(|(_, kept)| kept.used).map(|(id, _)| *id) {
                self.schemas.remove(&id);
            }
        }
        self.insert(id, schema);
        Ok(())
    }

    /// Marks an id that the registry does not know, or whose schema can't be used.
    pub(super) fn reject(&mut self, id: SchemaId) {
        self.forget(id);
        if self.rejected >= REJECTED_MAX {
            self.schemas.retain(|_, kept| !matches!(kept.schema, Schema::Rejected));
            self.rejected = 0;
        }
        self.insert(id, Schema::Rejected);
        self.rejected += 1;
    }

    fn insert(&mut self, id: SchemaId, schema: Schema) {
        self.uses += 1;
        self.schemas.insert(id, Kept { schema, used: self.uses });
    }

    pub(super) fn forget(&mut self, id: SchemaId) {
        let forgotten = self.schemas.remove(&id);
        if forgotten.is_some_and(|kept| matches!(kept.schema, Schema::Rejected)) {
            self.rejected -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{KnownSchemas, REJECTED_MAX, RegisteredSchema, SCHEMAS_MAX, SchemaId};

    fn ids(count: usize) -> impl Iterator<Item = SchemaId> {
        (0..u32::try_from(count).unwrap()).map(SchemaId::Id)
    }

    #[test]
    fn the_schema_that_was_not_used_for_the_longest_time_is_removed_first() {
        let mut known = KnownSchemas::default();
        for id in ids(SCHEMAS_MAX) {
            known.add(id, &RegisteredSchema::Json).unwrap();
        }
        let first = SchemaId::Id(0);
        // A record needs this schema, and then one after another that is not known yet.
        for id in ids(3 * SCHEMAS_MAX).skip(SCHEMAS_MAX) {
            assert!(known.get(first).is_some(), "{id} has removed it");
            known.add(id, &RegisteredSchema::Json).unwrap();
            assert!(known.holds(id));
            assert_eq!(known.schemas.len(), SCHEMAS_MAX);
        }
        assert!(!known.holds(SchemaId::Id(1)));
        // An id that is known removes no other.
        known.add(first, &RegisteredSchema::Protobuf).unwrap();
        assert_eq!(known.schemas.len(), SCHEMAS_MAX);
    }

    #[test]
    fn rejected_ids_are_bounded_and_remove_no_schema() {
        let mut known = KnownSchemas::default();
        let usable = SchemaId::Global(1);
        known.add(usable, &RegisteredSchema::Json).unwrap();
        for id in ids(3 * REJECTED_MAX) {
            known.reject(id);
            known.reject(id);
            assert!(known.rejected <= REJECTED_MAX && known.schemas.len() <= REJECTED_MAX + 1);
        }
        assert!(known.holds(usable));
        let before = known.rejected;
        for id in ids(3 * REJECTED_MAX) {
            known.forget(id);
        }
        assert_eq!((before > 0, known.rejected, known.schemas.len()), (true, 0, 1));
    }
}
