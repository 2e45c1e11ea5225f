//! The disk as the store sees it: one directory of flat files.
//!
//! Everything that the store does to a disk goes through these two traits, so that the simulator
//! can put a disk under it that crashes, tears, reorders, fills up and fails. A trait method is
//! one operation of a real disk: what lies between two calls is a point at which power can go.
//!
//! What may be lost at a crash: written bytes and lengths until [`DiskFile::sync_data`] returned,
//! names (created, renamed, removed) until [`Disk::sync_dir`] returned.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A file's name and length, as [`Disk::list`] gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Name within the directory.
    pub name: String,
    /// Length in bytes.
    pub len: u64,
}

/// One directory that holds the store's files.
pub trait Disk: Send + Sync {
    /// The regular files, in any order.
    fn list(&self) -> io::Result<Vec<DirEntry>>;
    /// Creates a file, or empties the one of that name, and opens it.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file that exists, for reading and writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Gives a file another name, in place of a file that may have had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Makes the names durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// Where a file is, for messages.
    fn path(&self, name: &str) -> PathBuf;
}

/// An open file.
pub trait DiskFile: Send {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Is there not one byte?
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Reads at `offset` until `buf` is full or the file ends; returns how many bytes it read.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`. After an error any part of them may have been written.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts the file, or grows it with zeros that take no space yet.
    fn set_len(&mut self, len: u64) -> io::Result<()>;
    /// Grows the file to `len` with zeros whose space is reserved where the file system can.
    fn allocate(&mut self, len: u64) -> io::Result<()>;
    /// Makes what was written durable. After an error nothing is known of the bytes written since
    /// the last success, and a later success says nothing about them either.
    fn sync_data(&mut self) -> io::Result<()>;
}

/// A directory of the operating system.
#[derive(Debug)]
pub struct OsDisk {
    dir: PathBuf,
}

impl OsDisk {
    /// The directory `dir`, which exists.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Disk for OsDisk {
    fn list(&self) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            // A name that is not UTF-8 cannot be one of the store's.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let meta = match std::fs::metadata(entry.path()) {
                Ok(meta) => meta,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            if meta.is_file() {
                entries.push(DirEntry { name, len: meta.len() });
            }
        }
        Ok(entries)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true);
        Ok(Box::new(OsFile(file.open(self.path(name))?)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let path = self.path(name);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            // For looking at; whatever changes it will fail.
            Err(e) if is_read_only(&e) => File::open(&path)?,
            opened => opened?,
        };
        Ok(Box::new(OsFile(file)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

fn is_read_only(err: &io::Error) -> bool {
    matches!(err.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

struct OsFile(File);

impl DiskFile for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.0.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn allocate(&mut self, len: u64) -> io::Result<()> {
        let from = self.len()?;
        if len <= from {
            return Ok(());
        }
        let flags = rustix::fs::FallocateFlags::empty();
        match rustix::fs::fallocate(&self.0, flags, from, len - from) {
            Ok(()) => Ok(()),
            // The file system cannot reserve: grow without, as Apache's server does everywhere.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => self.0.set_len(len),
            Err(e) => Err(e.into()),
        }
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_directory_does_what_the_traits_say() {
        let dir = tempfile::tempdir().unwrap();
        let disk = OsDisk::new(dir.path());
        let mut f = disk.create("a").unwrap();
        f.write_at(b"hello", 3).unwrap();
        f.allocate(10_000).unwrap();
        f.allocate(5).unwrap();
        f.sync_data().unwrap();
        assert_eq!(disk.list().unwrap(), [DirEntry { name: "a".into(), len: 10_000 }]);
        let mut buf = [1; 16];
        assert_eq!(f.read_at(&mut buf, 0).unwrap(), 16);
        assert_eq!(&buf[..9], b"\0\0\0hello\0");
        f.set_len(8).unwrap();
        assert_eq!(f.read_at(&mut buf, 0).unwrap(), 8);
        disk.rename("a", "b").unwrap();
        disk.sync_dir().unwrap();
        assert!(disk.open("a").is_err());
        assert_eq!(disk.open("b").unwrap().len().unwrap(), 8);
        drop(disk.create("b").unwrap());
        assert_eq!(disk.list().unwrap()[0].len, 0);
        disk.remove("b").unwrap();
        assert_eq!(disk.list().unwrap(), []);
    }
}
