//! Who must have proved what before a request is taken, and logins by SASL.

use tracing::{debug, info};
use wk_proto::client::{ReplyHeader, Request};
use wk_proto::{ErrorCode, Id, JuteWrite as _, OpCode, Reader, Zxid};

use crate::input::{CloseReason, Out};
use crate::node::Node;
use crate::replies::Asked;
use crate::sasl::Step;

/// What a login came to.
enum Login {
    /// Go on with this token; nothing where there is no SASL, as in Apache.
    Reply(Option<Vec<u8>>),
    /// The connection is closed.
    Refused,
}

impl Node {
    /// Closes a connection that has none of the identities that are demanded; false if it has.
    pub(crate) fn refuse_unproved(&mut self, asked: Asked, out: &mut Out) -> bool {
        let demanded = &self.config.schemes_required;
        if demanded.is_empty() {
            return false;
        }
        let Some(connection) = self.connections.get_mut(&asked.conn) else { return true };
        if connection.ids.iter().any(|id| demanded.contains(&id.scheme)) {
            return false;
        }
        connection.counters.sent += 1;
        self.stats.packets_sent += 1;
        let err = ErrorCode::SessionClosedRequireSaslAuth.code();
        let header = ReplyHeader { xid: asked.xid, zxid: Zxid::ZERO, err };
        out.send(asked.conn, |bytes| header.encode(bytes));
        debug!(conn = ?asked.conn, ?demanded, "none of the identities that are demanded");
        self.close(asked.conn, CloseReason::Unproved, out);
        true
    }

    /// Takes a token of a login. Like credentials it counts from the moment it comes.
    pub(crate) fn sasl(&mut self, asked: Asked, reader: &mut Reader<'_>, out: &mut Out) {
        let Ok(Request::Sasl { token }) = Request::decode(OpCode::Sasl, reader) else {
            self.stats.bad_requests += 1;
            return self.close(asked.conn, CloseReason::Garbage, out);
        };
        let login = self.log_in(asked, token.unwrap_or_default());
        let is_demanded = self.config.schemes_required.iter().any(|scheme| scheme == "sasl");
        let (err, token) = match login {
            Login::Reply(token) => (0, token),
            Login::Refused if is_demanded => (ErrorCode::SessionClosedRequireSaslAuth.code(), None),
            Login::Refused => (ErrorCode::AuthFailed.code(), None),
        };
        let Some(connection) = self.connections.get_mut(&asked.conn) else { return };
        connection.counters.sent += 1;
        self.stats.packets_sent += 1;
        let header = ReplyHeader { xid: asked.xid, zxid: Zxid::ZERO, err };
        out.send(asked.conn, |bytes| {
            header.encode(bytes);
            bytes.put_buffer(token.as_deref());
        });
        if err != 0 {
            self.close(asked.conn, CloseReason::AuthFailed, out);
        }
    }

    fn log_in(&mut self, asked: Asked, token: &[u8]) -> Login {
        let Some(options) = &self.config.sasl else { return Login::Reply(None) };
        let Some(connection) = self.connections.get_mut(&asked.conn) else {
            return Login::Reply(None);
        };
        self.logins += 1;
        match connection.login.get_or_insert_default().step(options, self.logins, token) {
            Ok(Step::Challenge(token)) => Login::Reply(Some(token)),
            Ok(Step::Done { user, token }) => {
                info!(conn = ?asked.conn, user, "logged in");
                let is_super = options.supers.contains(&user);
                let id = Id::new("sasl", &user);
                for id in [id].into_iter().chain(is_super.then(|| Id::new("super", ""))) {
                    if !connection.ids.contains(&id) {
                        connection.ids.push(id);
                    }
                }
                Login::Reply(Some(token))
            }
            Err(refusal) => {
                info!(conn = ?asked.conn, ?refusal, "login refused");
                let is_demanded = self.config.schemes_required.iter().any(|one| one == "sasl");
                if options.failed_stay && !is_demanded {
                    Login::Reply(None)
                } else {
                    Login::Refused
                }
            }
        }
    }
}
