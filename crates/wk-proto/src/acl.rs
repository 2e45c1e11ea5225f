//! Access control lists: who may do what to a znode.

use std::borrow::Cow;

use crate::jute::{DecodeError, JuteWrite, Reader};

/// Permission bits of an ACL entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Perms(pub i32);

impl Perms {
    /// Read data and list children.
    pub const READ: Self = Self(1);
    /// Set data.
    pub const WRITE: Self = Self(2);
    /// Create a child.
    pub const CREATE: Self = Self(4);
    /// Delete a child.
    pub const DELETE: Self = Self(8);
    /// Set the ACL.
    pub const ADMIN: Self = Self(16);
    /// All of the above.
    pub const ALL: Self = Self(31);

    /// Do these permissions have any bit of `other`?
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// An identity: a scheme and what the scheme calls somebody.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    /// `world`, `auth`, `digest`, `ip`, `super`, ...
    pub scheme: String,
    /// The scheme's own name for the identity.
    pub id: String,
}

impl Id {
    /// An identity from its two parts.
    pub fn new(scheme: &str, id: &str) -> Self {
        Self { scheme: scheme.to_owned(), id: id.to_owned() }
    }
}

/// One entry of an ACL, owned.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Acl {
    /// What is allowed.
    pub perms: Perms,
    /// To whom.
    pub id: Id,
}

impl Acl {
    /// An entry from its parts.
    pub fn new(perms: Perms, scheme: &str, id: &str) -> Self {
        Self { perms, id: Id::new(scheme, id) }
    }
}

/// One entry of an [`AclList`], borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AclRef<'a> {
    /// What is allowed.
    pub perms: Perms,
    /// The scheme of the identity.
    pub scheme: &'a str,
    /// The scheme's own name for the identity.
    pub id: &'a str,
}

impl AclRef<'_> {
    /// An owned copy.
    pub fn to_owned(&self) -> Acl {
        Acl::new(self.perms, self.scheme, self.id)
    }
}

/// The encoding of `world:anyone` with all permissions, the list of nearly every znode.
const OPEN: &[u8] = b"\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone";

/// A whole ACL, kept as the jute vector that it is on the wire and on disk.
///
/// Layout: `count: i32` (-1: null), then `count` times `{perms: i32, scheme: string, id: string}`.
/// The bytes are checked when the list is made, so reading it cannot fail. Two lists are equal when
/// their bytes are, so the bytes serve as the key of the ACL table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AclList<'a>(Cow<'a, [u8]>);

impl<'a> AclList<'a> {
    /// `world:anyone` with all permissions.
    pub fn open() -> AclList<'static> {
        AclList(Cow::Borrowed(OPEN))
    }

    /// The null vector, which no znode may have.
    pub fn null() -> AclList<'static> {
        AclList(Cow::Borrowed(&[0xff; 4]))
    }

    /// Reads and checks a list.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let start = r.rest();
        let n = r.count(12)?.unwrap_or(0);
        for _ in 0..n {
            r.i32()?;
            r.string()?;
            r.string()?;
        }
        let len = start.len() - r.rest().len();
        Ok(Self(Cow::Borrowed(&start[..len])))
    }

    /// A list of these entries.
    pub fn from_entries<'e>(entries: impl IntoIterator<Item = AclRef<'e>>) -> AclList<'static> {
        let mut bytes = vec![0; 4];
        let mut count = 0_i32;
        for entry in entries {
            bytes.put_i32(entry.perms.0);
            bytes.put_string(entry.scheme);
            bytes.put_string(entry.id);
            count += 1;
        }
        bytes[..4].copy_from_slice(&count.to_be_bytes());
        AclList(Cow::Owned(bytes))
    }

    /// A list of these entries.
    pub fn from_acls(acls: &[Acl]) -> AclList<'static> {
        Self::from_entries(acls.iter().map(|a| AclRef {
            perms: a.perms,
            scheme: &a.id.scheme,
            id: &a.id.id,
        }))
    }

    /// The jute vector.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Is this `world:anyone` with all permissions?
    pub fn is_open(&self) -> bool {
        *self.0 == *OPEN
    }

    /// Has it no entry (null included)?
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = AclRef<'_>> {
        let mut r = Reader::new(&self.0);
        let mut left = r.count(12).ok().flatten().unwrap_or(0);
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let perms = Perms(r.i32().ok()?);
            Some(AclRef { perms, scheme: r.string().ok()?, id: r.string().ok()? })
        })
    }

    /// Owned entries.
    pub fn to_vec(&self) -> Vec<Acl> {
        self.iter().map(|a| a.to_owned()).collect()
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> AclList<'static> {
        AclList(Cow::Owned(self.0.into_owned()))
    }

    /// The same list, borrowed.
    pub fn borrowed(&self) -> AclList<'_> {
        AclList(Cow::Borrowed(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_is_what_it_says() {
        let list = AclList::from_acls(&[Acl::new(Perms::ALL, "world", "anyone")]);
        assert!(list.is_open());
        assert_eq!(AclList::open().to_vec(), [Acl::new(Perms::ALL, "world", "anyone")]);
        assert!(AclList::null().is_empty());
    }

    #[test]
    fn decode_takes_just_the_list() {
        let list = AclList::from_acls(&[
            Acl::new(Perms::READ, "ip", "127.0.0.1"),
            Acl::new(Perms::ALL, "digest", "u:p"),
        ]);
        let mut bytes = list.as_bytes().to_vec();
        bytes.push(7);
        let mut r = Reader::new(&bytes);
        assert_eq!(AclList::decode(&mut r), Ok(list));
        assert_eq!(r.rest(), [7]);
        assert!(AclList::decode(&mut Reader::new(&bytes[..20])).is_err());
    }
}
