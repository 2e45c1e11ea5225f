//! Several operations in one packet: writes that happen all or not at all, and reads side by side.

use wk_proto::client::request::{CreateRequest, Request};
use wk_proto::client::response::{OpResult, decode_multi};
use wk_proto::{AclList, DecodeError, ErrorCode, OpCode, Reader, Stat};

use crate::client::{Client, CreateOptions, Data, Znode, create_op};
use crate::driver::strip;
use crate::error::Error;

/// An atomic group of writes; see [`Client::multi`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Multi {
    ops: Vec<Op>,
}

#[derive(Clone, Debug)]
enum Op {
    Create { path: String, data: Option<Vec<u8>>, options: CreateOptions },
    Delete { path: String, version: Option<i32> },
    Set { path: String, data: Option<Vec<u8>>, version: Option<i32> },
    Check { path: String, version: Option<i32> },
}

impl Op {
    fn path(&self) -> &str {
        match self {
            Self::Create { path, .. }
            | Self::Delete { path, .. }
            | Self::Set { path, .. }
            | Self::Check { path, .. } => path,
        }
    }
}

/// What one operation of a successful [`Multi`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpOutcome {
    /// The znode's final path and its stat.
    Created(String, Stat),
    /// Deleted.
    Deleted,
    /// The stat afterwards.
    Set(Stat),
    /// The version was as expected.
    Checked,
}

/// Why a [`Multi`] did nothing, or may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultiError {
    /// This operation failed, so that none was applied.
    #[error("operation {index} of the multi: {code}")]
    Op {
        /// Its place, from 0.
        index: usize,
        /// Why it failed.
        code: ErrorCode,
    },
    /// The request as a whole failed.
    #[error(transparent)]
    Request(#[from] Error),
}

impl Multi {
    /// An empty group, which succeeds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a create.
    pub fn create<'d>(
        mut self,
        path: &str,
        data: impl Into<Data<'d>>,
        options: impl Into<CreateOptions>,
    ) -> Self {
        let data = data.into().0.map(<[u8]>::to_vec);
        self.ops.push(Op::Create { path: path.to_owned(), data, options: options.into() });
        self
    }

    /// Adds a delete.
    pub fn delete(mut self, path: &str, version: Option<i32>) -> Self {
        self.ops.push(Op::Delete { path: path.to_owned(), version });
        self
    }

    /// Adds a set.
    pub fn set<'d>(mut self, path: &str, data: impl Into<Data<'d>>, version: Option<i32>) -> Self {
        let data = data.into().0.map(<[u8]>::to_vec);
        self.ops.push(Op::Set { path: path.to_owned(), data, version });
        self
    }

    /// Adds a check; without a version, that the znode exists.
    pub fn check(mut self, path: &str, version: Option<i32>) -> Self {
        self.ops.push(Op::Check { path: path.to_owned(), version });
        self
    }
}

/// Reads that travel together; see [`Client::multi_read`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct MultiRead {
    ops: Vec<(OpCode, String)>,
}

/// The answer to one read of a [`MultiRead`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Data and stat.
    Znode(Znode),
    /// Names of the children.
    Children(Vec<String>),
}

impl MultiRead {
    /// No reads.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a read of data and stat.
    pub fn get(mut self, path: &str) -> Self {
        self.ops.push((OpCode::GetData, path.to_owned()));
        self
    }

    /// Adds a read of the children's names.
    pub fn children(mut self, path: &str) -> Self {
        self.ops.push((OpCode::GetChildren, path.to_owned()));
        self
    }
}

impl Client {
    /// Applies all of the operations or none, in order, under one zxid.
    ///
    /// # Errors
    /// [`MultiError::Op`] names the operation that failed; nothing was applied. A
    /// [`MultiError::Request`] may be ambiguous, as any write.
    pub async fn multi(&self, multi: Multi) -> Result<Vec<OpOutcome>, MultiError> {
        let paths: Vec<String> = multi
            .ops
            .iter()
            .map(|op| match op {
                Op::Create { options, .. } => self.create_path(op.path(), options.mode),
                Op::Delete { .. } | Op::Set { .. } | Op::Check { .. } => self.full_path(op.path()),
            })
            .collect::<Result<_, Error>>()?;
        let ops = multi.ops.iter().zip(&paths).map(|(op, path)| request(op, path)).collect();
        let mut body = Vec::new();
        Request::Multi(ops).encode(&mut body);
        let reply = self.call(OpCode::Multi, body, None).await?;
        let mut reader = Reader::new(&reply.body);
        let results = decode_multi(&mut reader).map_err(Error::from)?;
        if let Some((index, code)) = first_error(&results) {
            return Err(code.map_or_else(
                |code| MultiError::Request(Error::UnknownCode(code)),
                |code| MultiError::Op { index, code },
            ));
        }
        Ok(results.iter().map(|result| outcome(self.chroot(), result)).collect())
    }

    /// Reads several znodes by one request. Each read succeeds or fails by itself.
    ///
    /// # Errors
    /// When the request as a whole fails; `Unimplemented` from servers before 3.6.
    pub async fn multi_read(
        &self,
        reads: MultiRead,
    ) -> Result<Vec<Result<ReadOutcome, ErrorCode>>, Error> {
        let paths: Vec<String> =
            reads.ops.iter().map(|(_, path)| self.full_path(path)).collect::<Result<_, Error>>()?;
        let ops = reads.ops.iter().zip(&paths);
        let ops = ops.map(|((op, _), path)| Request::Read { op: *op, path, watch: false });
        let mut body = Vec::new();
        Request::MultiRead(ops.collect()).encode(&mut body);
        let reply = self.call(OpCode::MultiRead, body, None).await?;
        let results = decode_multi(&mut Reader::new(&reply.body))?;
        results.into_iter().map(read_outcome).collect()
    }
}

fn request<'a>(op: &'a Op, path: &'a str) -> Request<'a> {
    match op {
        Op::Create { data, options, .. } => {
            // Plain creates answer with the path alone; the stat is worth its 68 bytes.
            let code = create_op(options.mode);
            let create = CreateRequest {
                path,
                data: data.as_deref(),
                acl: AclList::from_acls(&options.acl),
                flags: options.mode.flags(),
                ttl: options.ttl_millis(),
            };
            Request::Create(code, create)
        }
        Op::Delete { version, .. } => Request::Delete { path, version: version.unwrap_or(-1) },
        Op::Set { data, version, .. } => {
            Request::SetData { path, data: data.as_deref(), version: version.unwrap_or(-1) }
        }
        Op::Check { version, .. } => Request::Check { path, version: version.unwrap_or(-1) },
    }
}

/// The operation that made a multi fail: the others report 0 before it and -2 after it.
fn first_error(results: &[OpResult<'_>]) -> Option<(usize, Result<ErrorCode, i32>)> {
    let errors = results.iter().enumerate().filter_map(|(index, result)| match result {
        OpResult::Error { code } => Some((index, *code)),
        OpResult::Create { .. }
        | OpResult::Create2 { .. }
        | OpResult::Delete
        | OpResult::SetData { .. }
        | OpResult::Check
        | OpResult::GetData { .. }
        | OpResult::GetChildren { .. } => None,
    });
    let failed = errors.filter(|(_, code)| *code != 0);
    let mut failed: Vec<(usize, i32)> = failed.collect();
    failed.sort_by_key(|(index, code)| (*code == ErrorCode::RuntimeInconsistency.code(), *index));
    let (index, code) = failed.first()?;
    Some((*index, ErrorCode::from_code(*code).ok_or(*code)))
}

fn outcome(chroot: &str, result: &OpResult<'_>) -> OpOutcome {
    match result {
        OpResult::Create { path } => {
            OpOutcome::Created(strip(chroot, path).to_owned(), Stat::default())
        }
        OpResult::Create2 { path, stat } => {
            OpOutcome::Created(strip(chroot, path).to_owned(), *stat)
        }
        OpResult::Delete => OpOutcome::Deleted,
        OpResult::SetData { stat } => OpOutcome::Set(*stat),
        // The rest cannot come: reads are not in a multi, and errors were looked for before.
        OpResult::Check
        | OpResult::GetData { .. }
        | OpResult::GetChildren { .. }
        | OpResult::Error { .. } => OpOutcome::Checked,
    }
}

fn read_outcome(result: OpResult<'_>) -> Result<Result<ReadOutcome, ErrorCode>, Error> {
    Ok(match result {
        OpResult::GetData { data, stat } => {
            Ok(ReadOutcome::Znode(Znode { data: data.map(<[u8]>::to_vec), stat }))
        }
        OpResult::GetChildren { names } => {
            Ok(ReadOutcome::Children(names.into_iter().map(str::to_owned).collect()))
        }
        OpResult::Error { code } => {
            Err(ErrorCode::from_code(code).ok_or(Error::UnknownCode(code))?)
        }
        // Writes are not in a multiRead.
        OpResult::Create { .. }
        | OpResult::Create2 { .. }
        | OpResult::Delete
        | OpResult::SetData { .. }
        | OpResult::Check => return Err(Error::Malformed(DecodeError::Null)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_operation_is_told_from_those_around_it() {
        let results = [0, -101, -2].map(|code| OpResult::Error { code });
        assert_eq!(first_error(&results), Some((1, Ok(ErrorCode::NoNode))));
    }
}
