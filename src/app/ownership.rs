//! Checks before the daemon joins its group that the rows in changelog and store belong to it.

use super::AppError;
use crate::clock;
use crate::codec::row::{self, Meta, Owner, TopicId};
use crate::config::Settings;
use crate::engine::{Holder, Mismatch, Permissions};
use crate::log::{self, Begin, Cluster, Identity, LogError, Newest, Scanner};
use crate::store::{RowKey, Store, StoreError, StoreView, Why, set_aside};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// The operator's options for one start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct StartOptions {
    /// Whether to take over the changelog of another group if that group has no members.
    pub adopt: bool,
    /// Whether to continue if rows are missing. The store is then moved aside.
    pub accept_loss: bool,
    /// Where to begin in an input that was deleted and created again.
    pub begin: Begin,
}

/// The state of one partition in the store.
#[derive(Clone, Debug)]
pub struct StoredPartition {
    pub number: i32,
    /// The changelog offset up to which the store contains all records, exclusive.
    pub checkpoint: i64,
    /// The partition's meta row.
    pub meta: Option<Meta>,
}

/// The changelog and its identity in Kafka.
struct Seen {
    identity: Identity,
    /// The changelog's partitions. Empty if it does not exist.
    changelog: Vec<Newest>,
}

/// Returns the reasons why a daemon with these settings must not use the rows in changelog and store.
///
/// # Errors
/// Kafka does not answer or refuses a request.
pub async fn inspect(
    settings: &Settings,
    stored: Vec<StoredPartition>,
) -> Result<Vec<Mismatch>, LogError> {
    let seen = look(settings).await?;
    let permissions =
        Permissions { superseded: superseded(&metas(&seen)), ..Permissions::default() };
    Ok(mismatches(settings, &seen, &stored, &permissions))
}

/// Reads the partitions of the store on disk. A daemon may run meanwhile.
///
/// # Errors
/// The store can't be read.
pub fn stored_partitions(settings: &Settings) -> Result<Vec<StoredPartition>, StoreError> {
    let Some(view) = StoreView::open(&settings.store.directory)? else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for number in view.partitions().iter().copied() {
        let (checkpoint, meta) = view.head(number)?;
        let unreadable = |error| StoreError::unreadable(number, "the meta row", &error);
        let meta = meta.map(|bytes| row::decode_meta(&bytes).map_err(unreadable)).transpose()?;
        all.push(StoredPartition { number, checkpoint: checkpoint.next_offset, meta });
    }
    Ok(all)
}

/// Checks the rows and returns what this start may do with them. With `--accept-loss`, moves a store that does not fit
/// aside.
pub(super) async fn permit(
    settings: &Settings,
    start: &StartOptions,
    store: &mut Option<Store>,
) -> Result<Permissions, AppError> {
    let seen = look(settings).await.map_err(AppError::Kafka)?;
    let metas = metas(&seen);
    let owners = || metas.values().filter_map(|meta| meta.owner.as_ref());
    let mut permissions = Permissions {
        accepts_loss: start.accept_loss,
        begin: start.begin,
        superseded: superseded(&metas),
        adopted: BTreeSet::new(),
    };
    if start.adopt {
        let others = owners().map(|owner| owner.group.clone());
        let ours = settings.kafka.group_id.as_str();
        permissions.adopted = others.filter(|group| **group != *ours).collect();
        unused(settings, &permissions.adopted).await?;
    }
    let stored = store.as_ref().map_or_else(|| Ok(Vec::new()), stored)?;
    let found = mismatches(settings, &seen, &stored, &permissions);
    if found.is_empty() {
        if stored.iter().any(|partition| is_repartitioned(partition, &seen, &permissions)) {
            let says = "a repartition has replaced the changelog of the store";
            tracing::info!("{says} by topic {}", settings.topics.changelog);
            move_aside(settings, store, says)?;
        }
        return Ok(permissions);
    }
    if !start.accept_loss || found.iter().any(|mismatch| !is_acceptable(mismatch)) {
        return Err(AppError::Mismatch(found));
    }
    for mismatch in &found {
        tracing::warn!("--accept-loss: {mismatch}");
    }
    let says = found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    move_aside(settings, store, &says)?;
    Ok(permissions)
}

/// Moves the store aside for the reason `says`, and opens an empty one.
fn move_aside(settings: &Settings, store: &mut Option<Store>, says: &str) -> Result<(), AppError> {
    let directory = &settings.store.directory;
    // The store must be closed before it is moved.
    drop(store.take());
    let aside = set_aside(directory, Why::Replaced, says, clock::now())?;
    tracing::warn!(
        store = %directory.display(),
        aside = %aside.copy.display(),
        "the store was moved aside; its rows are restored from the changelog"
    );
    *store = Some(Store::open(directory)?);
    Ok(())
}

/// Returns the changelogs that this one replaces.
fn superseded(metas: &BTreeMap<i32, Meta>) -> BTreeSet<TopicId> {
    let owners = metas.values().filter_map(|meta| meta.owner.as_ref());
    owners.flat_map(Owner::outdated).cloned().collect()
}

/// Returns whether the store's partition belongs to a changelog with another number of partitions, which this one
/// replaces. Then no partition of the store is of use.
fn is_repartitioned(stored: &StoredPartition, seen: &Seen, permissions: &Permissions) -> bool {
    let owner = stored.meta.as_ref().and_then(|meta| meta.owner.as_ref());
    owner.is_some_and(|owner| {
        usize::try_from(owner.partitions) != Ok(seen.changelog.len())
            && owner.changelog.as_ref().is_some_and(|id| permissions.superseded.contains(id))
    })
}

/// Returns whether moving the store aside resolves the mismatch.
fn is_acceptable(mismatch: &Mismatch) -> bool {
    match mismatch {
        Mismatch::Foreign { holder: Holder::Store, .. }
        | Mismatch::Range { .. }
        | Mismatch::Empty { .. }
        | Mismatch::Missing { .. } => true,
        Mismatch::Foreign { holder: Holder::Changelog, .. }
        | Mismatch::Rebuilding { .. }
        | Mismatch::Copying { .. }
        | Mismatch::Replaced { .. } => false,
    }
}

async fn unused(settings: &Settings, groups: &BTreeSet<Arc<str>>) -> Result<(), AppError> {
    for group in groups {
        let (kafka, name) = (settings.kafka.clone(), group.clone());
        let members = log::blocking(move || Cluster::new(&kafka)?.members(&name, TIMEOUT)).await;
        match members.map_err(AppError::Kafka)? {
            0 => tracing::warn!(
                group = group.as_ref(),
                "--adopt: the group's changelog is taken over"
            ),
            members => return Err(AppError::InUse { group: group.clone(), members }),
        }
    }
    Ok(())
}

async fn look(settings: &Settings) -> Result<Seen, LogError> {
    let (kafka, topics) = (settings.kafka.clone(), settings.topics.clone());
    log::blocking(move || {
        let identity = Cluster::new(&kafka)?.identity(&topics.identified(), TIMEOUT)?;
        let scanner = Scanner::new(&kafka)?;
        let changelog = match identity.topics.contains_key(topics.changelog.as_str()) {
            true => scanner.newest(&topics.changelog, RowKey::META)?,
            false => Vec::new(),
        };
        Ok(Seen { identity, changelog })
    })
    .await
}

/// Reads the state of each partition in the store.
fn stored(store: &Store) -> Result<Vec<StoredPartition>, StoreError> {
    let mut all = Vec::new();
    for number in store.partitions() {
        let partition = store.partition(number)?;
        let checkpoint = partition.checkpoint()?.next_offset;
        let unreadable = |error| StoreError::unreadable(number, "the meta row", &error);
        let meta = partition.meta()?;
        let meta = meta.map(|bytes| row::decode_meta(&bytes).map_err(unreadable)).transpose()?;
        all.push(StoredPartition { number, checkpoint, meta });
    }
    Ok(all)
}

/// Returns the changelog's meta rows. Rows that can't be decoded are skipped here; the restore reports them.
fn metas(seen: &Seen) -> BTreeMap<i32, Meta> {
    let meta = |newest: &Newest| {
        let meta = row::decode_meta(newest.value.as_ref()?).ok()?;
        Some((newest.partition, meta))
    };
    seen.changelog.iter().filter_map(meta).collect()
}

fn mismatches(
    settings: &Settings,
    seen: &Seen,
    stored: &[StoredPartition],
    permissions: &Permissions,
) -> Vec<Mismatch> {
    let topic = settings.topics.changelog.as_str();
    let held = stored.iter().filter(|partition| partition.checkpoint > 0);
    if seen.changelog.is_empty() {
        let held = held.max_by_key(|partition| partition.checkpoint);
        let missing = held.map(|held| Mismatch::Missing {
            partition: held.number,
            checkpoint: held.checkpoint,
            topic: topic.to_owned(),
        });
        return missing.into_iter().collect();
    }
    let ours = Owner {
        cluster: seen.identity.cluster.clone(),
        group: settings.kafka.group_id.as_str().into(),
        changelog: seen.identity.topic(topic).cloned(),
        partitions: u32::try_from(seen.changelog.len()).unwrap_or(u32::MAX),
        ..Owner::default()
    };
    let find = |at, owner: &Owner| Mismatch::find(at, owner, &ours, permissions, topic);
    let metas = metas(seen);
    let of_changelog = metas
        .iter()
        .filter_map(|(number, meta)| find((Holder::Changelog, *number), meta.owner.as_ref()?));
    let mut found: Vec<Mismatch> = of_changelog.collect();
    // A store of the former number of partitions is moved aside.
    let is_moved = stored.iter().any(|partition| is_repartitioned(partition, seen, permissions));
    for StoredPartition { number, checkpoint, meta } in held.filter(|_| !is_moved) {
        let owner = meta.as_ref().and_then(|meta| meta.owner.as_ref());
        let rows = metas.get(number).and_then(|meta| meta.owner.as_ref());
        let is_superseded = owner.map_or(Ok(false), |owner| {
            Mismatch::find_stored(*number, owner, rows, &ours, permissions, topic)
        });
        let is_superseded = match is_superseded {
            Ok(is_superseded) => is_superseded,
            Err(mismatch) => {
                found.push(mismatch);
                continue;
            }
        };
        let ends = usize::try_from(*number).ok().and_then(|index| seen.changelog.get(index));
        if let Some(Newest { first, end, .. }) = ends
            && !is_superseded
            && !(*first..=*end).contains(checkpoint)
        {
            let (partition, checkpoint, low, high) = (*number, *checkpoint, *first, *end);
            let topic = topic.to_owned();
            found.push(Mismatch::Range { partition, checkpoint, low, high, topic });
        }
    }
    // Reports a kind of mismatch for one partition only, because the advice is the same for all.
    found.dedup_by_key(|mismatch| mismatch.kind());
    found
}
