//! Reading and writing: bytes to frames, frames to the node, replies to the kernel.
//!
//! Sockets are watched edge-triggered for both directions from their first moment on, so that a
//! request costs no system call but one read and one write. A read that does not fill its buffer
//! has emptied the socket, so it is not tried again.

use super::Driver;
use super::connection::Connection;
use crate::metrics::Counter;
use mio::event::Event;
use std::io::ErrorKind;
use std::time::Duration;
use tracing::debug;
use wk_node::{ConnId, Input};
use wk_proto::client::frame;

/// Bytes read at once.
pub(super) const READ_BYTES: usize = 64 << 10;
/// Bytes read from one connection in a turn; the others come first then.
const READ_A_TURN: usize = 4 * READ_BYTES;
/// Memory for replies that a connection keeps while it has none to send.
const OUTPUT_KEEP: usize = 4 << 10;
/// How long a connection that is to be closed may take for what it has not read yet.
const LINGER: Duration = Duration::from_secs(5);
/// Bytes thrown away before a socket is closed: unread ones would let the kernel reset the
/// connection, and the last reply might be lost with it.
const DISCARD_BYTES: usize = 4 * READ_BYTES;

/// What a read brought.
enum Read {
    Bytes(usize),
    Nothing,
    End,
}

impl Driver {
    /// The kernel has news of a socket.
    pub(super) fn socket_event(&mut self, slot: usize, event: &Event) {
        let Some(connection) = self.connections.at(slot) else { return };
        let id = connection.id;
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            connection.readable = true;
            connection.finished |= event.is_read_closed() || event.is_error();
            self.mark_ready(id);
        }
        if event.is_writable() {
            self.mark_dirty_if_unsent(id);
        }
    }

    /// Puts a connection into the list of those to be read on.
    pub(super) fn mark_ready(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(id)
            && !connection.queued
        {
            connection.queued = true;
            self.ready.push_back(id);
        }
    }

    fn mark_dirty_if_unsent(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(id)
            && connection.unsent() > 0
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push(id);
        }
    }

    /// Reads from those that may have something, each within a turn's measure.
    pub(super) fn read_ready(&mut self) {
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else { return };
            let Some(connection) = self.connections.get_mut(id) else { continue };
            connection.queued = false;
            if self.stopping.is_none() {
                self.read_connection(id);
            }
        }
    }

    fn read_connection(&mut self, id: ConnId) {
        self.feed_kept(id);
        let mut measure = READ_A_TURN;
        loop {
            let Some(connection) = self.connections.get_mut(id) else { return };
            if !connection.feeds() {
                return self.watch_for_end(id);
            }
            if !connection.readable {
                return;
            }
            if measure == 0 {
                return self.mark_ready(id);
            }
            let bytes = if connection.input.is_empty() {
                self.read_to_scratch(id)
            } else {
                self.read_to_input(id)
            };
            measure = measure.saturating_sub(bytes.max(1));
        }
    }

    /// Reads into the buffer that all connections share, and feeds from it: a connection that
    /// sends whole frames needs no buffer of its own.
    fn read_to_scratch(&mut self, id: ConnId) -> usize {
        let Some(connection) = self.connections.get_mut(id) else { return 0 };
        let mut scratch = std::mem::take(&mut self.scratch);
        let got = match read(connection, &mut scratch) {
            Read::Bytes(got) => {
                let fed = self.feed(id, &scratch[..got]);
                if let Some(connection) = self.connections.get_mut(id) {
                    connection.input.extend_from_slice(&scratch[fed..got]);
                }
                got
            }
            Read::Nothing => 0,
            Read::End => {
                self.lose(id);
                0
            }
        };
        self.scratch = scratch;
        got
    }

    /// Reads behind what is kept already, as much as the frame still wants.
    fn read_to_input(&mut self, id: ConnId) -> usize {
        let max = self.config.limits.request_bytes_max as usize;
        let Some(connection) = self.connections.get_mut(id) else { return 0 };
        let kept = connection.input.len();
        let wanted = match connection.input.first_chunk::<4>() {
            Some(len) => usize::try_from(i32::from_be_bytes(*len)).unwrap_or(0).min(max) + 4,
            None => 4,
        };
        // Never the whole announced length at once: memory follows what really came.
        let room = wanted.saturating_sub(kept).clamp(1, READ_BYTES);
        connection.input.resize(kept + room.max(READ_BYTES / 8), 0);
        let mut input = std::mem::take(&mut connection.input);
        let outcome = read(connection, &mut input[kept..]);
        let got = match outcome {
            Read::Bytes(got) => got,
            Read::Nothing | Read::End => 0,
        };
        input.truncate(kept + got);
        connection.input = input;
        match outcome {
            Read::End => self.lose(id),
            Read::Bytes(_) => self.feed_kept(id),
            Read::Nothing => {}
        }
        got
    }

    /// Feeds the frames that are kept.
    fn feed_kept(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.input.is_empty() || !connection.feeds() {
            return;
        }
        let mut input = std::mem::take(&mut connection.input);
        let fed = self.feed(id, &input);
        if let Some(connection) = self.connections.get_mut(id) {
            if fed == input.len() {
                // Given back: idle connections hold no buffers.
                input = Vec::new();
            } else {
                input.drain(..fed);
            }
            connection.input = input;
        }
    }

    /// Feeds whole frames to the node while it wants them; returns how many bytes that were.
    fn feed(&mut self, id: ConnId, bytes: &[u8]) -> usize {
        let max = self.config.limits.request_bytes_max;
        let mut rest = bytes;
        loop {
            let Some(connection) = self.connections.get_mut(id) else { return bytes.len() };
            if connection.closing {
                return bytes.len();
            }
            if !connection.feeds() {
                break;
            }
            if !connection.greeted && self.word(id, rest) {
                return bytes.len();
            }
            match frame::split(&mut rest, max) {
                Ok(Some(frame)) => {
                    self.registry.count(Counter::BytesReceivedCount, frame.len() as u64 + 4);
                    if let Some(connection) = self.connections.get_mut(id) {
                        connection.greeted = true;
                    }
                    self.note_namespace(frame);
                    self.step(Input::Frame { conn: id, frame });
                    self.check_unsent(id);
                }
                Ok(None) => break,
                Err(err) => {
                    debug!(conn = id.0, %err, "frame refused");
                    self.lose(id);
                    return bytes.len();
                }
            }
        }
        bytes.len() - rest.len()
    }

    /// Stops reading from a client that does not read its replies; far beyond, it is closed.
    fn check_unsent(&mut self, id: ConnId) {
        let limits = &self.config.limits;
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.stalled |= connection.unsent() > limits.unsent_bytes_soft;
    }

    /// The same for all that were sent to this turn: a write that became durable releases the
    /// reads behind it, many at once and without a frame of their connection being fed.
    pub(super) fn check_all_sent_to(&mut self) {
        for index in 0..self.dirty.len() {
            self.check_unsent(self.dirty[index]);
        }
    }

    /// A connection that is not read from must still be noticed when it ends.
    fn watch_for_end(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        // Its last requests may wait in the kernel: they are read when it feeds again, unless the
        // other end cannot take a reply any more, which writing will tell.
        if connection.finished && connection.stalled {
            self.lose(id);
        }
    }

    /// Writes every connection that has something, once.
    pub(super) fn flush(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for id in dirty.drain(..) {
            self.write_connection(id);
        }
        // Closing a connection may have made others dirty; they are few and come next turn.
        if self.dirty.is_empty() {
            self.dirty = dirty;
        } else {
            for id in std::mem::take(&mut self.dirty) {
                self.write_connection(id);
            }
        }
    }

    fn write_connection(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.dirty = false;
        while connection.unsent() > 0 {
            match connection.transport.write(&connection.output[connection.written..]) {
                Ok(0) => return self.lose(id),
                Ok(sent) => connection.written += sent,
                // The kernel's buffer is full; it says when there is room again.
                Err(err) if err.kind() == ErrorKind::WouldBlock => break,
                Err(err) if err.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.lose(id),
            }
        }
        if connection.unsent() == 0 {
            connection.output.clear();
            connection.written = 0;
            if connection.output.capacity() > OUTPUT_KEEP {
                connection.output = Vec::new();
            }
        } else if connection.written > connection.output.len() / 2 {
            connection.output.drain(..connection.written);
            connection.written = 0;
        }
        if connection.stalled && connection.unsent() <= self.config.limits.unsent_bytes_soft / 2 {
            connection.stalled = false;
            self.mark_ready(id);
        }
        self.close_if_written(id);
    }

    /// Has a connection closed once its replies are written.
    pub(super) fn close_later(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.closing = true;
        if connection.unsent() == 0 {
            return self.close_if_written(id);
        }
        self.mark_dirty_if_unsent(id);
        self.lingering.push_back((self.now.mono.after(LINGER), id));
    }

    fn close_if_written(&mut self, id: ConnId) {
        let done = |connection: &Connection| connection.closing && connection.unsent() == 0;
        if self.connections.get_mut(id).is_some_and(|connection| done(connection)) {
            self.forget(id);
        }
    }

    /// Closes those that took too long for their last replies.
    pub(super) fn close_lingering(&mut self) {
        while let Some((deadline, id)) = self.lingering.front().copied() {
            if deadline > self.now.mono {
                break;
            }
            self.lingering.pop_front();
            self.forget(id);
        }
    }

    /// The connection is of no use any more: the node is told, and it is closed.
    pub(super) fn lose(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !connection.closing {
            connection.closing = true;
            self.step(Input::Closed { conn: id });
        }
        self.forget(id);
    }

    fn forget(&mut self, id: ConnId) {
        let Some(mut connection) = self.connections.remove(id) else { return };
        if let Some(peer) = connection.peer {
            self.accepting.left(connection.port, peer);
        }
        let mut left = DISCARD_BYTES;
        let mut scratch = std::mem::take(&mut self.scratch);
        while connection.readable && !connection.finished && left > 0 {
            match read(&mut connection, &mut scratch) {
                Read::Bytes(got) => left = left.saturating_sub(got),
                Read::Nothing | Read::End => break,
            }
        }
        self.scratch = scratch;
        connection.transport.shutdown();
        // Dropping it closes the descriptor, which ends its registration as well.
    }
}

/// One read, with what it says about the socket.
fn read(connection: &mut Connection, into: &mut [u8]) -> Read {
    loop {
        return match connection.transport.read(into) {
            Ok(0) => Read::End,
            Ok(got) => {
                // A short read has emptied the socket, unless the end is behind it. One record of
                // TLS says nothing of the next.
                connection.readable =
                    got == into.len() || connection.finished || connection.transport.is_secure();
                Read::Bytes(got)
            }
            Err(err) if err.kind() == ErrorKind::WouldBlock => {
                connection.readable = false;
                Read::Nothing
            }
            Err(err) if err.kind() == ErrorKind::Interrupted => continue,
            Err(_) => Read::End,
        };
    }
}
