//! Hides what differs from run to run, by value: session ids, passwords, times.
//!
//! The bytes of a session id or password are known from the handshake, and a time is any eight
//! bytes whose value lies in the minutes of the run: none of this asks a decoder what a field is.

use wk_proto::SessionId;

use super::{Exchange, Transcript};

/// Every masked time; 2024-01-01 in milliseconds.
pub const TIME: i64 = 1_704_067_200_000;

/// The first masked session id; the second is one higher, and so on.
pub const SESSION: i64 = 0x0100_0000_0000_0001;

/// The byte that masked passwords are made of.
pub const PASSWORD: u8 = 0x70;

/// What to hide.
#[derive(Clone, Debug)]
pub struct Mask {
    sessions: Vec<(SessionId, [u8; 16])>,
    /// First and last millisecond of the run, by the wall clock.
    times: (i64, i64),
}

impl Mask {
    /// A mask for a run between two wall clock times, with a minute of grace on both sides.
    pub fn new(transcript: &Transcript, from_ms: i64, to_ms: i64) -> Self {
        let sessions = transcript.sessions.clone();
        Self { sessions, times: (from_ms - 60_000, to_ms + 60_000) }
    }

    /// Hides times, ids and passwords in `bytes`.
    pub fn hide(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        let mut hidden = vec![false; out.len()];
        // Ids first, anywhere: one may hold the milliseconds of its making, which are no time.
        for at in 0..out.len() {
            let len = self.hide_session(&mut out[at..]);
            hidden[at..at + len].fill(true);
        }
        for at in 0..out.len() {
            if hidden[at..].iter().take(8).any(|hidden| *hidden) {
                continue;
            }
            if let Some((head, _)) = out[at..].split_first_chunk_mut::<8>()
                && (self.times.0..=self.times.1).contains(&i64::from_be_bytes(*head))
            {
                *head = TIME.to_be_bytes();
                hidden[at..at + 8].fill(true);
            }
        }
        out
    }

    /// Hides the id or password that begins at the front of `bytes`; gives its length.
    fn hide_session(&self, bytes: &mut [u8]) -> usize {
        let mut number = SESSION;
        let mut seen: Vec<SessionId> = Vec::new();
        for (session, password) in &self.sessions {
            if bytes.starts_with(password) {
                bytes[..16].fill(PASSWORD);
                return 16;
            }
            // A resumed session is listed again and keeps its number.
            if seen.contains(session) {
                continue;
            }
            seen.push(*session);
            if bytes.starts_with(&session.0.to_be_bytes()) {
                bytes[..8].copy_from_slice(&number.to_be_bytes());
                return 8;
            }
            number += 1;
        }
        0
    }

    /// Hides them in all parts of an exchange.
    pub fn hide_all(&self, exchange: &Exchange) -> Exchange {
        Exchange {
            name: exchange.name.clone(),
            sent: self.hide(&exchange.sent),
            received: exchange.received.iter().map(|frame| self.hide(frame)).collect(),
            closed: exchange.closed,
            others: exchange.others.iter().map(|(at, frame)| (*at, self.hide(frame))).collect(),
        }
    }
}

/// The wall clock in milliseconds.
pub fn wall_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_holds_a_time_stays_an_id() {
        let session = SessionId(0x0100_01d1_a94a_2000);
        let transcript = Transcript { exchanges: Vec::new(), sessions: vec![(session, [9; 16])] };
        let now = session.0 & 0xffff_ffff_ffff;
        let mask = Mask::new(&transcript, now, now);
        let mut bytes = vec![0; 4];
        bytes.extend(session.0.to_be_bytes());
        let mut want = vec![0; 4];
        want.extend(SESSION.to_be_bytes());
        assert_eq!(mask.hide(&bytes), want);
    }

    #[test]
    fn only_values_of_this_run_are_hidden() {
        let session = SessionId(0x0100_0abc_0000_0000);
        let transcript = Transcript { exchanges: Vec::new(), sessions: vec![(session, [9; 16])] };
        let mask = Mask::new(&transcript, 2_000_000_000_000, 2_000_000_001_000);
        let mut bytes = vec![1, 2, 3];
        bytes.extend(session.0.to_be_bytes());
        bytes.extend([9; 16]);
        bytes.extend(2_000_000_000_500_i64.to_be_bytes());
        bytes.extend(1_999_999_000_000_i64.to_be_bytes());
        let mut want = vec![1, 2, 3];
        want.extend(SESSION.to_be_bytes());
        want.extend([PASSWORD; 16]);
        want.extend(TIME.to_be_bytes());
        want.extend(1_999_999_000_000_i64.to_be_bytes());
        assert_eq!(mask.hide(&bytes), want);
    }
}
