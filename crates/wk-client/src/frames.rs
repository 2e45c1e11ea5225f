//! Cuts frames from a stream, and survives those that are too long to take.
//!
//! A frame over the limit is skipped, not read: its first bytes (the reply header) and its length
//! are reported, so that one huge list of children fails one call instead of the connection.

/// How much of a skipped frame is kept: a reply header.
const HEAD_LEN: usize = 16;
/// A frame longer than this is no reply of a sane server: the connection is dropped.
const SKIP_MAX: usize = 256 << 20;

/// What the stream holds next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// A whole frame.
    Frame(&'a [u8]),
    /// A frame over the limit; its rest will be skipped.
    Oversized(&'a [u8], usize),
    /// Not enough bytes yet.
    Wait,
    /// A length that no server sends.
    Garbage,
}

/// Bytes received and not yet cut.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// Where the driver appends what it reads.
    pub(crate) buf: Vec<u8>,
    at: usize,
    /// Bytes still to skip of a frame over the limit.
    skip: usize,
}

impl Frames {
    /// Takes the next frame of at most `limit` bytes off the front.
    pub(crate) fn next(&mut self, limit: usize) -> Next<'_> {
        let skipped = self.skip.min(self.buf.len() - self.at);
        self.at += skipped;
        self.skip -= skipped;
        let Some((head, rest)) = self.buf[self.at..].split_first_chunk::<4>() else {
            return Next::Wait;
        };
        let Ok(len) = usize::try_from(i32::from_be_bytes(*head)) else {
            return Next::Garbage;
        };
        if len > SKIP_MAX.max(limit) {
            return Next::Garbage;
        }
        let take = if len > limit { HEAD_LEN.min(len) } else { len };
        if rest.len() < take {
            return Next::Wait;
        }
        let start = self.at + 4;
        self.at = start + take;
        let bytes = &self.buf[start..start + take];
        if len > limit {
            self.skip = len - take;
            return Next::Oversized(bytes, len);
        }
        Next::Frame(bytes)
    }

    /// Drops what was cut; a buffer that one long frame has grown is given back.
    pub(crate) fn compact(&mut self) {
        self.buf.drain(..self.at);
        self.at = 0;
        if self.buf.is_empty() && self.buf.capacity() > 1 << 20 {
            self.buf = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize, byte: u8) -> Vec<u8> {
        let mut bytes = i32::try_from(len).expect("small").to_be_bytes().to_vec();
        bytes.resize(4 + len, byte);
        bytes
    }

    #[test]
    fn long_frame_is_skipped_and_the_next_one_found_however_the_bytes_arrive() {
        let stream: Vec<u8> = [frame(3, 1), frame(100, 2), frame(0, 0), frame(20, 3)].concat();
        for step in 1..stream.len() {
            let mut frames = Frames::default();
            let mut seen = Vec::new();
            for chunk in stream.chunks(step) {
                frames.buf.extend_from_slice(chunk);
                loop {
                    match frames.next(20) {
                        Next::Frame(bytes) => seen.push((bytes.to_vec(), bytes.len())),
                        Next::Oversized(head, len) => seen.push((head.to_vec(), len)),
                        Next::Wait => break,
                        Next::Garbage => panic!("nothing here is garbage"),
                    }
                }
                frames.compact();
            }
            let want = [(vec![1; 3], 3), (vec![2; 16], 100), (vec![], 0), (vec![3; 20], 20)];
            assert_eq!(seen, want, "step {step}");
        }
    }

    #[test]
    fn impossible_lengths_end_the_connection() {
        for len in [-1, i32::MIN, i32::MAX] {
            let mut frames = Frames { buf: len.to_be_bytes().to_vec(), ..Frames::default() };
            assert_eq!(frames.next(20), Next::Garbage);
        }
    }
}
