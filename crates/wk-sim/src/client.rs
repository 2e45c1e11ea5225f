//! The simulated clients: they connect, ask, hang up, come back, and sometimes fall silent.

use wk_proto::client::{ConnectResponse, ReplyHeader};
use wk_proto::{Reader, SessionId, Xid, Zxid};

use crate::effects::ends_session;
use crate::random::Random;
use crate::requests;
use crate::world::{Conn, Event, MILLI, TICK, TIMEOUT_MAX, World};

#[derive(Debug)]
pub(crate) struct Client {
    conn: Option<u64>,
    /// Has the server let it in?
    open: bool,
    session: Option<(SessionId, [u8; 16])>,
    timeout: i32,
    seen: Zxid,
    xid: i32,
}

impl Client {
    pub(crate) fn new(random: &mut Random) -> Self {
        let timeout = i32::try_from(random.range(2 * TICK, TIMEOUT_MAX)).unwrap_or(1_000);
        Self { conn: None, open: false, session: None, timeout, seen: Zxid::ZERO, xid: 0 }
    }
}

impl World {
    /// A client does what it likes, and says when it will do so again.
    pub(crate) fn act(&mut self, client: usize) {
        if self.ending {
            return;
        }
        let pause = match (self.clients[client].conn, self.clients[client].open) {
            (None, _) => self.connect(client),
            (Some(conn), false) => {
                // An answer may never come.
                if self.random.percent(10) {
                    self.leave(client, conn);
                }
                self.random.range(20, 400)
            }
            (Some(conn), true) => self.use_connection(client, conn),
        };
        self.after(pause * MILLI, Event::Act { client });
    }

    fn connect(&mut self, client: usize) -> u64 {
        let id = self.next_conn;
        self.next_conn += 1;
        self.conns.insert(id, Conn { client, ..Conn::default() });
        let me = &mut self.clients[client];
        me.conn = Some(id);
        me.open = false;
        let frame = requests::connect(me.seen, me.timeout, me.session);
        self.post(id, frame);
        self.random.range(5, 200)
    }

    fn use_connection(&mut self, client: usize, conn: u64) -> u64 {
        match self.random.below(100) {
            0..=74 => {
                for _ in 0..self.random.range(1, 4) {
                    self.clients[client].xid += 1;
                    let xid = Xid(self.clients[client].xid);
                    let frame = requests::any(&mut self.random, xid);
                    self.post(conn, frame);
                }
                self.random.range(1, 300)
            }
            75..=84 => {
                self.post(conn, requests::ping());
                self.random.range(1, 600)
            }
            85..=88 => {
                self.clients[client].xid += 1;
                let frame = requests::close_session(Xid(self.clients[client].xid));
                debug_assert!(ends_session(&frame));
                self.post(conn, frame);
                self.clients[client].session = None;
                self.random.range(1, 300)
            }
            89..=96 => {
                self.leave(client, conn);
                self.random.range(1, 1_500)
            }
            // Silent for longer than any session lasts.
            _ => self.random.range(TIMEOUT_MAX, 2 * TIMEOUT_MAX),
        }
    }

    /// The client's end of the connection is gone; the server sees that later.
    fn leave(&mut self, client: usize, id: u64) {
        self.clients[client].conn = None;
        self.clients[client].open = false;
        let delay = self.micros(20, 3_000);
        if let Some(conn) = self.conns.get_mut(&id) {
            let at = conn.to_server.max(self.now + delay);
            self.at(at, Event::Hangup { conn: id });
        }
    }

    fn post(&mut self, id: u64, frame: Vec<u8>) {
        let delay = self.micros(20, 3_000);
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.to_server = conn.to_server.max(self.now + delay);
            let at = conn.to_server;
            self.at(at, Event::Frame { conn: id, frame });
        }
    }

    /// A frame of the server's reaches its client.
    pub(crate) fn answered(&mut self, id: u64, frame: &[u8]) {
        let Some(client) = self.conns.get(&id).map(|conn| conn.client) else { return };
        let me = &mut self.clients[client];
        if me.conn != Some(id) {
            return;
        }
        if me.open {
            if let Ok(header) = ReplyHeader::decode(&mut Reader::new(frame)) {
                me.seen = me.seen.max(header.zxid);
            }
        } else if let Ok(response) = ConnectResponse::decode(frame) {
            me.open = response.timeout > 0;
            me.session = me.open.then_some((response.session, response.password));
        }
    }

    /// The client sees that the server's end is gone.
    pub(crate) fn cut(&mut self, id: u64) {
        let Some(conn) = self.conns.remove(&id) else { return };
        let me = &mut self.clients[conn.client];
        if me.conn == Some(id) {
            me.conn = None;
            me.open = false;
        }
    }
}
