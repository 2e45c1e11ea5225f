//! The bytes round a log record: checksum, length, body, end mark. And the log file's header.
//!
//! ```text
//! header   "ZKLG" | version i32 = 2 | dbid i64 = 0
//! record   adler32 of body i64 | length i32 | body | 'B'
//! ```

use wk_proto::sabotage::{Sabotage, is_on};
use wk_proto::{TxnHeader, Zxid};

/// Length of a log file's header.
pub(crate) const HEADER_LEN: usize = 16;
/// The header that this version writes, which is Apache's.
pub(crate) const HEADER: [u8; HEADER_LEN] = *b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0";
/// Bytes before a record's body.
pub(crate) const PREFIX_LEN: usize = 12;
/// What ends a record.
const END: u8 = b'B';

/// Appends a record to `out`.
pub(crate) fn encode(body: &[u8], out: &mut Vec<u8>) {
    let len = i32::try_from(body.len()).expect("a record was once a frame of at most 2 GiB");
    out.reserve(PREFIX_LEN + body.len() + 1);
    out.extend_from_slice(&u64::from(adler2::adler32_slice(body)).to_be_bytes());
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(body);
    out.push(END);
}

/// What stands at a place where a record may begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// A record with the right checksum; `len` bytes in all.
    Record { body: &'a [u8], len: usize },
    /// A zero length with a zero checksum, or no more than zeros to the end of the file.
    End,
    /// `bytes` is too short to tell, and the file has more: at least `need` bytes are wanted.
    More { need: usize },
    /// Something is there, with the wrong checksum.
    BadChecksum,
    /// Something is there that is not framed as a record: it ends too early, or not with 'B'.
    Unframed,
}

/// Reads the frame at the start of `bytes`, which is what is at hand of `rest` bytes to the end
/// of the file.
pub(crate) fn decode(bytes: &[u8], rest: u64) -> Frame<'_> {
    let whole = bytes.len() as u64 >= rest;
    let Some((prefix, tail)) = bytes.split_first_chunk::<PREFIX_LEN>() else {
        return match whole {
            false => Frame::More { need: PREFIX_LEN },
            true if bytes.iter().all(|b| *b == 0) => Frame::End,
            true => Frame::Unframed,
        };
    };
    if prefix.iter().all(|b| *b == 0) {
        return Frame::End;
    }
    let Some((sum, len)) = plausible(prefix, rest) else { return Frame::Unframed };
    let Some(body) = tail.get(..len) else { return Frame::More { need: PREFIX_LEN + len + 1 } };
    match tail.get(len) {
        None => Frame::More { need: PREFIX_LEN + len + 1 },
        // Broken on purpose, for the simulator to find: any sum will do.
        Some(&END) if adler2::adler32_slice(body) == sum || is_on(Sabotage::TornTailTaken) => {
            Frame::Record { body, len: PREFIX_LEN + len + 1 }
        }
        Some(&END) => Frame::BadChecksum,
        Some(_) => Frame::Unframed,
    }
}

/// Checksum and length of a record, when they can be those of one that ends within `rest` bytes.
fn plausible(prefix: &[u8; PREFIX_LEN], rest: u64) -> Option<(u32, usize)> {
    let (sum, len) = prefix.split_first_chunk::<8>()?;
    let sum = u32::try_from(u64::from_be_bytes(*sum)).ok()?;
    let len = u32::from_be_bytes(*len.first_chunk::<4>()?);
    let fits = u64::from(len) + (PREFIX_LEN as u64) < rest;
    let len = usize::try_from(len).ok()?;
    (fits && len >= TxnHeader::LEN).then_some((sum, len))
}

/// The zxid in a body's header.
pub(crate) fn zxid(body: &[u8]) -> Option<Zxid> {
    Some(Zxid(i64::from_be_bytes(*body.get(12..)?.first_chunk::<8>()?)))
}

/// Finds a whole record with a zxid above `after` that begins anywhere in `bytes`, which reach to
/// the end of the file. Returns its place.
pub(crate) fn find_record(bytes: &[u8], after: Zxid) -> Option<usize> {
    let mut at = 0;
    while let Some(skip) = bytes[at..].iter().position(|b| *b != 0) {
        // The checksum's upper four bytes are zero, so a record begins up to eleven bytes before
        // the first byte that is not.
        let from = (at + skip).saturating_sub(PREFIX_LEN - 1).max(at);
        for start in from..=at + skip {
            let rest = &bytes[start..];
            if let Frame::Record { body, .. } = decode(rest, rest.len() as u64)
                && zxid(body).is_some_and(|z| z > after)
            {
                return Some(start);
            }
        }
        at += skip + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(zxid: i64, fill: usize) -> Vec<u8> {
        let mut b = vec![0; TxnHeader::LEN + fill];
        b[12..20].copy_from_slice(&zxid.to_be_bytes());
        b
    }

    #[test]
    fn a_record_comes_back() {
        let mut bytes = Vec::new();
        encode(&body(5, 3), &mut bytes);
        let len = bytes.len();
        assert_eq!(decode(&bytes, len as u64), Frame::Record { body: &body(5, 3), len });
        for cut in 0..len {
            let more = decode(&bytes[..cut], len as u64);
            assert!(matches!(more, Frame::More { need } if need <= len && need > cut), "{cut}");
            let torn = decode(&bytes[..cut], cut as u64);
            // A few zero bytes may as well be the end of the file.
            let zeros = bytes[..cut].iter().all(|b| *b == 0);
            let want = if zeros { Frame::End } else { Frame::Unframed };
            assert_eq!(torn, want, "{cut}");
        }
        assert_eq!(decode(&[0; 40], 4000), Frame::End);
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let mut bytes = Vec::new();
        encode(&body(5, 3), &mut bytes);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            bad.extend_from_slice(&[0; 100]);
            let got = decode(&bad, bad.len() as u64);
            assert!(matches!(got, Frame::BadChecksum | Frame::Unframed), "bit {bit}: {got:?}");
        }
    }

    #[test]
    fn a_whole_record_is_found_behind_anything() {
        for junk in [&b""[..], &[0; 100], b"torn", &[7; 31], &[0, 0, 0, 0, 9, 0, 0, 0, 0, 0]] {
            let mut bytes = junk.to_vec();
            encode(&body(9, 1), &mut bytes);
            bytes.extend_from_slice(&[0; 50]);
            assert_eq!(find_record(&bytes, Zxid(8)), Some(junk.len()), "{junk:?}");
            assert_eq!(find_record(&bytes, Zxid(9)), None);
        }
    }
}
