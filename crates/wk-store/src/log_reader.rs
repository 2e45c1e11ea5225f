//! The txn log's reading end: one file, record by record, and what stands where records end.

use wk_proto::Zxid;

use crate::disk::{Disk, DiskFile};
use crate::error::{Context, LogDamage, StoreError};
use crate::frame::{self, Frame};
use crate::names::log_name;

/// How much is read ahead.
const READ_AHEAD: usize = 1 << 20;

/// A log file, read from its first record to its last.
pub struct LogReader<'d> {
    disk: &'d dyn Disk,
    name: String,
    file: Box<dyn DiskFile>,
    len: u64,
    /// Place in the file of `window[0]`.
    base: u64,
    window: Vec<u8>,
    /// Place in the window of the next record.
    at: usize,
}

/// How a log file begins.
pub enum Head<'d> {
    /// With a header: records may follow.
    Log(LogReader<'d>),
    /// With nothing, a part of a header or zeros, and nothing else behind: no record was ever
    /// written to it.
    Blank,
}

/// What is read next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A whole record.
    Record {
        /// Where it begins.
        offset: u64,
        /// Header, txn, digest.
        body: &'a [u8],
    },
    /// Nothing is left but padding.
    End,
    /// No record, and not padding either.
    Bad(BadPlace),
}

/// A place at which a record should begin and does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPlace {
    /// Where it is.
    pub offset: u64,
    /// What is there instead.
    pub what: LogDamage,
    /// A whole later record was found behind it.
    pub follower: Option<u64>,
}

impl<'d> LogReader<'d> {
    /// Opens the log file whose name has the zxid `first`.
    pub fn open(disk: &'d dyn Disk, first: Zxid) -> Result<Head<'d>, StoreError> {
        Self::open_named(disk, &log_name(first))
    }

    /// Opens the log file of that name, whatever it is.
    pub fn open_named(disk: &'d dyn Disk, name: &str) -> Result<Head<'d>, StoreError> {
        let mut reader = Self::open_headless(disk, name)?;
        reader.skip_to(0)?;
        let head = &reader.window[..frame::HEADER_LEN.min(reader.window.len())];
        // The last eight bytes, the dbid, are not looked at: Apache's server never does.
        if head.len() == frame::HEADER_LEN && head[..8] == frame::HEADER[..8] {
            reader.at = frame::HEADER_LEN;
            return Ok(Head::Log(reader));
        }
        let short = head.len() < frame::HEADER_LEN && frame::HEADER.starts_with(head);
        if short || reader.only_zeros()? {
            return Ok(Head::Blank);
        }
        Err(StoreError::BadLogHeader { path: disk.path(&reader.name) })
    }

    /// Opens a file whose header may be anything, and reads on behind it.
    pub fn open_headless(disk: &'d dyn Disk, name: &str) -> Result<Self, StoreError> {
        let name = name.to_owned();
        let path = || disk.path(&name);
        let file = disk.open(&name).context(path, "open txn log")?;
        let len = file.len().context(path, "read txn log")?;
        let mut reader = LogReader { disk, name, file, len, base: 0, window: Vec::new(), at: 0 };
        reader.skip_to(frame::HEADER_LEN as u64)?;
        Ok(reader)
    }

    /// Length of the file.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Never: a header is there at least.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Goes on reading at `offset`, where a record begins.
    pub fn skip_to(&mut self, offset: u64) -> Result<(), StoreError> {
        self.window.clear();
        self.at = 0;
        self.base = offset.min(self.len);
        self.fill(frame::HEADER_LEN)
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads on. `last` is the last zxid that was read: what lies behind a bad place counts as a
    /// later record only with a higher one.
    pub fn next(&mut self, last: Zxid) -> Result<Next<'_>, StoreError> {
        let (what, end) = loop {
            let rest = self.len - self.offset();
            let need = match frame::decode(&self.window[self.at..], rest) {
                Frame::Record { len, .. } => {
                    let (from, to) = (self.at, self.at + len);
                    let offset = self.offset();
                    self.at = to;
                    let body = &self.window[from + frame::PREFIX_LEN..to - 1];
                    return Ok(Next::Record { offset, body });
                }
                Frame::More { need } => need,
                Frame::End => break (LogDamage::Zeros, true),
                Frame::BadChecksum => break (LogDamage::Checksum, false),
                Frame::Unframed => break (LogDamage::Frame, false),
            };
            self.fill(need)?;
        };
        if end && self.only_zeros()? {
            return Ok(Next::End);
        }
        let offset = self.offset();
        let tail = self.read_tail()?;
        // Not from the bad place itself: that is no record.
        let follower = frame::find_record(tail.get(1..).unwrap_or_default(), last);
        let follower = follower.map(|at| offset + 1 + at as u64);
        Ok(Next::Bad(BadPlace { offset, what, follower }))
    }

    /// Cuts the file at `offset`, durably.
    pub fn cut(&mut self, offset: u64) -> Result<(), StoreError> {
        let path = || self.disk.path(&self.name);
        self.file.set_len(offset).context(path, "cut txn log")?;
        self.file.sync_data().context(path, "sync txn log")
    }

    /// Makes what was read durable for certain, from the offset `from` on: it may be in the page
    /// cache alone, held for clean after a sync that failed. Written anew it cannot.
    pub fn settle(&mut self, from: u64) -> Result<(), StoreError> {
        let path = || self.disk.path(&self.name);
        let (mut at, end) = (from, self.offset());
        let mut buf = buffer(end.saturating_sub(from));
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(READ_AHEAD);
            let read = self.file.read_at(&mut buf[..want], at).context(path, "read txn log")?;
            if read == 0 {
                break;
            }
            self.file.write_at(&buf[..read], at).context(path, "write txn log")?;
            at += read as u64;
        }
        // A cut too may be one whose sync failed: it is made again.
        let len = self.file.len().context(path, "read txn log")?;
        self.file.set_len(len).context(path, "cut txn log")?;
        self.file.sync_data().context(path, "sync txn log")
    }

    fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Lets the window hold `need` bytes from the current place on, or all that the file has.
    fn fill(&mut self, need: usize) -> Result<(), StoreError> {
        self.window.drain(..self.at);
        self.base += self.at as u64;
        self.at = 0;
        let have = self.window.len();
        let from = self.base + have as u64;
        let want = need.max(READ_AHEAD).saturating_sub(have) as u64;
        let want = usize::try_from(want.min(self.len - from)).unwrap_or(usize::MAX);
        self.window.resize(have + want, 0);
        let read = self.file.read_at(&mut self.window[have..], from);
        let read = read.context(|| self.disk.path(&self.name), "read txn log")?;
        self.window.truncate(have + read);
        if read < want {
            // Somebody cut the file while it is read: what is not there does not count.
            self.len = from + read as u64;
        }
        Ok(())
    }

    /// Is there nothing but zeros from the current place to the end?
    fn only_zeros(&self) -> Result<bool, StoreError> {
        if self.window[self.at..].iter().any(|b| *b != 0) {
            return Ok(false);
        }
        let mut from = self.base + self.window.len() as u64;
        let mut buf = buffer(self.len.saturating_sub(from));
        while from < self.len {
            let read = self.file.read_at(&mut buf, from);
            let read = read.context(|| self.disk.path(&self.name), "read txn log")?;
            if read == 0 {
                break;
            }
            if buf[..read] != ZEROS[..read] {
                return Ok(false);
            }
            from += read as u64;
        }
        Ok(true)
    }

    /// All bytes from the current place to the end. Only damage makes this read a lot at once.
    fn read_tail(&self) -> Result<Vec<u8>, StoreError> {
        let from = self.offset();
        let mut tail = vec![0; usize::try_from(self.len - from).unwrap_or(usize::MAX)];
        let read = self.file.read_at(&mut tail, from);
        let read = read.context(|| self.disk.path(&self.name), "read txn log")?;
        tail.truncate(read);
        Ok(tail)
    }
}

/// A buffer for so many bytes, or for a part of them at a time.
fn buffer(len: u64) -> Vec<u8> {
    vec![0; usize::try_from(len).unwrap_or(READ_AHEAD).min(READ_AHEAD)]
}

/// To compare with at memory speed.
static ZEROS: [u8; READ_AHEAD] = [0; READ_AHEAD];

#[cfg(test)]
mod tests;
