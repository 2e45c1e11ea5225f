//! Reads an image, ours or Apache's, as it comes in pieces.

use hashbrown::HashMap;
use wk_proto::{AclList, DecodeError, Reader, SessionId, StatPersisted};

use super::OPEN_INDEX;
use crate::acl_table::AclId;
use crate::node::{NodeId, ROOT};
use crate::tree::{Tree, TreeOptions, split};

/// Why bytes are not an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A record that is none.
    #[error("record of a snapshot: {0}")]
    Record(#[from] DecodeError),
    /// It ends before its end mark.
    #[error("snapshot ends too early")]
    Truncated,
    /// A znode whose parent did not come before it.
    #[error("znode {0} has no parent")]
    NoParent(String),
    /// A znode that came twice, or whose path is none.
    #[error("znode {0:?} is not possible here")]
    Path(String),
    /// The first znode is not the root.
    #[error("snapshot has no root")]
    NoRoot,
}

/// What one call of [`Loader::feed`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// Bytes that are done with; give the rest again, with more behind it.
    pub consumed: usize,
    /// The image is complete; what follows belongs to the store.
    pub done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    SessionCount,
    Sessions(i32),
    AclCount,
    Acls(i32),
    Root,
    Nodes,
    Done,
}

/// Builds a tree from an image that comes in pieces.
#[derive(Debug)]
pub struct Loader {
    tree: Tree,
    stage: Stage,
    /// Indexes of the image's ACL table, and ours; each holds one use until the end.
    acls: HashMap<i64, AclId, foldhash::fast::FixedState>,
    /// The parent of the last znode: most often that of the next one too.
    parent_path: String,
    parent: NodeId,
    unknown_acls: usize,
}

/// A field longer than this is damage, not data: twice the largest frame of the default limit would
/// do, but a server may have run with a larger one.
const FIELD_LEN_MAX: usize = (1 << 30) - 1;

impl Loader {
    /// A loader of an empty tree.
    pub fn new(options: TreeOptions) -> Self {
        Self {
            tree: Tree::bare(options),
            stage: Stage::SessionCount,
            acls: HashMap::default(),
            parent_path: String::new(),
            parent: ROOT,
            unknown_acls: 0,
        }
    }

    /// Takes in as many whole records as `bytes` holds.
    ///
    /// # Errors
    /// [`LoadError`] when they are not an image. Running out of bytes is not an error here.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Fed, LoadError> {
        let mut r = Reader::new(bytes);
        let mut consumed = 0;
        while self.stage != Stage::Done {
            match self.record(&mut r) {
                Ok(()) => consumed = bytes.len() - r.rest().len(),
                Err(LoadError::Record(e)) if wants_more(&e) => break,
                Err(e) => return Err(e),
            }
        }
        Ok(Fed { consumed, done: self.stage == Stage::Done })
    }

    /// Znodes whose ACL the image does not hold. Apache's images have such when an ACL came in while
    /// they were written; ours never do.
    pub fn unknown_acls(&self) -> usize {
        self.unknown_acls
    }

    /// The tree, once the image is complete.
    ///
    /// # Errors
    /// [`LoadError::Truncated`] when it is not.
    pub fn finish(mut self) -> Result<Tree, LoadError> {
        if self.stage != Stage::Done {
            return Err(LoadError::Truncated);
        }
        for acl in self.acls.values() {
            self.tree.acls.release(*acl);
        }
        self.tree.quota_load();
        Ok(self.tree)
    }

    fn record(&mut self, r: &mut Reader<'_>) -> Result<(), LoadError> {
        self.stage = match self.stage {
            Stage::SessionCount => Stage::Sessions(r.i32()?),
            Stage::Sessions(left) if left > 0 => {
                let id = SessionId(r.i64()?);
                let timeout = r.i32()?;
                self.tree.sessions.insert(id, timeout);
                Stage::Sessions(left - 1)
            }
            Stage::Sessions(_) => Stage::AclCount,
            Stage::AclCount => Stage::Acls(r.i32()?),
            Stage::Acls(left) if left > 0 => {
                let index = r.i64()?;
                let list = AclList::decode(r)?;
                let id = self.tree.acls.acquire(&list);
                if let Some(old) = self.acls.insert(index, id) {
                    self.tree.acls.release(old);
                }
                Stage::Acls(left - 1)
            }
            Stage::Acls(_) => Stage::Root,
            Stage::Root => match r.string()? {
                "" => {
                    self.node("", r)?;
                    Stage::Nodes
                }
                _ => return Err(LoadError::NoRoot),
            },
            Stage::Nodes => match r.string()? {
                "/" => Stage::Done,
                "" => return Err(bad_path("")),
                path => {
                    self.node(path, r)?;
                    Stage::Nodes
                }
            },
            Stage::Done => Stage::Done,
        };
        Ok(())
    }

    fn node(&mut self, path: &str, r: &mut Reader<'_>) -> Result<(), LoadError> {
        let data = r.buffer()?;
        let index = r.i64()?;
        let stat = StatPersisted::decode(r)?;
        if path.is_empty() {
            let acl = self.acl(index);
            self.tree.insert_root(data, acl, &stat);
            return Ok(());
        }
        let (parent_path, name) =
            split(path).filter(|_| path.starts_with('/')).ok_or_else(|| bad_path(path))?;
        if self.parent_path != parent_path {
            self.parent = self
                .tree
                .lookup(parent_path)
                .ok_or_else(|| LoadError::NoParent(path.to_owned()))?;
            self.parent_path.clear();
            self.parent_path.push_str(parent_path);
        }
        if self.tree.child(self.parent, name.as_bytes()).is_some() {
            return Err(bad_path(path));
        }
        let acl = self.acl(index);
        self.tree.insert(path, self.parent, name, data, acl, &stat);
        Ok(())
    }

    /// One use of the ACL behind an index. One that is not in the table came in while the snapshot
    /// was being written: the txn that brought it is replayed and sets it.
    fn acl(&mut self, index: i64) -> AclId {
        let id = match self.acls.get(&index) {
            Some(id) => *id,
            None if index == OPEN_INDEX => AclId::OPEN,
            // Its ACL came in after the image began, and the log will say which it is. Should the
            // log lack that, nobody must get at what somebody protected.
            None => {
                self.unknown_acls += 1;
                return self.tree.acls.acquire(&super::shut());
            }
        };
        self.tree.acls.acquire_again(id);
        id
    }
}

fn wants_more(e: &DecodeError) -> bool {
    match e {
        DecodeError::Truncated => true,
        DecodeError::Length(len) => usize::try_from(*len).is_ok_and(|len| len <= FIELD_LEN_MAX),
        DecodeError::NotUtf8 | DecodeError::Unknown { .. } | DecodeError::Null => false,
    }
}

fn bad_path(path: &str) -> LoadError {
    LoadError::Path(path.to_owned())
}

/// Reads a whole image at once; also returns what follows it.
///
/// # Errors
/// [`LoadError`] when the bytes are not an image, or only a part of one.
pub fn load(bytes: &[u8], options: TreeOptions) -> Result<(Tree, &[u8]), LoadError> {
    let mut loader = Loader::new(options);
    let fed = loader.feed(bytes)?;
    Ok((loader.finish()?, &bytes[fed.consumed..]))
}
