//! Ids, positions and the two clocks, each a type of its own so that none is taken for another.

use std::fmt;
use std::time::Duration;

/// Leader generation: the high 32 bits of a [`Zxid`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

/// Position of a txn in the replicated history: `epoch << 32 | counter`. Shown as `0x500000003`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zxid(pub i64);

impl Zxid {
    /// Before the first txn.
    pub const ZERO: Self = Self(0);
    /// What an event carries that no single txn caused (setWatches).
    pub const NONE: Self = Self(-1);

    /// The next zxid of the epoch, or `None` when its 32-bit counter is used up.
    pub fn next(self) -> Option<Self> {
        (self.0 & 0xffff_ffff != 0xffff_ffff).then(|| Self(self.0 + 1))
    }

    /// Counts the txns of the epoch: the low 32 bits. 0 is the epoch's beginning, which no txn has.
    pub fn counter(self) -> u32 {
        u32::try_from(self.0 & 0xffff_ffff).unwrap_or(u32::MAX)
    }

    /// The leader generation of this position.
    pub fn epoch(self) -> Epoch {
        Epoch(u32::try_from((self.0 >> 32) & 0xffff_ffff).unwrap_or(u32::MAX))
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

impl fmt::Debug for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A client session. The high byte names the server that created it. Shown as `0x100000000000001`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub i64);

/// What Apache's servers mix into the seed of a session's password.
const PASSWORD_SALT: i64 = 0xB341_5C00;

impl SessionId {
    /// The server's own requests (container reaper), and "no session yet" in a handshake.
    pub const NONE: Self = Self(0);

    /// The 16-byte password that belongs to this session on every server of an ensemble.
    ///
    /// The bytes that `java.util.Random`, seeded with `id XOR 0xB3415C00`, yields first
    /// (`ZooKeeperServer.generatePasswd`, 3.9): any member can check one without asking another.
    pub fn password(self) -> [u8; 16] {
        const MULTIPLIER: u64 = 0x5_DEEC_E66D;
        const MASK: u64 = (1 << 48) - 1;
        let mut state = ((self.0 ^ PASSWORD_SALT).cast_unsigned() ^ MULTIPLIER) & MASK;
        let mut password = [0; 16];
        for word in password.chunks_exact_mut(4) {
            state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
            // Bits 47..16 are the generator's next int.
            let bytes = (state >> 16).to_le_bytes();
            word.copy_from_slice(&bytes[..4]);
        }
        password
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A client's number for one of its requests; negative ones are special.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xid(pub i32);

impl Xid {
    /// A watch event: no request caused it.
    pub const NOTIFICATION: Self = Self(-1);
    /// Heartbeat.
    pub const PING: Self = Self(-2);
    /// An `auth` packet.
    pub const AUTH: Self = Self(-4);
    /// Watches sent again after a reconnect.
    pub const SET_WATCHES: Self = Self(-8);
}

/// A reading of the monotonic clock, in nanoseconds from an origin of the driver's choice.
/// Timeouts use it; it says nothing about the time of day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

impl Mono {
    /// Later than anything: "no timeout".
    pub const NEVER: Self = Self(u64::MAX);

    /// This instant moved on by `d`, at most to [`Mono::NEVER`].
    #[must_use]
    pub fn after(self, d: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Time from `earlier` to this instant; zero if it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Whole milliseconds since the origin.
    pub fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }
}

/// Time of day in milliseconds since 1970, as znodes carry it. Never decides a timeout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_is_that_of_a_jvm() {
        let hex: String = SessionId(0x0100_0000_0000_0001)
            .password()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(hex, "054cc74a37327db215e702e20c73f005");
    }

    #[test]
    fn zxid_counter_ends() {
        assert_eq!(Zxid(0x1_ffff_ffff).next(), None);
        assert_eq!(Zxid(0x1_ffff_fffe).next(), Some(Zxid(0x1_ffff_ffff)));
        assert_eq!(Zxid(0x5_0000_0003).epoch(), Epoch(5));
        assert_eq!(Zxid(0x5_0000_0003).counter(), 3);
        assert_eq!((Zxid(-1).epoch(), Zxid(-1).counter()), (Epoch(u32::MAX), u32::MAX));
        assert_eq!(Zxid(0x5_0000_0003).to_string(), "0x500000003");
    }
}
