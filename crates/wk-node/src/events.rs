//! Watch events: from what a txn changed to frames for those who watch it.
//!
//! Events of a txn are queued before its reply, and before any reply that shows the new state,
//! because they are sent while it is applied. A client that may not read the znode is not told,
//! though its one-shot watch is used up (`WatchManager.triggerWatch`, 3.9.2 and later).

use wk_proto::client::{EventType, KeeperState, ReplyHeader, WatcherEvent};
use wk_proto::{Xid, Zxid};
use wk_tree::Applied;
use wk_tree::watches::WatcherId;

use crate::input::{ConnId, Effect, Out};
use crate::node::Node;

/// The watcher that stands for a connection.
pub(crate) fn watcher(conn: ConnId) -> WatcherId {
    WatcherId(conn.0)
}

/// Appends the frame of an event.
pub(crate) fn encode_event(bytes: &mut Vec<u8>, kind: EventType, path: &str, zxid: Zxid) {
    ReplyHeader { xid: Xid::NOTIFICATION, zxid, err: 0 }.encode(bytes);
    WatcherEvent { kind, state: KeeperState::SYNC_CONNECTED, path }.encode(bytes);
}

impl Node {
    /// Tells watchers what a txn changed.
    pub(crate) fn deliver_events(&mut self, applied: &Applied, out: &mut Out) {
        let Self { watches, connections, tree, stats, .. } = self;
        for event in applied.events() {
            // The frame is the same for everybody: it is made for the first and shared.
            let mut frame = None;
            watches.trigger(&event, |watcher: WatcherId, kind: EventType, path: &str| {
                let conn = ConnId(watcher.0);
                let Some(connection) = connections.get_mut(&conn) else { return };
                if !tree.may_read(event.acl, &connection.ids) {
                    return;
                }
                let frame = frame.get_or_insert_with(|| {
                    out.frame(|bytes| encode_event(bytes, kind, path, event.zxid))
                });
                out.effects.push(Effect::Send { conn, frame: frame.clone() });
                connection.counters.sent += 1;
                stats.packets_sent += 1;
                if let Some(count) = stats.events.get_mut(event_index(kind)) {
                    *count += 1;
                }
            });
        }
    }
}

fn event_index(kind: EventType) -> usize {
    match kind {
        EventType::NodeCreated => 0,
        EventType::NodeDeleted => 1,
        EventType::NodeDataChanged => 2,
        EventType::NodeChildrenChanged => 3,
    }
}
