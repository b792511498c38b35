//! A simulated column family in memory, and its disk, which knows which writes are durable.

use super::{Entry, Scan};
use crate::store::{Disk as StoreDisk, StoreError};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Changes that are written together; `None`: the entry is deleted.
pub(crate) type Writes = Vec<(Box<[u8]>, Option<Box<[u8]>>)>;

type Map = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// The entries of a family.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    /// The entries that survive a crash.
    durable: Map,
    /// The writes since then, in this order.
    pending: Vec<Writes>,
    current: Map,
}

impl Content {
    /// Simulates that the process was killed: keeps the durable entries and the first `kept` writes since then.
    pub(crate) fn crash(&mut self, kept: usize) {
        self.pending.truncate(kept);
        self.current = self.durable.clone();
        for writes in &self.pending {
            apply(&mut self.current, writes.clone());
        }
        self.settle();
    }

    /// Returns the number of writes that are not durable.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.current.iter().map(|(key, value)| (&**key, &**value))
    }

    fn settle(&mut self) {
        self.pending.clear();
        self.durable.clone_from(&self.current);
    }
}

fn apply(map: &mut Map, writes: Writes) {
    for (key, value) in writes {
        match value {
            Some(value) => drop(map.insert(key, value)),
            None => drop(map.remove(&key)),
        }
    }
}

/// The families of one store; it outlives the process that uses it.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<BTreeMap<i32, Content>>>);

thread_local! {
    /// Called before each write. If it returns `true`, the write fails; if it panics, the process ends.
    static WATCH: RefCell<Option<std::rc::Rc<dyn Fn() -> bool>>> = const { RefCell::new(None) };
}

/// Sets the function that decides, before each write of this thread's families, whether the write fails.
pub(crate) fn watch(watch: Option<std::rc::Rc<dyn Fn() -> bool>>) {
    WATCH.with(|slot| *slot.borrow_mut() = watch);
}

fn ask() -> Result<(), StoreError> {
    let watch = WATCH.with(|slot| slot.borrow().clone());
    if watch.is_some_and(|watch| watch()) {
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        return Err(StoreError::Scratch { directory: "memory".into(), source });
    }
    Ok(())
}

impl Disk {
    pub(crate) fn contents(&self) -> MutexGuard<'_, BTreeMap<i32, Content>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoreDisk for Disk {
    type Family = Family;

    fn family(&self, number: i32) -> Result<Family, StoreError> {
        self.contents().entry(number).or_default();
        Ok(Family { disk: self.clone(), number })
    }

    fn directory(&self) -> Option<&Path> {
        None
    }
}

/// One family of a disk.
#[derive(Clone)]
pub(crate) struct Family {
    disk: Disk,
    number: i32,
}

impl Family {
    fn with<T>(&self, act: impl FnOnce(&mut Content) -> T) -> T {
        act(self.disk.contents().entry(self.number).or_default())
    }
}

impl super::Family for Family {
    type Writes = Writes;

    fn writes(&self, _: usize) -> Writes {
        Writes::new()
    }

    fn bytes_of(writes: &Writes) -> usize {
        writes.iter().map(|(key, _)| key.len()).sum()
    }

    fn put(&self, writes: &mut Writes, key: &[u8], value: &[u8]) {
        writes.push((key.into(), Some(value.into())));
    }

    fn delete(&self, writes: &mut Writes, key: &[u8]) {
        writes.push((key.into(), None));
    }

    fn write(&self, writes: &mut Writes) -> Result<(), StoreError> {
        let writes = std::mem::take(writes);
        ask()?;
        self.with(|content| {
            apply(&mut content.current, writes.clone());
            content.pending.push(writes);
        });
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.with(|content| content.current.get(key).map(|value| value.to_vec())))
    }

    fn scan(
        &self,
        _: Scan,
        lower: Vec<u8>,
        upper: Vec<u8>,
    ) -> impl Iterator<Item = Result<Entry, StoreError>> {
        let range = lower.into_boxed_slice()..upper.into_boxed_slice();
        let entries = self.with(|content| {
            let entries = content.current.range(range);
            entries.map(|(key, value)| (key.clone(), value.clone())).collect::<Vec<_>>()
        });
        entries.into_iter().map(Ok)
    }

    fn clear(&self) -> Result<(), StoreError> {
        ask()?;
        self.with(|content| *content = Content::default());
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        ask()?;
        self.with(Content::settle);
        Ok(())
    }

    fn ingest<'a>(
        &self,
        entries: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), StoreError> {
        let mut writes: Writes =
            entries.map(|(key, value)| (key.into(), value.map(Box::from))).collect();
        if writes.is_empty() {
            return Ok(());
        }
        // RocksDB also flushes entries that overlap with the file before it ingests the file.
        self.write(&mut writes)?;
        self.flush()
    }

    fn bytes(&self) -> u64 {
        0
    }
}
