//! A connection as the driver sees it: a transport and two buffers, both bounded.

use crate::socket::Transport;
use std::net::SocketAddr;
use wk_node::ConnId;

/// Bits of a [`ConnId`] that say the slot; those above count up and make the id unique.
const SLOT_BITS: u32 = 24;

/// One client's connection.
pub(super) struct Connection {
    pub(super) id: ConnId,
    pub(super) transport: Transport,
    /// `None` for a client in this process.
    pub(super) peer: Option<SocketAddr>,
    /// By which listening socket it came, if it has a peer.
    pub(super) port: usize,
    /// Bytes that came and are not fed yet: part of a frame, or whole ones while reading is
    /// stopped. At most one frame of the largest size and one read.
    pub(super) input: Vec<u8>,
    /// Frames to be written; `output[written..]` is unsent.
    pub(super) output: Vec<u8>,
    pub(super) written: usize,
    /// The first frame was fed: no four-letter word any more.
    pub(super) greeted: bool,
    /// The node does not want frames for now.
    pub(super) stopped: bool,
    /// It does not read what we write: nothing is read from it until it does.
    pub(super) stalled: bool,
    /// The kernel may have more to read.
    pub(super) readable: bool,
    /// The kernel said that the other end has finished sending.
    pub(super) finished: bool,
    /// It is in the list of those to be written this turn.
    pub(super) dirty: bool,
    /// It is in the list of those to be read on.
    pub(super) queued: bool,
    /// To be closed once its output is written; the node knows it no more.
    pub(super) closing: bool,
    /// Four-letter words received.
    pub(super) words: u64,
}

impl Connection {
    pub(super) fn unsent(&self) -> usize {
        self.output.len() - self.written
    }

    /// May frames of it be fed to the node?
    pub(super) fn feeds(&self) -> bool {
        !self.stopped && !self.stalled && !self.closing
    }
}

/// All connections, found by slot or by id.
#[derive(Default)]
pub(super) struct Slab {
    slots: Vec<Option<Connection>>,
    free: Vec<usize>,
    opened: u64,
    len: usize,
}

/// The slot of an id.
pub(super) fn slot_of(id: ConnId) -> usize {
    usize::try_from(id.0 & ((1 << SLOT_BITS) - 1)).unwrap_or(usize::MAX)
}

impl Slab {
    /// Number of open connections.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// A slot for a new connection and its id; `None` when there is no more room.
    pub(super) fn reserve(&mut self) -> Option<(usize, ConnId)> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() < 1 << SLOT_BITS => {
                self.slots.push(None);
                self.slots.len() - 1
            }
            None => return None,
        };
        self.opened += 1;
        Some((slot, ConnId(self.opened << SLOT_BITS | slot as u64)))
    }

    /// Puts a connection into the slot that was reserved for it.
    pub(super) fn insert(&mut self, slot: usize, connection: Connection) {
        assert!(self.slots[slot].is_none(), "a slot holds one connection");
        self.slots[slot] = Some(connection);
        self.len += 1;
    }

    /// Gives a reserved slot back that was not used.
    pub(super) fn release(&mut self, slot: usize) {
        self.free.push(slot);
    }

    /// Takes a connection out.
    pub(super) fn remove(&mut self, id: ConnId) -> Option<Connection> {
        self.get_mut(id)?;
        let slot = slot_of(id);
        self.free.push(slot);
        self.len -= 1;
        self.slots[slot].take()
    }

    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Connection> {
        let connection = self.slots.get_mut(slot_of(id))?.as_mut()?;
        (connection.id == id).then_some(connection)
    }

    pub(super) fn at(&mut self, slot: usize) -> Option<&mut Connection> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// All connections.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.slots.iter().flatten()
    }

    /// Is nothing unsent? Those that do not read what they get are not waited for.
    pub(super) fn is_written(&self) -> bool {
        self.iter().all(|connection| connection.unsent() == 0 || connection.stalled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(id: ConnId) -> Connection {
        let (ours, _) = mio::net::UnixStream::pair().unwrap();
        Connection {
            id,
            transport: Transport::Local(ours),
            peer: None,
            port: 0,
            input: Vec::new(),
            output: Vec::new(),
            written: 0,
            greeted: false,
            stopped: false,
            stalled: false,
            readable: false,
            finished: false,
            dirty: false,
            queued: false,
            closing: false,
            words: 0,
        }
    }

    #[test]
    fn ids_are_unique_though_slots_are_used_again() {
        let mut slab = Slab::default();
        let (slot, first) = slab.reserve().unwrap();
        slab.insert(slot, connection(first));
        assert!(slab.remove(first).is_some() && slab.remove(first).is_none());
        let (again, second) = slab.reserve().unwrap();
        slab.insert(again, connection(second));
        assert_eq!(slot, again);
        assert!(second > first, "ids ascend in the order of arrival");
        assert!(slab.get_mut(first).is_none() && slab.get_mut(second).is_some());
        assert_eq!(slab.len(), 1);
    }
}
