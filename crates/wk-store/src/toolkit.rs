//! Copies of a log: with the checksums put right, or ended at a txn (`TxnLogToolkit`, 3.9).

use wk_proto::Zxid;

use crate::disk::{Disk, DiskFile};
use crate::error::{Context, StoreError};
use crate::frame::{self, HEADER, HEADER_LEN, PREFIX_LEN};

/// What to do with a record whose checksum is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Copy it as it is.
    Keep,
    /// Copy it with the checksum of its bytes.
    Fix,
    /// Stop; the copy is taken away.
    Abort,
}

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Records.
    pub txns: u64,
    /// Of these, with a new checksum.
    pub fixed: u64,
    /// Where in the original the copy ends.
    pub end: u64,
    /// The original goes on there with something that is neither a record nor padding.
    pub torn: bool,
    /// The last record's zxid.
    pub last: Option<Zxid>,
    /// Nothing was copied, or the copy was taken away.
    pub aborted: bool,
}

/// Copies `name` to the new file `target`, and asks about each record: its offset, its bytes, and
/// whether its checksum is right. Ends where no frame follows.
pub fn recover_log(
    disk: &dyn Disk,
    name: &str,
    target: &str,
    decide: &mut dyn FnMut(u64, &[u8], bool) -> Verdict,
) -> Result<Copied, StoreError> {
    copy(disk, name, target, &mut |offset, body, good| match decide(offset, body, good) {
        Verdict::Abort => None,
        Verdict::Keep => Some((true, false)),
        Verdict::Fix => Some((true, true)),
    })
}

/// Copies the records of `name` up to the txn `last` to the new file `target`. A record with a
/// wrong checksum ends it as nothing else does: `aborted`.
pub fn chop_log(
    disk: &dyn Disk,
    name: &str,
    target: &str,
    last: Zxid,
) -> Result<Copied, StoreError> {
    copy(disk, name, target, &mut |_, body, good| {
        good.then(|| (frame::zxid(body).is_some_and(|zxid| zxid <= last), false))
    })
}

/// For each record: `None` gives up, else whether it is copied (the first that is not ends the
/// copy) and whether its checksum is made anew.
type Choose<'a> = &'a mut dyn FnMut(u64, &[u8], bool) -> Option<(bool, bool)>;

fn copy(
    disk: &dyn Disk,
    name: &str,
    target: &str,
    choose: Choose<'_>,
) -> Result<Copied, StoreError> {
    let from = disk.open(name).context(|| disk.path(name), "open txn log")?;
    let mut header = [0; HEADER_LEN];
    let read = from.read_at(&mut header, 0).context(|| disk.path(name), "read txn log")?;
    if read < HEADER_LEN || header[..8] != HEADER[..8] {
        return Err(StoreError::BadLogHeader { path: disk.path(name) });
    }
    let path = || disk.path(target);
    let mut to = disk.create(target).context(path, "create")?;
    let copied = copy_records(disk, name, &*from, &mut *to, &header, choose);
    let synced = to.sync_data().context(path, "sync");
    if !matches!(copied, Ok(Copied { aborted: false, .. })) || synced.is_err() {
        disk.remove(target).context(path, "remove")?;
    }
    synced?;
    copied
}

fn copy_records(
    disk: &dyn Disk,
    name: &str,
    from: &dyn DiskFile,
    to: &mut dyn DiskFile,
    header: &[u8],
    choose: Choose<'_>,
) -> Result<Copied, StoreError> {
    const FLUSH: usize = 1 << 20;
    let path = || disk.path(name);
    let mut copied = Copied { end: HEADER_LEN as u64, ..Copied::default() };
    let (mut out, mut written) = (header.to_vec(), 0);
    while let Some(found) = read_frame(from, copied.end).context(path, "read txn log")? {
        let Found::Record { prefix, body, good } = found else {
            copied.torn = true;
            break;
        };
        let Some((take, fix)) = choose(copied.end, &body, good) else {
            return Ok(Copied { aborted: true, ..copied });
        };
        if !take {
            break;
        }
        if fix && !good {
            frame::encode(&body, &mut out);
            copied.fixed += 1;
        } else {
            out.extend_from_slice(&prefix);
            out.extend_from_slice(&body);
            out.push(b'B');
        }
        copied.txns += 1;
        copied.last = frame::zxid(&body);
        copied.end += (PREFIX_LEN + body.len() + 1) as u64;
        if out.len() >= FLUSH {
            to.write_at(&out, written).context(path, "copy")?;
            written += out.len() as u64;
            out.clear();
        }
    }
    to.write_at(&out, written).context(path, "copy")?;
    Ok(copied)
}

enum Found {
    Record { prefix: [u8; PREFIX_LEN], body: Vec<u8>, good: bool },
    Torn,
}

/// The frame at `offset`, whatever its checksum; `None` at the end and in the padding.
fn read_frame(file: &dyn DiskFile, offset: u64) -> std::io::Result<Option<Found>> {
    let mut prefix = [0; PREFIX_LEN];
    let read = file.read_at(&mut prefix, offset)?;
    if prefix[..read].iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let rest = file.len()?.saturating_sub(offset);
    let len = prefix.last_chunk::<4>().map_or(0, |len| u32::from_be_bytes(*len));
    if read < PREFIX_LEN || u64::from(len) + PREFIX_LEN as u64 >= rest {
        return Ok(Some(Found::Torn));
    }
    let mut body = vec![0; usize::try_from(len).unwrap_or(0) + 1];
    file.read_at(&mut body, offset + PREFIX_LEN as u64)?;
    if body.pop() != Some(b'B') || body.len() < wk_proto::TxnHeader::LEN {
        return Ok(Some(Found::Torn));
    }
    let sum = u64::from(adler2::adler32_slice(&body)).to_be_bytes();
    let good = prefix[..8] == sum;
    Ok(Some(Found::Record { prefix, body, good }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem_disk::MemDisk;
    use crate::testing::{append, log_on, read_logs};

    /// A log with the txns 1 to 9, the fourth of which has a flipped bit.
    fn damaged() -> MemDisk {
        let disk = MemDisk::new();
        let mut log = log_on(&disk, 0);
        append(&mut log, 1..=9);
        log.sync().unwrap();
        let record = disk.bytes("log.1").unwrap().iter().position(|b| *b == b'B').unwrap() + 1 - 16;
        disk.flip("log.1", 16 + 3 * record + 60, 2);
        disk
    }

    #[test]
    fn a_wrong_checksum_is_made_right_only_where_that_is_wanted() {
        let disk = damaged();
        let mut asked = Vec::new();
        let copied = recover_log(&disk, "log.1", "log.1.fixed", &mut |at, _, good| {
            if !good {
                asked.push(at);
            }
            Verdict::Fix
        });
        let copied = copied.unwrap();
        assert_eq!((copied.txns, copied.fixed, copied.torn), (9, 1, false));
        assert_eq!(asked.len(), 1);
        let kept = |_: u64, _: &[u8], _: bool| Verdict::Keep;
        assert_eq!(recover_log(&disk, "log.1", "kept", &mut { kept }).unwrap().fixed, 0);
        let kept_end = usize::try_from(copied.end).unwrap();
        assert_eq!(disk.bytes("log.1").unwrap()[..kept_end], disk.bytes("kept").unwrap());
        disk.put("log.1", &disk.bytes("log.1.fixed").unwrap());
        disk.remove("log.1.fixed").unwrap();
        disk.remove("kept").unwrap();
        let whole = Copied { fixed: 0, ..copied };
        let good = |_: u64, _: &[u8], good: bool| if good { Verdict::Keep } else { Verdict::Abort };
        assert_eq!(recover_log(&disk, "log.1", "again", &mut { good }).unwrap(), whole);
    }

    #[test]
    fn a_chopped_log_ends_with_the_txn_and_an_aborted_copy_is_gone() {
        let disk = MemDisk::new();
        let mut log = log_on(&disk, 0);
        append(&mut log, 1..=9);
        log.sync().unwrap();
        let copied = chop_log(&disk, "log.1", "log.1.chopped5", Zxid(5)).unwrap();
        assert_eq!((copied.txns, copied.last), (5, Some(Zxid(5))));
        let chopped = disk.bytes("log.1.chopped5").unwrap();
        disk.remove("log.1.chopped5").unwrap();
        disk.put("log.1", &chopped);
        assert_eq!(read_logs(&disk), (vec![1, 2, 3, 4, 5], Vec::new()));
        let disk = damaged();
        assert!(chop_log(&disk, "log.1", "out", Zxid(7)).unwrap().aborted);
        assert_eq!(disk.bytes("out"), None);
    }
}
