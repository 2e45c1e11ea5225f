//! Snapshot files: the tree's image between a header and seals.
//!
//! ```text
//! header     "ZKSN" | version i32 = 2 | dbid i64 = -1
//! image      sessions, ACL table, nodes                       (wk-tree)
//! seal 1     Adler-32 of everything before it i64 | "/"
//! digest     zxid i64 | version i32 = 2 | digest i64          since 3.6, digest.enabled
//! seal 2
//! last zxid  i64                                              since 3.9
//! seal 3
//! ```
//! Each seal covers every byte from the file's first, earlier seals included, so that the last one
//! says of the whole file whether it is valid. All of it may be packed as a whole ([`Compression`]);
//! seals and lengths then count what is inside. A file is written under a temporary name, synced
//! and renamed: what has a snapshot's name was once whole, and replaces no good one before it is.

use std::io::{self, Read};
use std::sync::Arc;

use adler2::Adler32;
use tracing::{info, warn};
use wk_proto::txn::DIGEST_VERSION;
use wk_proto::{JuteWrite, Zxid};

use crate::disk::{Disk, DiskFile};
use crate::error::{Context, StoreError};
use crate::names::snapshot_name;
pub use compress::Compression;
use compress::{Packer, unpack};

/// Length of a snapshot's header.
pub(crate) const HEADER_LEN: usize = 16;
const HEADER: [u8; HEADER_LEN] = *b"ZKSN\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff";
/// What ends a seal: the string "/".
const SEAL_END: [u8; 5] = [0, 0, 0, 1, b'/'];
const SEAL_LEN: usize = 13;
const DIGEST_LEN: usize = 20;
const ZXID_LEN: usize = 8;
/// All that can follow an image.
const TAIL_MAX: usize = 3 * SEAL_LEN + DIGEST_LEN + ZXID_LEN;
const BUFFER: usize = 1 << 20;
/// Synced each time that so much was written: one sync of gigabytes at the end would hold up the
/// txn log's own syncs.
const SYNC_EVERY: u64 = 16 << 20;

/// Which parts are written behind the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// The digest part (`digest.enabled`).
    pub digest: bool,
    /// The last zxid part (`serializeLastProcessedZxid.enabled`).
    pub last_zxid: bool,
    /// How the file is packed (`snapshot.compression.method`).
    pub compression: Compression,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self { digest: true, last_zxid: true, compression: Compression::None }
    }
}

/// The tree's digest after the txn `zxid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZxidDigest {
    /// The last txn that the digest covers; 0: no txn yet, the digest is 0 too.
    pub zxid: Zxid,
    /// Version of the digest's rules.
    pub version: i32,
    /// The digest.
    pub digest: u64,
}

impl ZxidDigest {
    /// A digest by today's rules. Before the first txn it is empty, as Apache writes it.
    pub fn new(zxid: Zxid, digest: u64) -> Self {
        let digest = if zxid == Zxid::ZERO { 0 } else { digest };
        Self { zxid, version: DIGEST_VERSION, digest }
    }
}

/// A snapshot that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The last applied txn when it was begun.
    pub zxid: Zxid,
    /// Length in bytes.
    pub len: u64,
}

/// What temporary files' names begin with; no snapshot's does.
const TEMP_PREFIX: &str = ".snapshot.";

/// Removes snapshots that a crash left unfinished. Only for when none is being written.
pub fn remove_unfinished(disk: &dyn Disk) -> Result<Vec<String>, StoreError> {
    let is_temp = |name: &str| name.strip_prefix(TEMP_PREFIX)?.strip_suffix(".tmp").map(|_| ());
    let entries = disk.list().context(|| disk.path(""), "list")?;
    let names = entries.into_iter().map(|e| e.name);
    let names: Vec<_> = names.filter(|name| is_temp(name).is_some()).collect();
    for name in &names {
        disk.remove(name).context(|| disk.path(name), "remove")?;
    }
    Ok(names)
}

/// Writes one snapshot, chunk by chunk. Dropped before [`SnapshotWriter::finish`], it takes away
/// what it wrote.
pub struct SnapshotWriter {
    disk: Arc<dyn Disk>,
    zxid: Zxid,
    options: SnapshotOptions,
    temp: String,
    /// `None` once all is written.
    file: Option<Box<dyn DiskFile>>,
    packer: Packer,
    buffer: Vec<u8>,
    written: u64,
    unsynced: u64,
    sum: Adler32,
    /// The temporary name is gone.
    renamed: bool,
}

impl SnapshotWriter {
    /// Begins the snapshot of a tree whose last applied txn is `zxid` now.
    pub fn begin(
        disk: Arc<dyn Disk>,
        zxid: Zxid,
        options: SnapshotOptions,
    ) -> Result<Self, StoreError> {
        let temp = format!("{TEMP_PREFIX}{:x}.tmp", zxid.0);
        let file = disk.create(&temp).context(|| disk.path(&temp), "create snapshot")?;
        let mut writer = Self {
            disk,
            zxid,
            options,
            temp,
            file: Some(file),
            packer: Packer::new(options.compression),
            buffer: Vec::with_capacity(BUFFER),
            written: 0,
            unsynced: 0,
            sum: Adler32::new(),
            renamed: false,
        };
        writer.chunk(&HEADER)?;
        Ok(writer)
    }

    /// Adds a piece of the image.
    pub fn chunk(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.sum.write_slice(bytes);
        let path = || self.disk.path(&self.temp);
        self.packer.push(bytes, &mut self.buffer).context(path, "pack snapshot")?;
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// Adds what follows the image, and lets the file have its name once it is durable.
    /// `digest` is the tree's after the last txn that is in the image, `last_zxid`.
    pub fn finish(
        mut self,
        digest: ZxidDigest,
        last_zxid: Zxid,
    ) -> Result<SnapshotInfo, StoreError> {
        self.seal()?;
        if self.options.digest {
            let mut part = Vec::with_capacity(DIGEST_LEN);
            part.put_i64(digest.zxid.0);
            part.put_i32(digest.version);
            part.put_i64(digest.digest.cast_signed());
            self.chunk(&part)?;
            self.seal()?;
        }
        if self.options.last_zxid {
            self.chunk(&last_zxid.0.to_be_bytes())?;
            self.seal()?;
        }
        let name = snapshot_name(self.zxid) + self.options.compression.extension();
        self.packer.end(&mut self.buffer).context(|| self.disk.path(&name), "pack snapshot")?;
        self.flush()?;
        let path = || self.disk.path(&name);
        let mut file = self.file.take().expect("finish is the only one to take it");
        file.sync_data().context(path, "sync snapshot")?;
        drop(file);
        self.disk.rename(&self.temp, &name).context(path, "rename snapshot")?;
        self.renamed = true;
        self.disk.sync_dir().context(path, "sync the directory of")?;
        info!(zxid = %self.zxid, bytes = self.written, "snapshot written");
        Ok(SnapshotInfo { zxid: self.zxid, len: self.written })
    }

    fn seal(&mut self) -> Result<(), StoreError> {
        let mut seal = Vec::with_capacity(SEAL_LEN);
        seal.put_i64(i64::from(self.sum.checksum()));
        seal.put_bytes(&SEAL_END);
        self.chunk(&seal)
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let path = || self.disk.path(&self.temp);
        file.write_at(&self.buffer, self.written).context(path, "write snapshot")?;
        self.written += self.buffer.len() as u64;
        self.unsynced += self.buffer.len() as u64;
        self.buffer.clear();
        if self.unsynced >= SYNC_EVERY {
            file.sync_data().context(path, "sync snapshot")?;
            self.unsynced = 0;
        }
        Ok(())
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if !self.renamed
            && let Err(err) = self.disk.remove(&self.temp)
        {
            warn!(%err, path = %self.disk.path(&self.temp).display(), "cannot remove");
        }
    }
}

/// Why a snapshot file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It does not end as a snapshot does: its writer did not get to the end.
    #[error("it is not finished")]
    Unfinished,
    /// It does not begin as one.
    #[error("it does not begin with a snapshot's header")]
    BadHeader,
    /// A seal does not have the checksum of the bytes before it.
    #[error("its checksum is wrong")]
    Checksum,
    /// The checksums are right, but it is not an image of a tree.
    #[error("it holds no tree: {0}")]
    Image(String),
    /// Its name says that it is packed, and it cannot be unpacked.
    #[error("it cannot be unpacked: {0}")]
    Packed(io::Error),
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(io::Error),
}

impl From<io::Error> for SnapshotError {
    /// The decoders' errors are told from the disk's by their kinds.
    fn from(err: io::Error) -> Self {
        let of_decoders =
            [io::ErrorKind::InvalidData, io::ErrorKind::InvalidInput, io::ErrorKind::Other];
        if err.kind() == io::ErrorKind::UnexpectedEof {
            Self::Unfinished
        } else if of_decoders.contains(&err.kind()) {
            Self::Packed(err)
        } else {
            Self::Io(err)
        }
    }
}

/// A snapshot whose seals were checked.
pub struct SnapshotFile {
    file: Box<dyn DiskFile>,
    compression: Compression,
    len: u64,
    /// Where the image ends, in what is inside.
    image_end: u64,
    /// The digest part, where there is one that says something.
    pub digest: Option<ZxidDigest>,
    /// The last zxid part, where there is one.
    pub last_zxid: Option<Zxid>,
}

impl SnapshotFile {
    /// Opens the file `name` and checks every byte of it against its seals.
    pub fn open(disk: &dyn Disk, name: &str) -> Result<Self, SnapshotError> {
        let file = disk.open(name)?;
        let len = file.len()?;
        let compression = Compression::of_name(name);
        let mut head = [0; HEADER_LEN];
        let got = file.read_at(&mut head, 0)?;
        if got > 0 && !compression.begins(&head[..got]) {
            return Err(SnapshotError::BadHeader);
        }
        let scanned = Scanned::of(&mut *inside(&*file, compression))?;
        // Neither the dbid nor what an older or newer version may be: Apache looks at no more.
        if scanned.head[..8] != HEADER[..8] {
            return Err(SnapshotError::BadHeader);
        }
        let (image_end, digest, last_zxid) = scanned.check_seals()?;
        Ok(Self { file, compression, len, image_end, digest, last_zxid })
    }

    /// Length of the file.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Never: a header and a seal are there at least.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Length of the image.
    pub fn image_len(&self) -> u64 {
        self.image_end - HEADER_LEN as u64
    }

    /// The image's bytes, for a reader that reads in small pieces.
    pub fn image(&self) -> impl io::BufRead + '_ {
        let capacity = usize::try_from(self.image_len()).unwrap_or(BUFFER).clamp(1, BUFFER);
        let image = ImageReader {
            inside: inside(&*self.file, self.compression),
            skip: HEADER_LEN,
            rest: self.image_len(),
        };
        io::BufReader::with_capacity(capacity, image)
    }
}

/// Does this name say that the file is packed?
pub(crate) fn is_packed(name: &str) -> bool {
    Compression::of_name(name) != Compression::None
}

/// What is inside a file, from its first byte.
fn inside(file: &dyn DiskFile, compression: Compression) -> Box<dyn Read + '_> {
    let from_disk = FileReader { file, at: 0 };
    match compression {
        // It is read in large pieces as it is.
        Compression::None => Box::new(from_disk),
        Compression::Gzip | Compression::Snappy => {
            unpack(compression, io::BufReader::with_capacity(BUFFER, from_disk))
        }
    }
}

struct FileReader<'f> {
    file: &'f dyn DiskFile,
    at: u64,
}

impl Read for FileReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buf, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

struct ImageReader<'s> {
    inside: Box<dyn Read + 's>,
    /// Bytes of the header that are still before the image.
    skip: usize,
    rest: u64,
}

impl Read for ImageReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.skip > 0 {
            let mut header = [0; HEADER_LEN];
            self.inside.read_exact(&mut header[..self.skip])?;
            self.skip = 0;
        }
        let want = usize::try_from(self.rest).unwrap_or(usize::MAX).min(buf.len());
        let read = self.inside.read(&mut buf[..want])?;
        self.rest -= read as u64;
        Ok(read)
    }
}

/// What one pass over the inside of a file has found.
struct Scanned {
    head: [u8; HEADER_LEN],
    len: u64,
    /// The last bytes, at least those in which seals can be, and the sum of all before them.
    tail: Vec<u8>,
    before: Adler32,
}

impl Scanned {
    fn of(inside: &mut dyn Read) -> Result<Self, SnapshotError> {
        let mut head = [0; HEADER_LEN];
        inside.read_exact(&mut head)?;
        let mut scanned =
            Self { head, len: HEADER_LEN as u64, tail: Vec::new(), before: Adler32::new() };
        scanned.before.write_slice(&head);
        let mut piece = vec![0; BUFFER];
        loop {
            let read = match inside.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => read,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                Err(err) => return Err(err.into()),
            };
            scanned.len += read as u64;
            scanned.tail.extend_from_slice(&piece[..read]);
            let settled = scanned.tail.len().saturating_sub(TAIL_MAX);
            scanned.before.write_slice(&scanned.tail[..settled]);
            scanned.tail.drain(..settled);
        }
        if !scanned.tail.ends_with(&SEAL_END) {
            return Err(SnapshotError::Unfinished);
        }
        Ok(scanned)
    }

    /// Checks all seals. What follows the image is found from the end, for the image's own end shows
    /// only when it is decoded: of the four possible tails, the longest whose seals are right.
    /// Returns where the image ends.
    fn check_seals(&self) -> Result<(u64, Option<ZxidDigest>, Option<Zxid>), SnapshotError> {
        let tail = &self.tail[..];
        let tail_at = self.len - tail.len() as u64;
        for (digest, zxid) in [(true, true), (true, false), (false, true), (false, false)] {
            let digest_len = if digest { DIGEST_LEN + SEAL_LEN } else { 0 };
            let zxid_len = if zxid { ZXID_LEN + SEAL_LEN } else { 0 };
            let Some(image) = tail.len().checked_sub(SEAL_LEN + digest_len + zxid_len) else {
                continue;
            };
            let digest_at = image + SEAL_LEN;
            let zxid_at = digest_at + digest_len;
            let sealed = |at| is_seal(tail, at, self.before);
            if sealed(image)
                && (!digest || sealed(digest_at + DIGEST_LEN))
                && (!zxid || sealed(zxid_at + ZXID_LEN))
            {
                let digest = digest.then(|| read_digest(&tail[digest_at..])).flatten();
                let last = zxid.then(|| tail[zxid_at..].first_chunk::<8>()).flatten();
                let last = last.map(|bytes| Zxid(i64::from_be_bytes(*bytes)));
                return Ok((tail_at + image as u64, digest, last));
            }
        }
        Err(SnapshotError::Checksum)
    }
}

/// Is there a seal at `at` that covers the file up to there? `sum` is that of what precedes `tail`.
fn is_seal(tail: &[u8], at: usize, mut sum: Adler32) -> bool {
    sum.write_slice(&tail[..at]);
    let seal = &tail[at..at + SEAL_LEN];
    seal[..8] == u64::from(sum.checksum()).to_be_bytes() && seal[8..] == SEAL_END
}

fn read_digest(bytes: &[u8]) -> Option<ZxidDigest> {
    let mut r = wk_proto::Reader::new(bytes);
    let zxid = Zxid(r.i64().ok()?);
    let digest = ZxidDigest { zxid, version: r.i32().ok()?, digest: r.i64().ok()?.cast_unsigned() };
    // Apache writes an empty part before the first txn.
    (zxid > Zxid::ZERO).then_some(digest)
}

mod compress;
#[cfg(test)]
mod tests;
