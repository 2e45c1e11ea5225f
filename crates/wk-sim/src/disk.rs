//! The disk as one process sees it: when the process is killed, its handles do nothing any more.
//!
//! [`MemDisk`] below it outlives the process: after a kill with all that was written, after a loss of
//! power with what was synced and a random part of the rest.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wk_store::mem_disk::MemDisk;
use wk_store::{DirEntry, Disk, DiskFile};

/// A process' way to the disk.
#[derive(Clone)]
pub(crate) struct ProcessDisk {
    disk: MemDisk,
    /// Changing operations that the process will live to do; at 0 it is dead.
    life: Arc<AtomicU64>,
}

impl ProcessDisk {
    /// A process that will be killed when it has done `life` changing operations.
    pub(crate) fn new(disk: MemDisk, life: u64) -> Self {
        Self { disk, life: Arc::new(AtomicU64::new(life)) }
    }

    /// Ends the process: nothing that its destructors do reaches the disk.
    pub(crate) fn kill(&self) {
        self.life.store(0, Ordering::Relaxed);
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.life.load(Ordering::Relaxed) == 0
    }

    fn alive(&self) -> io::Result<&MemDisk> {
        if self.is_killed() {
            return Err(io::Error::other("the process was killed"));
        }
        Ok(&self.disk)
    }

    /// Counts an operation that changes the disk; the process may not live to do it.
    fn change(&self) -> io::Result<&MemDisk> {
        self.life.fetch_sub(u64::from(!self.is_killed()), Ordering::Relaxed);
        self.alive()
    }

    fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(ProcessFile { disk: self.clone(), file })
    }
}

impl Disk for ProcessDisk {
    fn list(&self) -> io::Result<Vec<DirEntry>> {
        self.alive()?.list()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(self.change()?.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(self.alive()?.open(name)?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change()?.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change()?.rename(from, to)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.change()?.sync_dir()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.disk.path(name)
    }
}

struct ProcessFile {
    disk: ProcessDisk,
    file: Box<dyn DiskFile>,
}

impl DiskFile for ProcessFile {
    fn len(&self) -> io::Result<u64> {
        self.disk.alive()?;
        self.file.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.alive()?;
        self.file.read_at(buf, offset)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.change()?;
        self.file.write_at(bytes, offset)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.disk.change()?;
        self.file.set_len(len)
    }

    fn allocate(&mut self, len: u64) -> io::Result<()> {
        self.disk.change()?;
        self.file.allocate(len)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.disk.change()?;
        self.file.sync_data()
    }
}
