//! The shell: one verb a file, all of them clients of any ZooKeeper server.

pub(crate) mod connection;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod ls;
pub(crate) mod member;
pub(crate) mod output;
pub(crate) mod set;
pub(crate) mod stat;
pub(crate) mod text;
pub(crate) mod watch;
