//! Frames: every packet after its length.

use crate::jute::JuteWrite;

/// Default of `jute.maxbuffer`: the largest frame that a server takes.
pub const MAX_FRAME_DEFAULT: u32 = 0xf_ffff;

/// Why a frame is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is negative or above the limit: close the connection, as Apache does.
    #[error("frame length {len} is not between 0 and {max}")]
    Length {
        /// The announced length.
        len: i32,
        /// The limit (`jute.maxbuffer`).
        max: u32,
    },
}

/// Splits one frame off the front of `buf`.
///
/// Layout: `len: i32` (big endian, bytes that follow), then `len` bytes. Returns `Ok(None)` when
/// `buf` does not hold a whole frame yet: call again with more.
///
/// # Errors
/// [`FrameError::Length`] when `len` is negative or above `max`.
pub fn split<'a>(buf: &mut &'a [u8], max: u32) -> Result<Option<&'a [u8]>, FrameError> {
    let Some((head, rest)) = buf.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let len = i32::from_be_bytes(*head);
    let n = u32::try_from(len).ok().filter(|n| *n <= max).ok_or(FrameError::Length { len, max })?;
    let Some((frame, rest)) = rest.split_at_checked(n as usize) else {
        return Ok(None);
    };
    *buf = rest;
    Ok(Some(frame))
}

/// Begins a frame: leaves room for its length. Give the result to [`end`].
pub fn begin(out: &mut Vec<u8>) -> usize {
    out.put_i32(0);
    out.len()
}

/// Ends the frame that [`begin`] began: fills in its length.
pub fn end(out: &mut [u8], start: usize) {
    let len = i32::try_from(out.len() - start).unwrap_or(i32::MAX);
    out[start - 4..start].copy_from_slice(&len.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_split_one_by_one() {
        let mut out = Vec::new();
        for text in ["ab", ""] {
            let at = begin(&mut out);
            out.put_bytes(text.as_bytes());
            end(&mut out, at);
        }
        out.put_bytes(&[0, 0]);
        let mut buf = &out[..];
        assert_eq!(split(&mut buf, 9), Ok(Some(&b"ab"[..])));
        assert_eq!(split(&mut buf, 9), Ok(Some(&b""[..])));
        assert_eq!(split(&mut buf, 9), Ok(None));
        assert_eq!(buf, [0, 0]);
    }

    #[test]
    fn bad_lengths_are_refused() {
        for len in [-1, 10, i32::MIN, i32::MAX] {
            let bytes = len.to_be_bytes();
            assert_eq!(split(&mut &bytes[..], 9), Err(FrameError::Length { len, max: 9 }));
        }
        assert_eq!(split(&mut &[0, 0, 0, 9, 1][..], 9), Ok(None));
    }
}
