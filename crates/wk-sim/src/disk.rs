//! The disk as one process sees it: when the process is killed, its handles do nothing any more.
//!
//! [`MemDisk`] below it outlives the process: after a kill with all that was written, after a loss of
//! power with what was synced and a random part of the rest.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wk_store::mem_disk::MemDisk;
use wk_store::{DirEntry, Disk, DiskFile};

/// A process' way to the disk.
#[derive(Clone)]
pub(crate) struct ProcessDisk {
    disk: MemDisk,
    killed: Arc<AtomicBool>,
}

impl ProcessDisk {
    pub(crate) fn new(disk: MemDisk) -> Self {
        Self { disk, killed: Arc::default() }
    }

    /// Ends the process: nothing that its destructors do reaches the disk.
    pub(crate) fn kill(&self) {
        self.killed.store(true, Ordering::Relaxed);
    }

    fn alive(&self) -> io::Result<&MemDisk> {
        if self.killed.load(Ordering::Relaxed) {
            return Err(io::Error::other("the process was killed"));
        }
        Ok(&self.disk)
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
        Ok(self.file(self.alive()?.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(self.alive()?.open(name)?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.alive()?.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.alive()?.rename(from, to)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.alive()?.sync_dir()
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
        self.disk.alive()?;
        self.file.write_at(bytes, offset)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.disk.alive()?;
        self.file.set_len(len)
    }

    fn allocate(&mut self, len: u64) -> io::Result<()> {
        self.disk.alive()?;
        self.file.allocate(len)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.disk.alive()?;
        self.file.sync_data()
    }
}
