//! The reaper: containers that lost their last child, and TTL znodes that outlived their time.
//!
//! Every `reap_interval` the candidates are listed; they are deleted one by one, spaced so that
//! `reap_per_minute_max` holds (`ContainerManager`, 3.9). The delete is a write like any other and
//! fails harmlessly if the znode got a child meanwhile.

use std::collections::VecDeque;
use std::time::Duration;

use wk_proto::client::Request;
use wk_proto::{Mono, SessionId, Xid};

use crate::config::NodeConfig;
use crate::input::{Now, Out};
use crate::node::Node;
use crate::writes::Origin;

/// What is to be deleted, and when to look next.
#[derive(Debug)]
pub(crate) struct Reaper {
    next: Mono,
    waiting: VecDeque<String>,
}

impl Reaper {
    pub(crate) fn new(now: Mono, config: &NodeConfig) -> Self {
        Self { next: now.after(config.reap_interval), waiting: VecDeque::new() }
    }

    pub(crate) fn next_timeout(&self) -> Mono {
        self.next
    }
}

impl Node {
    /// Deletes the next candidate, or lists them anew.
    pub(crate) fn reap(&mut self, now: Now, out: &mut Out) {
        if now.mono < self.reaper.next {
            return;
        }
        if self.reaper.waiting.is_empty() {
            let max = self.config.reap_per_minute_max as usize;
            self.reaper.waiting = self.tree.reapable(now.wall, max).into();
        }
        // Since it was listed it may have been set, or deleted and made again as something else.
        if self.log_ok
            && let Some(path) = self.reaper.waiting.pop_front()
            && self.tree.is_reapable(&path, now.wall)
        {
            let request = Request::DeleteContainer { path: &path };
            self.propose(now, SessionId::NONE, Xid(0), Ok(&request), Origin::Reaper, out);
        }
        let wait = if self.reaper.waiting.is_empty() {
            self.config.reap_interval
        } else {
            Duration::from_mins(1) / self.config.reap_per_minute_max.max(1)
        };
        self.reaper.next = now.mono.after(wait);
    }
}
