//! How far the newest log file is known to be durable: `watchkeeper.synced`, a file of our own.
//!
//! A log batch of many records is one write. When power goes, a disk may have kept its last
//! sectors and lost its first: whole records behind a damaged one, none of them acknowledged.
//! Apache's format cannot tell that from damage to acknowledged records. This mark can: behind the
//! offset that it names nothing was acknowledged, so whatever is there may be cut.
//!
//! It is written after each sync and not itself synced (only when a log file is begun): it may lag
//! behind after a loss of power, never run ahead. Lagging makes recovery more lenient with the
//! last batches, never with older ones. Apache's server ignores the file; without it, recovery is
//! as strict as for a log that Apache wrote.
//!
//! ```text
//! "WKSM" | version u32 = 1 | zxid in the log file's name i64 | offset u64 | CRC-32 of these 24 u32
//! ```

use wk_proto::Zxid;

use crate::disk::{Disk, DiskFile};

/// The file's name.
pub(crate) const NAME: &str = "watchkeeper.synced";
const LEN: usize = 28;
const MAGIC: [u8; 8] = *b"WKSM\0\0\0\x01";

/// The mark's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncMark {
    /// The zxid in the log file's name.
    pub log: Zxid,
    /// All bytes of the file before this offset were synced once.
    pub offset: u64,
}

impl SyncMark {
    fn encode(self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.log.0.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_be_bytes());
        let crc = crc32fast::hash(&bytes[..24]);
        bytes[24..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; LEN]) -> Option<Self> {
        let number = |at: usize| bytes[at..].first_chunk::<8>().copied();
        let crc = crc32fast::hash(&bytes[..24]).to_be_bytes();
        (bytes[..8] == MAGIC && bytes[24..] == crc).then_some(())?;
        let log = Zxid(i64::from_be_bytes(number(8)?));
        Some(Self { log, offset: u64::from_be_bytes(number(16)?) })
    }

    /// Reads the mark; `None` when there is none that is whole. It is a hint: no error is one.
    pub fn read(disk: &dyn Disk) -> Option<Self> {
        let file = disk.open(NAME).ok()?;
        let mut bytes = [0; LEN];
        (file.read_at(&mut bytes, 0).ok()? == LEN).then(|| Self::decode(&bytes))?
    }
}

/// Keeps the mark up to date. A log does not begin without its mark: a loss of power that tears its
/// first batch would pass for damage, and stop the next start. Later errors are forgiven: a mark
/// that stays behind makes recovery more lenient.
#[derive(Default)]
pub(crate) struct MarkWriter {
    file: Option<Box<dyn DiskFile>>,
}

impl MarkWriter {
    /// Writes and syncs the mark of a log file that begins.
    pub(crate) fn begin(&mut self, disk: &dyn Disk, mark: SyncMark) -> std::io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => match disk.open(NAME) {
                Ok(file) => file,
                Err(_) => disk.create(NAME)?,
            },
        };
        let file = self.file.insert(file);
        let begun = file.write_at(&mark.encode(), 0).and_then(|()| file.sync_data());
        if begun.is_err() {
            // Of a file whose sync failed, a second sync says nothing: the next is a new one.
            self.file = None;
            let _gone = disk.remove(NAME);
        }
        begun
    }

    /// Moves the mark on.
    pub(crate) fn advance(&mut self, mark: SyncMark) -> std::io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.write_at(&mark.encode(), 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem_disk::MemDisk;

    #[test]
    fn a_mark_comes_back_and_a_damaged_one_does_not() {
        let disk = MemDisk::new();
        assert_eq!(SyncMark::read(&disk), None);
        let mark = SyncMark { log: Zxid(0x1_0000_0001), offset: 4711 };
        let mut writer = MarkWriter::default();
        writer.begin(&disk, mark).unwrap();
        assert_eq!(SyncMark::read(&disk), Some(mark));
        let later = SyncMark { offset: 4800, ..mark };
        writer.advance(later).unwrap();
        assert_eq!(SyncMark::read(&disk), Some(later));
        let good = disk.bytes(NAME).unwrap();
        for i in 0..good.len() {
            let mut bad = good.clone();
            bad[i] ^= 4;
            disk.put(NAME, &bad);
            assert_eq!(SyncMark::read(&disk), None, "byte {i}");
        }
    }
}
