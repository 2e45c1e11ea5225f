//! The jute encoding: big-endian numbers, length-prefixed strings, buffers and vectors.
//!
//! A length of -1 is null, which is not the same as empty. Decoders borrow; a declared length is
//! checked against the bytes that are there before anything is allocated.

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The record ends inside a field.
    #[error("record ends inside a field")]
    Truncated,
    /// A negative length other than -1, or one beyond the end of the record.
    #[error("length {0} is not possible here")]
    Length(i32),
    /// A string is not UTF-8.
    #[error("string is not UTF-8")]
    NotUtf8,
    /// A number that no rule knows: an operation, a mode, a type.
    #[error("unknown {what} {value}")]
    Unknown {
        /// What kind of number it is.
        what: &'static str,
        /// The number itself.
        value: i32,
    },
    /// A vector or a buffer is null where the record needs one.
    #[error("null where a value is needed")]
    Null,
}

/// Reads fields off the front of a record.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader over a whole record.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes the next `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// A 32-bit number.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    /// A 64-bit number.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    /// One byte; any but zero is true.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        self.array::<1>().map(|[b]| b != 0)
    }

    /// A buffer; `None` is null.
    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.i32()? {
            -1 => Ok(None),
            len => {
                let n = usize::try_from(len).map_err(|_| DecodeError::Length(len))?;
                if n > self.rest.len() {
                    return Err(DecodeError::Length(len));
                }
                self.bytes(n).map(Some)
            }
        }
    }

    /// A string; `None` is null.
    pub fn string_or_null(&mut self) -> Result<Option<&'a str>, DecodeError> {
        self.buffer()?.map(|b| std::str::from_utf8(b).map_err(|_| DecodeError::NotUtf8)).transpose()
    }

    /// A string; null reads as empty, which some clients send for it.
    pub fn string(&mut self) -> Result<&'a str, DecodeError> {
        Ok(self.string_or_null()?.unwrap_or_default())
    }

    /// The count of a vector whose items take at least `item_len_min` bytes each; `None` is null.
    pub fn count(&mut self, item_len_min: usize) -> Result<Option<usize>, DecodeError> {
        match self.i32()? {
            -1 => Ok(None),
            count => {
                let n = usize::try_from(count).map_err(|_| DecodeError::Length(count))?;
                if n.saturating_mul(item_len_min) > self.rest.len() {
                    return Err(DecodeError::Length(count));
                }
                Ok(Some(n))
            }
        }
    }

    /// A vector of strings; null reads as empty.
    pub fn strings(&mut self) -> Result<Vec<&'a str>, DecodeError> {
        let n = self.count(4)?.unwrap_or(0);
        (0..n).map(|_| self.string()).collect()
    }
}

/// Appends jute fields to a buffer.
pub trait JuteWrite {
    /// Raw bytes, without a length.
    fn put_bytes(&mut self, bytes: &[u8]);

    /// A 32-bit number.
    fn put_i32(&mut self, v: i32) {
        self.put_bytes(&v.to_be_bytes());
    }

    /// A 64-bit number.
    fn put_i64(&mut self, v: i64) {
        self.put_bytes(&v.to_be_bytes());
    }

    /// A truth value, one byte.
    fn put_bool(&mut self, v: bool) {
        self.put_bytes(&[u8::from(v)]);
    }

    /// A length or a count. What is written was once read from a frame or a file, so it fits;
    /// should it not, the largest length makes every reader refuse the record.
    fn put_len(&mut self, len: usize) {
        self.put_i32(i32::try_from(len).unwrap_or(i32::MAX));
    }

    /// A buffer; `None` is null.
    fn put_buffer(&mut self, v: Option<&[u8]>) {
        match v {
            None => self.put_i32(-1),
            Some(bytes) => {
                self.put_len(bytes.len());
                self.put_bytes(bytes);
            }
        }
    }

    /// A string.
    fn put_string(&mut self, v: &str) {
        self.put_buffer(Some(v.as_bytes()));
    }

    /// A vector of strings.
    fn put_strings<S: AsRef<str>>(&mut self, v: &[S]) {
        self.put_len(v.len());
        for s in v {
            self.put_string(s.as_ref());
        }
    }
}

impl JuteWrite for Vec<u8> {
    fn put_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_empty_differ() {
        let mut out = Vec::new();
        out.put_buffer(None);
        out.put_buffer(Some(b""));
        let mut r = Reader::new(&out);
        assert_eq!(r.buffer(), Ok(None));
        assert_eq!(r.buffer(), Ok(Some(&b""[..])));
        assert!(r.rest().is_empty());
    }

    #[test]
    fn impossible_lengths_are_refused_before_anything_is_allocated() {
        for len in [-2, i32::MIN, 5, i32::MAX] {
            let mut out = Vec::new();
            out.put_i32(len);
            out.put_bytes(b"abcd");
            assert_eq!(Reader::new(&out).buffer(), Err(DecodeError::Length(len)));
            assert_eq!(Reader::new(&out).count(1), Err(DecodeError::Length(len)));
        }
        assert_eq!(Reader::new(&[0, 0]).i32(), Err(DecodeError::Truncated));
    }

    #[test]
    fn strings_must_be_utf8() {
        assert_eq!(Reader::new(&[0, 0, 0, 1, 0xff]).string(), Err(DecodeError::NotUtf8));
    }
}
