//! What must survive: incidents, outbox, history and node records, in one redb file.
//!
//! One transaction holds a state change, its outbox entries and its lines of history; nothing is
//! sent before it is durable. Records are JSON under stable words, so that a later version reads
//! what an earlier one wrote (docs/disk-format.md).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wk_alert::node::{NodeKey, NodeRecord};
use wk_alert::{AuditLine, Batch, IncidentId, Saved};

use record::{AuditRow, EntryRow, IncidentRow, NodeRow, SilenceRow};

mod record;

/// Version of the tables and records below.
const SCHEMA: u64 = 2;

/// Lines of history kept of an ensemble; the oldest go first.
const ENSEMBLE_LINES_MAX: usize = 10_000;

/// Pages kept in memory, at most.
const CACHE_BYTES: usize = 16 << 20;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// The number of the next line of history.
const AUDIT_NEXT: &str = "audit_next";
/// The same, as of the last line whose place in the order was written.
const AUDIT_ORDERED: &str = "audit_ordered";
const INCIDENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("incidents");
const EPISODES: TableDefinition<'_, &str, u64> = TableDefinition::new("episodes");
const OUTBOX: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("outbox");
/// History under incident and number: an incident's lines lie together and go with it.
const AUDIT: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("audit");
/// Whose history each number belongs to: all histories in the order of their writing.
const AUDIT_ORDER: TableDefinition<'_, u64, &str> = TableDefinition::new("audit_order");
const NODES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("nodes");
const SILENCES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("silences");
/// What parts of the monitor keep for themselves, each under its own name.
const KEPT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("kept");

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has it open.
    #[error("{}: in use by another watchkeeper", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It was written by a later version.
    #[error(
        "{}: written by a later version (schema {found}; this one knows {SCHEMA})",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u64,
    },
    /// A record in it makes no sense.
    #[error("{}: damaged record {key} in table {table}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The table.
        table: &'static str,
        /// The record's key.
        key: String,
    },
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: Box<redb::Error>,
    },
}

/// The records of one ensemble's nodes.
pub(crate) type Nodes = BTreeMap<NodeKey, NodeRecord>;

/// Changed node records of some ensembles; none is a deletion.
pub(crate) type NodeChanges = Vec<(String, NodeKey, Option<NodeRecord>)>;

/// What parts of the monitor keep for themselves, by name.
pub(crate) type Kept = BTreeMap<String, Vec<u8>>;

/// Lines of all histories with their numbers, the newest first, and the number to go on before.
pub(crate) type Audited = (Vec<(u64, AuditLine)>, Option<u64>);

/// The open store.
#[derive(Debug)]
pub(crate) struct Store {
    database: Database,
    path: PathBuf,
}

impl Store {
    /// Opens or creates the store.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = |source: redb::Error| StoreError::File {
            path: path.to_owned(),
            source: Box::new(source),
        };
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(path);
        let database = database.map_err(|err| {
            if matches!(err, redb::DatabaseError::DatabaseAlreadyOpen) {
                return StoreError::InUse { path: path.to_owned() };
            }
            file(err.into())
        })?;
        let store = Self { database, path: path.to_owned() };
        let found = store.prepare().map_err(file)?;
        if found > SCHEMA {
            return Err(StoreError::Newer { path: path.to_owned(), found });
        }
        Ok(store)
    }

    /// Makes sure that all tables are there; returns the schema's version.
    fn prepare(&self) -> Result<u64, redb::Error> {
        let txn = self.database.begin_write()?;
        let found = {
            let mut meta = txn.open_table(META)?;
            let found = meta.get("schema")?.map(|version| version.value());
            // Version 2 added tables and fields: what version 1 wrote is read as it is, but an
            // earlier program must not touch what this one writes.
            if found.is_none_or(|found| found < SCHEMA) {
                meta.insert("schema", SCHEMA)?;
            }
            found.unwrap_or(SCHEMA)
        };
        if found <= SCHEMA {
            txn.open_table(INCIDENTS)?;
            txn.open_table(EPISODES)?;
            txn.open_table(OUTBOX)?;
            order_audit(&txn)?;
            txn.open_table(NODES)?;
            txn.open_table(KEPT)?;
            txn.open_table(SILENCES)?;
        }
        txn.commit()?;
        Ok(found)
    }

    /// Reads what the ledger goes on from.
    pub(crate) fn load(&self) -> Result<Saved, StoreError> {
        let mut saved = Saved::default();
        for (key, row) in self.rows::<IncidentRow>("incidents", INCIDENTS)? {
            saved.incidents.push(row.restore(&key).ok_or_else(|| self.damaged("incidents", key))?);
        }
        for (key, row) in self.rows::<EntryRow>("outbox", OUTBOX)? {
            saved.entries.push(row.restore().ok_or_else(|| self.damaged("outbox", key))?);
        }
        for (key, row) in self.rows::<SilenceRow>("silences", SILENCES)? {
            saved.silences.push(row.restore().ok_or_else(|| self.damaged("silences", key))?);
        }
        let read = || -> Result<BTreeMap<_, _>, redb::Error> {
            let txn = self.database.begin_read()?;
            let table = txn.open_table(EPISODES)?;
            let mut episodes = BTreeMap::new();
            for row in table.iter()? {
                let (key, value) = row?;
                episodes.insert(wk_alert::Fingerprint(key.value().to_owned()), value.value());
            }
            Ok(episodes)
        };
        saved.episodes = read().map_err(|err| self.file(err))?;
        Ok(saved)
    }

    /// Reads the node records of all ensembles.
    pub(crate) fn load_nodes(&self) -> Result<BTreeMap<String, Nodes>, StoreError> {
        let mut all: BTreeMap<String, Nodes> = BTreeMap::new();
        for (key, row) in self.rows::<NodeRow>("nodes", NODES)? {
            let restored = row.restore().ok_or_else(|| self.damaged("nodes", key))?;
            let (ensemble, node, record) = restored;
            all.entry(ensemble).or_default().insert(node, record);
        }
        Ok(all)
    }

    /// Reads what parts of the monitor kept.
    pub(crate) fn load_kept(&self) -> Result<Kept, StoreError> {
        let read = || -> Result<Kept, redb::Error> {
            let table = self.database.begin_read()?.open_table(KEPT)?;
            let mut kept = Kept::new();
            for row in table.iter()? {
                let (key, value) = row?;
                kept.insert(key.value().to_owned(), value.value().to_vec());
            }
            Ok(kept)
        };
        read().map_err(|err| self.file(err))
    }

    /// The history of one incident, oldest first.
    pub(crate) fn history(&self, incident: &IncidentId) -> Result<Vec<AuditLine>, StoreError> {
        let read = || -> Result<Vec<Vec<u8>>, redb::Error> {
            let txn = self.database.begin_read()?;
            let table = txn.open_table(AUDIT)?;
            let mut rows = Vec::new();
            for row in table.range((incident.0.as_str(), 0)..=(incident.0.as_str(), u64::MAX))? {
                rows.push(row?.1.value().to_vec());
            }
            Ok(rows)
        };
        let rows = read().map_err(|err| self.file(err))?;
        let decode = |bytes: &Vec<u8>| serde_json::from_slice::<AuditRow>(bytes).ok()?.restore();
        Ok(rows.iter().filter_map(decode).collect())
    }

    /// The lines of all histories that were written before number `before`, newest first, with
    /// their numbers; and the number to go on before, if there are more.
    pub(crate) fn audit(&self, before: Option<u64>, limit: usize) -> Result<Audited, StoreError> {
        let read = || -> Result<_, redb::Error> {
            let txn = self.database.begin_read()?;
            let (order, audit) = (txn.open_table(AUDIT_ORDER)?, txn.open_table(AUDIT)?);
            let mut numbers = order.range(..before.unwrap_or(u64::MAX))?.rev();
            let (mut lines, mut last) = (Vec::new(), None);
            for row in numbers.by_ref().take(limit) {
                let (number, about) = row?;
                let number = number.value();
                last = Some(number);
                let Some(bytes) = audit.get((about.value(), number))? else { continue };
                // A line that this version cannot read is left out, as in a single history.
                let row = serde_json::from_slice::<AuditRow>(bytes.value()).ok();
                lines.extend(row.and_then(AuditRow::restore).map(|line| (number, line)));
            }
            Ok((lines, last.filter(|_| numbers.next().is_some())))
        };
        read().map_err(|err| self.file(err))
    }

    /// Writes a batch, the changed node records and what parts keep, in one durable transaction.
    pub(crate) fn commit(
        &self,
        batch: &Batch,
        nodes: &NodeChanges,
        kept: &Kept,
    ) -> Result<(), StoreError> {
        self.write(batch, nodes, kept).map_err(|err| self.file(err))
    }

    fn write(&self, batch: &Batch, nodes: &NodeChanges, kept: &Kept) -> Result<(), redb::Error> {
        let txn = self.database.begin_write()?;
        {
            let mut table = txn.open_table(INCIDENTS)?;
            for (id, incident) in &batch.incidents {
                let row = incident.as_ref().map(|incident| encode(&IncidentRow::from(incident)));
                put(&mut table, &id.0, row)?;
            }
        }
        {
            let mut table = txn.open_table(OUTBOX)?;
            for (key, entry) in &batch.entries {
                let name = format!("{}/{}/{}", key.incident, key.phase.as_str(), key.channel);
                put(&mut table, &name, entry.as_ref().map(|entry| encode(&EntryRow::from(entry))))?;
            }
        }
        {
            let mut table = txn.open_table(SILENCES)?;
            for (id, silence) in &batch.silences {
                let row = silence.as_ref().map(|silence| encode(&SilenceRow::from(silence)));
                put(&mut table, &id.0, row)?;
            }
        }
        {
            let mut table = txn.open_table(EPISODES)?;
            for (fingerprint, episode) in &batch.episodes {
                table.insert(fingerprint.0.as_str(), *episode)?;
            }
        }
        write_audit(&txn, batch)?;
        {
            let mut table = txn.open_table(NODES)?;
            for (ensemble, key, record) in nodes {
                let name = format!("{ensemble}{}", key.path());
                let row = |record| encode(&NodeRow::new(ensemble, key, record));
                put(&mut table, &name, record.as_ref().map(row))?;
            }
        }
        {
            let mut table = txn.open_table(KEPT)?;
            for (name, bytes) in kept {
                table.insert(name.as_str(), bytes.as_slice())?;
            }
        }
        txn.commit()?;
        Ok(())
    }

    fn rows<R: DeserializeOwned>(
        &self,
        name: &'static str,
        table: TableDefinition<'_, &'static str, &'static [u8]>,
    ) -> Result<Vec<(String, R)>, StoreError> {
        let read = || -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
            let txn = self.database.begin_read()?;
            let table = txn.open_table(table)?;
            let mut rows = Vec::new();
            for row in table.iter()? {
                let (key, value) = row?;
                rows.push((key.value().to_owned(), value.value().to_vec()));
            }
            Ok(rows)
        };
        let decode = |(key, bytes): (String, Vec<u8>)| match serde_json::from_slice(&bytes) {
            Ok(row) => Ok((key, row)),
            Err(_) => Err(self.damaged(name, key)),
        };
        read().map_err(|err| self.file(err))?.into_iter().map(decode).collect()
    }

    fn file(&self, source: redb::Error) -> StoreError {
        StoreError::File { path: self.path.clone(), source: Box::new(source) }
    }

    fn damaged(&self, table: &'static str, key: String) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), table, key }
    }
}

/// Makes the order of histories where an earlier program, which did not know of it, wrote last.
fn order_audit(txn: &WriteTransaction) -> Result<(), redb::Error> {
    let mut meta = txn.open_table(META)?;
    let audit = txn.open_table(AUDIT)?;
    let read = |name| -> Result<_, redb::Error> { Ok(meta.get(name)?.map(|n| n.value())) };
    // That one counts on as well; where it only took lines away, there are fewer.
    let next = read(AUDIT_NEXT)?.unwrap_or(0);
    let is_ours = read(AUDIT_ORDERED)? == Some(next);
    if is_ours && txn.open_table(AUDIT_ORDER)?.len()? == audit.len()? {
        return Ok(());
    }
    meta.insert(AUDIT_ORDERED, next)?;
    txn.delete_table(AUDIT_ORDER)?;
    let mut order = txn.open_table(AUDIT_ORDER)?;
    for row in audit.iter()? {
        let (key, _) = row?;
        let (about, number) = key.value();
        order.insert(number, about)?;
    }
    Ok(())
}

/// Adds the lines of a batch; those of what is not kept any more go.
fn write_audit(txn: &WriteTransaction, batch: &Batch) -> Result<(), redb::Error> {
    let mut meta = txn.open_table(META)?;
    let (mut table, mut order) = (txn.open_table(AUDIT)?, txn.open_table(AUDIT_ORDER)?);
    let mut next = meta.get(AUDIT_NEXT)?.map_or(0, |next| next.value());
    for line in &batch.audit {
        let row = encode(&AuditRow::from(line));
        table.insert((line.about.as_str(), next), row.as_slice())?;
        order.insert(next, line.about.as_str())?;
        next += 1;
    }
    meta.insert(AUDIT_NEXT, next)?;
    meta.insert(AUDIT_ORDERED, next)?;
    let incidents = batch.incidents.iter().filter(|(_, incident)| incident.is_none());
    let silences = batch.silences.iter().filter(|(_, silence)| silence.is_none());
    let gone = incidents.map(|(id, _)| &id.0).chain(silences.map(|(id, _)| &id.0));
    for id in gone {
        let mut numbers = Vec::new();
        table.retain_in((id.as_str(), 0)..=(id.as_str(), u64::MAX), |(_, number), _| {
            numbers.push(number);
            false
        })?;
        for number in numbers {
            order.remove(number)?;
        }
    }
    let about: BTreeSet<&str> = batch.audit.iter().map(|line| line.about.as_str()).collect();
    for ensemble in about.into_iter().filter(|about| about.starts_with(wk_alert::ABOUT_ENSEMBLE)) {
        for number in trim(&mut table, ensemble, ENSEMBLE_LINES_MAX)? {
            order.remove(number)?;
        }
    }
    Ok(())
}

/// Removes the oldest lines about something beyond the newest `max`; gives their numbers.
fn trim(
    table: &mut redb::Table<'_, (&'static str, u64), &'static [u8]>,
    about: &str,
    max: usize,
) -> Result<Vec<u64>, redb::Error> {
    let mut numbers = Vec::new();
    for row in table.range((about, 0)..=(about, u64::MAX))? {
        numbers.push(row?.0.value().1);
    }
    numbers.truncate(numbers.len().saturating_sub(max));
    for number in &numbers {
        table.remove((about, *number))?;
    }
    Ok(numbers)
}

fn encode(row: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(row).expect("rows hold strings and numbers only")
}

fn put(
    table: &mut redb::Table<'_, &'static str, &'static [u8]>,
    key: &str,
    row: Option<Vec<u8>>,
) -> Result<(), redb::Error> {
    match row {
        Some(row) => table.insert(key, row.as_slice())?,
        None => table.remove(key)?,
    };
    Ok(())
}

#[cfg(test)]
mod tests;
