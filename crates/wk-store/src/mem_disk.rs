//! A disk in memory for tests, with the unpleasant habits of real ones.
//!
//! It keeps what the program sees apart from what would survive a loss of power: bytes become
//! durable by [`DiskFile::sync_data`], names by [`Disk::sync_dir`]. [`MemDisk::crash`] keeps a
//! random part of the rest, sector by sector. A failed sync forgets which bytes are dirty, as
//! Linux does: a later sync of the same file succeeds without having written them.
//! The simulator has a disk of its own; this one serves the tests of this crate and of drivers.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{DirEntry, Disk, DiskFile};

/// What a disk writes as one: a crash keeps all of a sector's new bytes or none.
const SECTOR: u64 = 512;

/// What goes wrong at an operation that changes the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails; a write leaves half of its bytes behind.
    Fail(FaultKind),
    /// Power goes: this operation and all after it fail and do nothing, until [`MemDisk::crash`].
    PowerLoss,
}

/// The error that a failing operation gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The file system is full.
    NoSpace,
    /// The device failed.
    Io,
}

impl FaultKind {
    fn error(self) -> io::Error {
        let errno = match self {
            Self::NoSpace => rustix::io::Errno::NOSPC,
            Self::Io => rustix::io::Errno::IO,
        };
        errno.into()
    }
}

/// A directory in memory; clones are the same directory.
#[derive(Clone, Default)]
pub struct MemDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// Changes of names that no sync has made durable yet, in order.
    pending_names: Vec<NameChange>,
    /// Every file that ever was; removed ones stay readable through open handles.
    files: BTreeMap<u64, Contents>,
    next_id: u64,
    /// Operations so far that change the disk.
    ops: u64,
    faults: BTreeMap<u64, Fault>,
    /// Bytes that all files together may have; `None` is no limit.
    capacity: Option<u64>,
    off: bool,
    /// The last operation was the one at which power went.
    fell: bool,
}

/// Of a file, not of whatever has the name by then: a crash may keep a change and lose another
/// before it.
#[derive(Clone)]
enum NameChange {
    Set(String, u64),
    Remove(String, u64),
    Rename(String, String, u64),
}

#[derive(Default)]
struct Contents {
    seen: Vec<u8>,
    durable: Vec<u8>,
    dirty: Vec<Change>,
}

enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

impl MemDisk {
    /// An empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many operations have changed the disk so far.
    pub fn ops(&self) -> u64 {
        self.state().ops
    }

    /// Lets the changing operation number `op` (counted from 0 over the disk's life) go wrong.
    pub fn fault_at(&self, op: u64, fault: Fault) {
        self.state().faults.insert(op, fault);
    }

    /// Takes planned faults back.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// Limits what all files together may take.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Has a planned [`Fault::PowerLoss`] happened?
    pub fn is_off(&self) -> bool {
        self.state().off
    }

    /// What power loss and a restart leave: everything synced, and of the rest what `seed` picks.
    pub fn crash(&self, seed: u64) {
        let mut rng = Rng(seed | 1);
        let mut s = self.state();
        let mut names = s.durable_names.clone();
        let pending = std::mem::take(&mut s.pending_names);
        // A journal keeps the first changes of a directory; other file systems keep any of them.
        let in_order = rng.below(2) == 0;
        let first = rng.below(pending.len() as u64 + 1);
        for (change, n) in pending.into_iter().zip(0..) {
            if if in_order { n < first } else { rng.below(2) == 0 } {
                change.apply(&mut names);
            }
        }
        s.durable_names.clone_from(&names);
        s.names = names;
        for file in s.files.values_mut() {
            file.crash(&mut rng);
        }
        let live: Vec<u64> = s.names.values().copied().collect();
        s.files.retain(|id, _| live.contains(id));
        s.faults.clear();
        s.off = false;
    }

    /// What the end of the process alone leaves: everything it wrote, durable or not.
    pub fn process_death(&self) {
        let mut s = self.state();
        s.faults.clear();
        s.off = false;
    }

    /// Flips a bit of a file, on the device and for those who read it.
    pub fn flip(&self, name: &str, at: usize, bit: u8) {
        let mut s = self.state();
        let Some(id) = s.names.get(name).copied() else { return };
        let Some(contents) = s.files.get_mut(&id) else { return };
        for bytes in [&mut contents.seen, &mut contents.durable] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// A file's bytes as a program sees them.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let s = self.state();
        s.files.get(s.names.get(name)?).map(|f| f.seen.clone())
    }

    /// Puts a file there, durable at once.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut s = self.state();
        let id = s.next_id;
        s.next_id += 1;
        let contents = Contents { seen: bytes.into(), durable: bytes.into(), dirty: Vec::new() };
        s.files.insert(id, contents);
        s.names.insert(name.into(), id);
        s.durable_names.insert(name.into(), id);
    }

    /// Names of all files, in order.
    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }
}

impl NameChange {
    fn apply(self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Set(name, id) => {
                names.insert(name, id);
            }
            Self::Remove(name, id) => {
                if names.get(&name) == Some(&id) {
                    names.remove(&name);
                }
            }
            Self::Rename(from, to, id) => {
                if names.get(&from) == Some(&id) {
                    names.remove(&from);
                }
                names.insert(to, id);
            }
        }
    }
}

impl State {
    /// Counts an operation; `Err` when it fails, and for `Ok(Some(_))` it fails half way.
    fn begin(&mut self) -> io::Result<Option<FaultKind>> {
        self.fell = false;
        if self.off {
            return Err(io::Error::other("power is off"));
        }
        let op = self.ops;
        self.ops += 1;
        match self.faults.get(&op) {
            None => Ok(None),
            Some(Fault::Fail(kind)) => Ok(Some(*kind)),
            Some(Fault::PowerLoss) => {
                (self.off, self.fell) = (true, true);
                Err(io::Error::other("power is off"))
            }
        }
    }

    /// As [`State::begin`] for operations that fail whole.
    fn begin_whole(&mut self) -> io::Result<()> {
        self.begin()?.map_or(Ok(()), |kind| Err(kind.error()))
    }

    fn change_names(&mut self, change: NameChange) {
        change.clone().apply(&mut self.names);
        self.pending_names.push(change);
    }

    fn used(&self) -> u64 {
        self.names.values().filter_map(|id| self.files.get(id)).map(|f| f.seen.len() as u64).sum()
    }

    /// Is there no room for `growth` more bytes?
    fn full(&self, growth: u64) -> bool {
        growth > 0 && self.capacity.is_some_and(|cap| self.used() + growth > cap)
    }
}

impl Contents {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.dirty.push(change);
    }

    fn crash(&mut self, rng: &mut Rng) {
        for change in std::mem::take(&mut self.dirty) {
            match change {
                Change::SetLen(_) => {
                    if rng.below(2) == 0 {
                        change.apply(&mut self.durable);
                    }
                }
                Change::Write { offset, bytes } => {
                    for (at, piece) in sectors(offset, &bytes) {
                        if rng.below(2) == 0 {
                            let piece = Change::Write { offset: at, bytes: piece.to_vec() };
                            piece.apply(&mut self.durable);
                        }
                    }
                }
            }
        }
        self.seen.clone_from(&self.durable);
    }
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::SetLen(len) => to.resize(index(*len), 0),
            Self::Write { offset, bytes } => {
                let at = index(*offset);
                if to.len() < at + bytes.len() {
                    to.resize(at + bytes.len(), 0);
                }
                to[at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}

/// Cuts a write at sector borders.
fn sectors(mut offset: u64, mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let room = index(SECTOR - offset % SECTOR).min(bytes.len());
        let (piece, rest) = bytes.split_at(room);
        out.push((offset, piece));
        offset += room as u64;
        bytes = rest;
    }
    out
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// Xorshift: enough to pick what a crash keeps, and the same for the same seed.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for MemDisk {
    fn list(&self) -> io::Result<Vec<DirEntry>> {
        let s = self.state();
        let len = |id| s.files.get(id).map_or(0, |f| f.seen.len() as u64);
        Ok(s.names.iter().map(|(name, id)| DirEntry { name: name.clone(), len: len(id) }).collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut s = self.state();
        s.begin_whole()?;
        let id = if let Some(id) = s.names.get(name) {
            *id
        } else {
            let id = s.next_id;
            s.next_id += 1;
            s.change_names(NameChange::Set(name.into(), id));
            id
        };
        s.files.entry(id).or_default().change(Change::SetLen(0));
        Ok(Box::new(MemFile { disk: self.clone(), id }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let id = *self.state().names.get(name).ok_or_else(not_found)?;
        Ok(Box::new(MemFile { disk: self.clone(), id }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut s = self.state();
        s.begin_whole()?;
        let id = *s.names.get(name).ok_or_else(not_found)?;
        s.change_names(NameChange::Remove(name.into(), id));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut s = self.state();
        s.begin_whole()?;
        let id = *s.names.get(from).ok_or_else(not_found)?;
        s.change_names(NameChange::Rename(from.into(), to.into(), id));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut s = self.state();
        s.begin_whole()?;
        s.pending_names.clear();
        s.durable_names = s.names.clone();
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("/mem").join(name)
    }
}

struct MemFile {
    disk: MemDisk,
    id: u64,
}

impl MemFile {
    fn grow_to(&mut self, len: u64) -> io::Result<()> {
        let mut s = self.disk.state();
        let fault = s.begin()?;
        let now = s.files.get(&self.id).ok_or_else(not_found)?.seen.len() as u64;
        if s.full(len.saturating_sub(now)) {
            return Err(FaultKind::NoSpace.error());
        }
        if let Some(kind) = fault {
            return Err(kind.error());
        }
        s.files.get_mut(&self.id).ok_or_else(not_found)?.change(Change::SetLen(len));
        Ok(())
    }
}

impl DiskFile for MemFile {
    fn len(&self) -> io::Result<u64> {
        let s = self.disk.state();
        Ok(s.files.get(&self.id).ok_or_else(not_found)?.seen.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let s = self.disk.state();
        let seen = &s.files.get(&self.id).ok_or_else(not_found)?.seen;
        let rest = seen.get(index(offset)..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut s = self.disk.state();
        let mut fault = match s.begin() {
            Ok(fault) => fault,
            Err(err) => {
                // Power went in the middle of it: a crash may keep some of it, and nobody has
                // seen it before.
                let fell = s.fell;
                if let Some(contents) = s.files.get_mut(&self.id).filter(|_| fell) {
                    contents.dirty.push(Change::Write { offset, bytes: bytes.to_vec() });
                }
                return Err(err);
            }
        };
        let now = s.files.get(&self.id).ok_or_else(not_found)?.seen.len() as u64;
        if s.full((offset + bytes.len() as u64).saturating_sub(now)) {
            fault = Some(FaultKind::NoSpace);
        }
        let done = if fault.is_some() { bytes.len() / 2 } else { bytes.len() };
        let contents = s.files.get_mut(&self.id).ok_or_else(not_found)?;
        contents.change(Change::Write { offset, bytes: bytes[..done].to_vec() });
        fault.map_or(Ok(()), |kind| Err(kind.error()))
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.grow_to(len)
    }

    fn allocate(&mut self, len: u64) -> io::Result<()> {
        if len > self.len()? { self.grow_to(len) } else { Ok(()) }
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut s = self.disk.state();
        let fault = s.begin()?;
        let contents = s.files.get_mut(&self.id).ok_or_else(not_found)?;
        let dirty = std::mem::take(&mut contents.dirty);
        if let Some(kind) = fault {
            // The pages are marked clean although half of them never reached the device.
            let kept = dirty.len() / 2;
            for change in dirty.iter().take(kept) {
                change.apply(&mut contents.durable);
            }
            return Err(kind.error());
        }
        // Not `durable = seen`: what an earlier failed sync forgot stays lost.
        for change in &dirty {
            change.apply(&mut contents.durable);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_sync_does_not_bring_back_what_the_first_one_lost() {
        let disk = MemDisk::new();
        let mut f = disk.create("a").unwrap();
        disk.sync_dir().unwrap();
        f.sync_data().unwrap();
        f.write_at(b"xyz", 0).unwrap();
        disk.fault_at(disk.ops(), Fault::Fail(FaultKind::Io));
        assert!(f.sync_data().is_err());
        f.sync_data().unwrap();
        assert_eq!(disk.bytes("a").unwrap(), b"xyz");
        disk.crash(7);
        assert_eq!(disk.bytes("a").unwrap(), b"");
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_part_of_the_rest() {
        let mut outcomes = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let disk = MemDisk::new();
            let mut f = disk.create("a").unwrap();
            disk.sync_dir().unwrap();
            f.write_at(&[1; 1024], 0).unwrap();
            f.sync_data().unwrap();
            f.write_at(&[2; 1024], 512).unwrap();
            disk.crash(seed * 7919);
            let bytes = disk.bytes("a").unwrap();
            assert_eq!(bytes[..512], [1; 512]);
            outcomes.insert((bytes[512], bytes.get(1024).copied()));
        }
        let want = [(1, None), (1, Some(2)), (2, None), (2, Some(2))];
        assert_eq!(outcomes, want.into_iter().collect());
    }

    #[test]
    fn names_need_the_directory_synced() {
        let disk = MemDisk::new();
        disk.create("a").unwrap().sync_data().unwrap();
        disk.sync_dir().unwrap();
        disk.rename("a", "b").unwrap();
        let survivors: Vec<_> = (0..64)
            .map(|seed| {
                let disk = MemDisk::new();
                drop(disk.create("a").unwrap());
                disk.sync_dir().unwrap();
                disk.rename("a", "b").unwrap();
                disk.crash(seed * 104_729);
                disk.names()
            })
            .collect();
        assert!(survivors.contains(&vec!["a".to_string()]));
        assert!(survivors.contains(&vec!["b".to_string()]));
        assert_eq!(disk.names(), ["b"]);
    }

    #[test]
    fn a_full_disk_refuses_growth_and_keeps_half_a_write() {
        let disk = MemDisk::new();
        disk.set_capacity(Some(10));
        let mut f = disk.create("a").unwrap();
        f.write_at(&[1; 8], 0).unwrap();
        let err = f.write_at(&[2; 4], 8).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::StorageFull);
        assert_eq!(f.len().unwrap(), 10);
        f.write_at(&[3; 4], 0).unwrap();
        assert!(f.allocate(11).is_err());
    }
}
