//! Passing over a snapshot in the stream: it has no length, so its fields must be walked.
//!
//! Sessions, ACL table, znodes in pre-order, the path `/` as the end, a signature
//! (`SerializeUtils.serializeSnapshot`, `DataTree.serialize`, 3.9). Whatever its size, what is kept
//! is a few counters.

use crate::jute::DecodeError;

/// What stands after the last znode.
const SIGNATURE: &[u8; 10] = b"BenWasHere";
/// Session id and timeout.
const SESSION_LEN: u64 = 12;
/// The ACL's number, then StatPersisted.
const ZNODE_TAIL_LEN: u64 = 8 + 60;

/// How far [`SnapshotSkipper::skip`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// All bytes belong to the snapshot, and more will.
    All,
    /// The snapshot ended after so many of them.
    End(usize),
}

/// The number that is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Sessions,
    Acls,
    AclEntries,
    Scheme,
    Name,
    Path,
    Data,
    Signature,
    SignatureText,
    Done,
}

/// Walks over a snapshot, in pieces of any size.
#[derive(Clone, Debug)]
pub struct SnapshotSkipper {
    field: Field,
    /// Bytes to pass over before the next number.
    skip: u64,
    /// The piece that is being gathered.
    piece: [u8; 10],
    gathered: usize,
    acls_left: i32,
    entries_left: i32,
    znodes: u64,
}

impl Default for SnapshotSkipper {
    fn default() -> Self {
        Self {
            field: Field::Sessions,
            skip: 0,
            piece: [0; 10],
            gathered: 0,
            acls_left: 0,
            entries_left: 0,
            znodes: 0,
        }
    }
}

impl SnapshotSkipper {
    /// Znodes passed so far.
    pub fn znodes(&self) -> u64 {
        self.znodes
    }

    /// Passes over `bytes`.
    ///
    /// # Errors
    /// [`DecodeError`] when this is no snapshot: close the connection.
    pub fn skip(&mut self, bytes: &[u8]) -> Result<Skipped, DecodeError> {
        let mut at = 0;
        loop {
            if self.field == Field::Done {
                return Ok(Skipped::End(at));
            }
            let left = bytes.len() - at;
            let passed = usize::try_from(self.skip).unwrap_or(usize::MAX).min(left);
            self.skip -= passed as u64;
            at += passed;
            let need = if self.field == Field::SignatureText { SIGNATURE.len() } else { 4 };
            let taken = (need - self.gathered).min(bytes.len() - at);
            if taken == 0 {
                return Ok(Skipped::All);
            }
            self.piece[self.gathered..][..taken].copy_from_slice(&bytes[at..at + taken]);
            self.gathered += taken;
            at += taken;
            if self.gathered == need {
                self.gathered = 0;
                self.take_piece()?;
            }
        }
    }

    fn take_piece(&mut self) -> Result<(), DecodeError> {
        if self.field == Field::SignatureText {
            self.field = Field::Done;
            let right = self.piece == *SIGNATURE;
            return if right { Ok(()) } else { Err(DecodeError::NotUtf8) };
        }
        let [a, b, c, d, ..] = self.piece;
        let number = i32::from_be_bytes([a, b, c, d]);
        if number < -1 {
            return Err(DecodeError::Length(number));
        }
        // Null is as long as nothing.
        let len = u64::try_from(number).unwrap_or(0);
        match self.field {
            Field::Sessions => self.go(len * SESSION_LEN, Field::Acls),
            Field::Acls => {
                self.acls_left = number.max(0);
                self.next_acl();
            }
            Field::AclEntries => {
                self.entries_left = number.max(0);
                self.next_entry();
            }
            Field::Scheme => self.go(len, Field::Name),
            Field::Name => {
                self.next_entry();
                self.skip += len;
            }
            // The root has an empty path; no other znode's path is shorter than two.
            Field::Path if number == 1 => self.go(1, Field::Signature),
            Field::Path => self.go(len, Field::Data),
            Field::Data => {
                self.znodes += 1;
                self.go(len + ZNODE_TAIL_LEN, Field::Path);
            }
            Field::Signature if len == SIGNATURE.len() as u64 => self.go(0, Field::SignatureText),
            Field::Signature | Field::SignatureText | Field::Done => {
                return Err(DecodeError::Length(number));
            }
        }
        Ok(())
    }

    fn go(&mut self, skip: u64, field: Field) {
        self.skip = skip;
        self.field = field;
    }

    fn next_acl(&mut self) {
        if self.acls_left == 0 {
            return self.go(0, Field::Path);
        }
        self.acls_left -= 1;
        self.go(8, Field::AclEntries);
    }

    fn next_entry(&mut self) {
        if self.entries_left == 0 {
            return self.next_acl();
        }
        self.entries_left -= 1;
        self.go(4, Field::Scheme);
    }
}
