//! The local deadline of a session: until when no server can have given away what we hold.
//!
//! A heartbeat's answer alone proves little: a follower answers and tells the leader later. The
//! answers to two further heartbeats prove that the first one's touch was relayed, so the deadline
//! counts from the sending of the third-last answered heartbeat.

use std::time::Duration;

use wk_proto::Mono;

/// Send times of the last three answered heartbeats, and what follows from them.
#[derive(Clone, Debug)]
pub(crate) struct Deadline {
    sent: [Mono; 3],
    timeout: Duration,
}

impl Deadline {
    /// A handshake that the quorum confirmed, sent at `at`.
    pub(crate) fn new(at: Mono, timeout: Duration) -> Self {
        Self { sent: [at; 3], timeout }
    }

    /// A heartbeat sent at `at` was answered.
    pub(crate) fn answered(&mut self, at: Mono) {
        self.sent = [self.sent[1], self.sent[2], at];
    }

    /// From here on the session may be gone.
    pub(crate) fn safe_until(&self) -> Mono {
        let margin = (self.timeout / 50).max(Duration::from_millis(50));
        self.sent[0].after(self.timeout.saturating_sub(margin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn third_last_answer_counts() {
        let at = |secs| Mono::default().after(Duration::from_secs(secs));
        let timeout = Duration::from_secs(10);
        let mut deadline = Deadline::new(at(0), timeout);
        let safe = |from| at(from).after(Duration::from_millis(9800));
        deadline.answered(at(2));
        deadline.answered(at(4));
        assert_eq!(deadline.safe_until(), safe(0));
        deadline.answered(at(6));
        assert_eq!(deadline.safe_until(), safe(2));
    }
}
