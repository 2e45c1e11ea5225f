//! A directory that may be tried out: what a recovery would do to it happens in memory alone.
//!
//! `fsck` lets the server's own recovery run on it, so that what it says of a start is what a start
//! does. Bytes that are written vanish, for recovery reads back nothing that it wrote; cuts and
//! removed names are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{DirEntry, Disk, DiskFile};
use crate::frame::HEADER;

/// A view of a directory; clones are the same view.
#[derive(Clone)]
pub(crate) struct Overlay {
    base: Arc<dyn Disk>,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    hidden: BTreeSet<String>,
    /// Lengths of files that were cut.
    cut: BTreeMap<String, u64>,
    /// Logs that are seen with a log's header.
    headed: BTreeSet<String>,
}

impl Overlay {
    pub(crate) fn new(base: Arc<dyn Disk>) -> Self {
        Self { base, state: Arc::default() }
    }

    /// The same view once more, which goes its own way from here on.
    pub(crate) fn fork(&self) -> Self {
        let state = self.state().clone();
        Self { base: self.base.clone(), state: Arc::new(Mutex::new(state)) }
    }

    /// Takes a name out of sight.
    pub(crate) fn hide(&self, name: &str) {
        self.state().hidden.insert(name.to_owned());
    }

    /// Ends a file earlier.
    pub(crate) fn cut(&self, name: &str, len: u64) {
        let mut state = self.state();
        let now = state.cut.entry(name.to_owned()).or_insert(len);
        *now = len.min(*now);
    }

    /// Gives a log the header that each has.
    pub(crate) fn give_header(&self, name: &str) {
        self.state().headed.insert(name.to_owned());
    }

    /// Which files end earlier now, and where.
    pub(crate) fn cuts(&self) -> Vec<(String, u64)> {
        self.state().cut.iter().map(|(name, len)| (name.clone(), *len)).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for Overlay {
    fn list(&self) -> io::Result<Vec<DirEntry>> {
        let mut entries = self.base.list()?;
        let state = self.state();
        entries.retain(|entry| !state.hidden.contains(&entry.name));
        for entry in &mut entries {
            entry.len = state.cut.get(&entry.name).map_or(entry.len, |len| entry.len.min(*len));
        }
        Ok(entries)
    }

    fn create(&self, _: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(Sink))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        if self.state().hidden.contains(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = self.base.open(name)?;
        Ok(Box::new(View { disk: self.clone(), name: name.to_owned(), file }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.hide(name);
        Ok(())
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.base.path(name)
    }
}

/// A file that is there.
struct View {
    disk: Overlay,
    name: String,
    file: Box<dyn DiskFile>,
}

impl DiskFile for View {
    fn len(&self) -> io::Result<u64> {
        let len = self.file.len()?;
        Ok(self.disk.state().cut.get(&self.name).map_or(len, |cut| len.min(*cut)))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(self.len()?.saturating_sub(offset)).unwrap_or(usize::MAX);
        let want = rest.min(buf.len());
        let read = self.file.read_at(&mut buf[..want], offset)?;
        if self.disk.state().headed.contains(&self.name) {
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(HEADER.len());
            for (byte, right) in buf[..read].iter_mut().zip(&HEADER[from..]) {
                *byte = *right;
            }
        }
        Ok(read)
    }

    fn write_at(&mut self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        if len < self.len()? {
            self.disk.cut(&self.name, len);
        }
        Ok(())
    }

    fn allocate(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that is new: nobody reads it.
struct Sink;

impl DiskFile for Sink {
    fn len(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        Ok(0)
    }

    fn write_at(&mut self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        Ok(())
    }
}
