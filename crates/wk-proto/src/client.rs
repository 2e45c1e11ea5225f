//! The client protocol: frames, the handshake, requests, replies and watch events.

pub mod connect;
pub mod frame;
pub mod request;
pub mod response;

pub use connect::{ConnectRequest, ConnectResponse};
pub use request::{CreateMode, CreateRequest, Request, RequestHeader, WatchMode, WatcherType};
pub use response::{EventType, KeeperState, OpResult, ReplyHeader, WatcherEvent};
