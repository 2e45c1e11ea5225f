//! The async client against a small server of its own, over in-memory streams and paused time: no
//! sockets, no sleeping, the same result every run.

mod fake;
mod reconnect;
mod requests;
mod watches;
