//! The handshake: the first frame in each direction, without a header.

use crate::ids::{SessionId, Zxid};
use crate::jute::{DecodeError, JuteWrite, Reader};

/// A client's first frame. 44 bytes, or 45 with `read_only`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectRequest {
    /// 0; servers ignore it.
    pub protocol_version: i32,
    /// The last zxid that the client has seen from any server.
    pub last_zxid_seen: Zxid,
    /// The wished session timeout in milliseconds.
    pub timeout: i32,
    /// The session to resume; 0 for a new one.
    pub session: SessionId,
    /// Password of the session to resume.
    pub password: [u8; 16],
    /// Would a read-only server do? `None`: an old client that does not say.
    pub read_only: Option<bool>,
}

/// A server's first frame. 36 bytes, or 37 with `read_only`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectResponse {
    /// Negotiated session timeout in milliseconds; 0: the session is over.
    pub timeout: i32,
    /// The session.
    pub session: SessionId,
    /// Its password.
    pub password: [u8; 16],
    /// Is the server read-only? Sent to those that said whether that would do.
    pub read_only: Option<bool>,
}

fn password(r: &mut Reader<'_>) -> Result<[u8; 16], DecodeError> {
    // Apache compares whatever comes; only sixteen bytes can ever be right.
    let bytes = r.buffer()?.unwrap_or_default();
    Ok(bytes.try_into().unwrap_or([0; 16]))
}

fn trailing_bool(r: &mut Reader<'_>) -> Result<Option<bool>, DecodeError> {
    if r.rest().is_empty() { Ok(None) } else { r.bool().map(Some) }
}

impl ConnectRequest {
    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.protocol_version);
        out.put_i64(self.last_zxid_seen.0);
        out.put_i32(self.timeout);
        out.put_i64(self.session.0);
        out.put_buffer(Some(&self.password));
        if let Some(read_only) = self.read_only {
            out.put_bool(read_only);
        }
    }

    /// Reads the record.
    pub fn decode(frame: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(frame);
        Ok(Self {
            protocol_version: r.i32()?,
            last_zxid_seen: Zxid(r.i64()?),
            timeout: r.i32()?,
            session: SessionId(r.i64()?),
            password: password(&mut r)?,
            read_only: trailing_bool(&mut r)?,
        })
    }
}

impl ConnectResponse {
    /// What a client gets whose session cannot be resumed.
    pub fn refused(read_only: Option<bool>) -> Self {
        Self { timeout: 0, session: SessionId::NONE, password: [0; 16], read_only }
    }

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(0);
        out.put_i32(self.timeout);
        out.put_i64(self.session.0);
        out.put_buffer(Some(&self.password));
        if let Some(read_only) = self.read_only {
            out.put_bool(read_only);
        }
    }

    /// Reads the record.
    pub fn decode(frame: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(frame);
        r.i32()?;
        Ok(Self {
            timeout: r.i32()?,
            session: SessionId(r.i64()?),
            password: password(&mut r)?,
            read_only: trailing_bool(&mut r)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_round_trips() {
        for (read_only, extra) in [(None, 0), (Some(true), 1)] {
            let request = ConnectRequest {
                protocol_version: 0,
                last_zxid_seen: Zxid(5),
                timeout: 30_000,
                session: SessionId(7),
                password: [3; 16],
                read_only,
            };
            let mut bytes = Vec::new();
            request.encode(&mut bytes);
            assert_eq!(bytes.len(), 44 + extra);
            assert_eq!(ConnectRequest::decode(&bytes), Ok(request));
            let response = ConnectResponse {
                timeout: 4000,
                session: SessionId(7),
                password: [3; 16],
                read_only,
            };
            bytes.clear();
            response.encode(&mut bytes);
            assert_eq!(bytes.len(), 36 + extra);
            assert_eq!(ConnectResponse::decode(&bytes), Ok(response));
        }
    }
}
