//! The two compressions of snapshot files: gzip, and snappy in the framing of snappy-java.
//!
//! ```text
//! snappy header  0x82 "SNAPPY" 0 | version i32 = 1 | oldest reader i32 = 1
//! block          length i32 | a raw snappy block of up to 32 KiB       repeated to the end
//! ```
//! Seals and lengths of a snapshot count what is inside: a compressed file is a plain one, packed.

use std::io::{self, Read, Write};

use flate2::Compression as Level;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

/// What the name of a gzip file ends with, and what the file begins with.
const GZIP: (&str, &[u8]) = (".gz", &[0x1f, 0x8b]);
const SNAPPY: (&str, &[u8]) = (".snappy", b"\x82SNAPPY\0");
const SNAPPY_VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
/// What snappy-java puts into a block.
const BLOCK: usize = 32 << 10;
/// The longest block that is read, packed or not; other writers may choose larger ones.
const BLOCK_MAX: usize = 16 << 20;

/// How a snapshot is packed (`snapshot.compression.method`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip: smaller, slower.
    Gzip,
    /// snappy: larger, faster.
    Snappy,
}

impl Compression {
    /// What follows the zxid in the file's name.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => GZIP.0,
            Self::Snappy => SNAPPY.0,
        }
    }

    /// How the file of this name is packed. Apache, too, looks at the name alone.
    pub(crate) fn of_name(name: &str) -> Self {
        let all = [Self::Gzip, Self::Snappy];
        all.into_iter().find(|one| name.ends_with(one.extension())).unwrap_or_default()
    }

    /// Does a file begin as one packed so?
    pub(crate) fn begins(self, head: &[u8]) -> bool {
        match self {
            Self::None => !Self::Gzip.begins(head) && !Self::Snappy.begins(head),
            Self::Gzip => head.starts_with(GZIP.1),
            Self::Snappy => head.starts_with(SNAPPY.1),
        }
    }
}

/// Packs bytes as they come.
#[derive(Debug)]
pub(super) enum Packer {
    None,
    Gzip(GzEncoder<Vec<u8>>),
    Snappy { encoder: Box<snap::raw::Encoder>, begun: bool, block: Vec<u8> },
}

impl Packer {
    pub(super) fn new(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::None,
            Compression::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Level::default())),
            Compression::Snappy => {
                let block = Vec::with_capacity(BLOCK);
                Self::Snappy { encoder: Box::new(snap::raw::Encoder::new()), begun: false, block }
            }
        }
    }

    /// Adds bytes; what is packed is appended to `out`.
    pub(super) fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::None => out.extend_from_slice(bytes),
            Self::Gzip(encoder) => {
                encoder.write_all(bytes)?;
                out.append(encoder.get_mut());
            }
            Self::Snappy { encoder, begun, block } => {
                while block.len() + bytes.len() >= BLOCK {
                    let (now, later) = bytes.split_at(BLOCK - block.len());
                    block.extend_from_slice(now);
                    put_block(encoder, begun, block, out)?;
                    bytes = later;
                }
                block.extend_from_slice(bytes);
            }
        }
        Ok(())
    }

    /// Appends what is still to come.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Gzip(encoder) => {
                encoder.try_finish()?;
                out.append(encoder.get_mut());
                Ok(())
            }
            Self::Snappy { encoder, begun, block } => {
                if block.is_empty() {
                    Ok(())
                } else {
                    put_block(encoder, begun, block, out)
                }
            }
        }
    }
}

fn put_block(
    encoder: &mut snap::raw::Encoder,
    begun: &mut bool,
    block: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    if !std::mem::replace(begun, true) {
        out.extend_from_slice(SNAPPY.1);
        out.extend_from_slice(&SNAPPY_VERSIONS);
    }
    let packed = encoder.compress_vec(block).map_err(io::Error::other)?;
    let len = u32::try_from(packed.len()).map_err(io::Error::other)?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&packed);
    block.clear();
    Ok(())
}

/// The bytes inside a packed file.
pub(super) fn unpack<'f, R: io::BufRead + 'f>(
    compression: Compression,
    file: R,
) -> Box<dyn Read + 'f> {
    match compression {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(MultiGzDecoder::new(file)),
        Compression::Snappy => Box::new(Blocks::new(file)),
    }
}

/// Reads the blocks of snappy-java.
struct Blocks<R> {
    file: R,
    begun: bool,
    packed: Vec<u8>,
    block: Vec<u8>,
    at: usize,
}

impl<R: Read> Blocks<R> {
    fn new(file: R) -> Self {
        Self { file, begun: false, packed: Vec::new(), block: Vec::new(), at: 0 }
    }

    fn head(&mut self) -> io::Result<()> {
        let mut head = [0; SNAPPY.1.len() + SNAPPY_VERSIONS.len()];
        self.file.read_exact(&mut head)?;
        let (magic, versions) = head.split_at(SNAPPY.1.len());
        if magic != SNAPPY.1 || versions != SNAPPY_VERSIONS {
            return Err(damaged("a header of snappy-java is not there"));
        }
        Ok(())
    }

    /// Unpacks the next block. False: the file ends here.
    fn next(&mut self) -> io::Result<bool> {
        let mut len = [0; 4];
        let first = loop {
            match self.file.read(&mut len) {
                Ok(got) => break got,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        };
        if first == 0 {
            return Ok(false);
        }
        self.file.read_exact(&mut len[first..])?;
        let len = u32::from_be_bytes(len) as usize;
        if len > BLOCK_MAX {
            return Err(damaged("a block of snappy is too long"));
        }
        self.packed.clear();
        // Memory only for what is there.
        let got = self.file.by_ref().take(len as u64).read_to_end(&mut self.packed)?;
        if got < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let unpacked = snap::raw::decompress_len(&self.packed).map_err(io::Error::other)?;
        if unpacked > BLOCK_MAX {
            return Err(damaged("a block of snappy is too long"));
        }
        self.block.resize(unpacked, 0);
        let decoded = snap::raw::Decoder::new().decompress(&self.packed, &mut self.block);
        decoded.map_err(io::Error::other)?;
        self.at = 0;
        Ok(true)
    }
}

impl<R: Read> Read for Blocks<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if !self.begun {
            self.head()?;
            self.begun = true;
        }
        while self.at == self.block.len() {
            if !self.next()? {
                return Ok(0);
            }
        }
        let len = buf.len().min(self.block.len() - self.at);
        buf[..len].copy_from_slice(&self.block[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(compression: Compression, pieces: &[Vec<u8>]) -> Vec<u8> {
        let (mut packer, mut out) = (Packer::new(compression), Vec::new());
        for piece in pieces {
            packer.push(piece, &mut out).unwrap();
        }
        packer.end(&mut out).unwrap();
        out
    }

    proptest! {
        #[test]
        fn prop_what_is_packed_comes_back(
            pieces in proptest::collection::vec((any::<u8>(), 0..90_000_usize), 1..5),
        ) {
            let pieces: Vec<Vec<u8>> = pieces.into_iter().map(|(b, len)| vec![b; len]).collect();
            let whole = pieces.concat();
            prop_assume!(!whole.is_empty());
            for compression in [Compression::None, Compression::Gzip, Compression::Snappy] {
                let file = packed(compression, &pieces);
                prop_assert!(compression.begins(&file));
                let mut back = Vec::new();
                unpack(compression, &file[..]).read_to_end(&mut back).unwrap();
                prop_assert_eq!(&back, &whole);
            }
        }

        #[test]
        fn prop_bytes_that_are_none_end_in_an_error_or_an_end(bytes: Vec<u8>, snappy: bool) {
            let head: &[u8] =
                if snappy { b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01" } else { b"\x1f\x8b\x08" };
            let file = [head, &bytes].concat();
            let compression = if snappy { Compression::Snappy } else { Compression::Gzip };
            let _ = unpack(compression, &file[..]).read_to_end(&mut Vec::new());
        }
    }

    #[test]
    fn lengths_that_lie_take_no_memory() {
        for lie in [&[0x7f, 0xff, 0xff, 0xff][..], &[0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x0f]] {
            let file = [b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01", lie].concat();
            let err = unpack(Compression::Snappy, &file[..]).read_to_end(&mut Vec::new());
            assert!(err.unwrap_err().to_string().contains("too long"), "{lie:?}");
        }
    }
}
