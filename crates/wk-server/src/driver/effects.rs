//! Carrying out what the node wants done.

use super::Driver;
use crate::metrics::Counter;
use crate::server::SessionEnd;
use crate::snapshot_thread::SnapshotJob;
use tracing::debug;
use wk_node::{CloseReason, ConnId, Effect, Out};

impl Driver {
    /// Carries out the effects of a step, in order.
    pub(super) fn carry_out(&mut self, out: &mut Out) {
        let bytes = std::mem::take(&mut out.bytes);
        for effect in out.effects.drain(..) {
            self.effect(effect, &bytes);
        }
        out.bytes = bytes;
    }

    fn effect(&mut self, effect: Effect, bytes: &[u8]) {
        match effect {
            Effect::Send { conn, frame } => self.send(conn, &bytes[frame]),
            Effect::Close { conn, reason } => {
                if !matches!(reason, CloseReason::SessionClosed | CloseReason::SessionExpired) {
                    debug!(conn = conn.0, ?reason, "connection closed");
                }
                self.close_later(conn);
            }
            Effect::StopReading { conn } => {
                if let Some(connection) = self.connections.get_mut(conn) {
                    connection.stopped = true;
                }
            }
            Effect::StartReading { conn } => {
                if let Some(connection) = self.connections.get_mut(conn) {
                    connection.stopped = false;
                    self.mark_ready(conn);
                }
            }
            Effect::Append { zxid, record } => {
                self.txns.appended(zxid, &bytes[record.clone()]);
                self.batch.append(zxid, &bytes[record]);
            }
            Effect::RollLog => self.batch.roll(),
            Effect::BeginSnapshot { zxid } => self.snapshots.give(SnapshotJob::Begin(zxid)),
            Effect::SnapshotChunk { bytes: piece } => self.give_piece(&bytes[piece]),
            Effect::EndSnapshot { zxid, digest } => {
                self.snapshots.give(SnapshotJob::End { zxid, digest });
            }
            Effect::SessionEnded { session, zxid, expired, ephemerals } => {
                let end = SessionEnd { session, zxid, expired, ephemerals };
                // Nobody may be listening.
                let _ = self.session_ends.send(end);
            }
        }
    }

    fn send(&mut self, id: ConnId, frame: &[u8]) {
        let hard = self.config.limits.unsent_bytes_hard;
        let Some(connection) = self.connections.get_mut(id) else { return };
        // The xid -1 of a notification follows the length.
        let is_event = frame.get(4..8) == Some(&[0xff; 4]);
        let counter = if is_event { Counter::WatchBytes } else { Counter::ResponseBytes };
        self.registry.count(counter, frame.len() as u64);
        // Replies are bounded by what was asked, and a client that asks much may be owed much at
        // once; nobody asked for the next event.
        if is_event && connection.unsent() + frame.len() > hard && connection.unsent() > 0 {
            debug!(conn = id.0, "client does not read the events that it is sent");
            return self.lose(id);
        }
        connection.output.extend_from_slice(frame);
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(id);
        }
    }

    fn give_piece(&mut self, piece: &[u8]) {
        let mut buffer = self.pieces.pop().unwrap_or_default();
        buffer.extend_from_slice(piece);
        self.pieces_out += 1;
        self.snapshots.give(SnapshotJob::Chunk(buffer));
    }
}
