//! When a snapshot is due, and its image in slices between requests.
//!
//! After a random number of txns in (n/2, n] (members of an ensemble should not all snapshot at
//! once) or of bytes likewise, the log gets a new file and the tree is walked slice by slice. The
//! image is fuzzy: it may show later txns, which recovery replays over it anyway.

use tracing::info;

use crate::config::NodeConfig;
use crate::input::{Effect, Out};
use crate::node::Node;

/// Progress towards the next snapshot, and of the one under way.
#[derive(Debug)]
pub(crate) struct Snapshots {
    txns: u64,
    bytes: u64,
    txns_due: u64,
    bytes_due: u64,
    /// A snapshot's image is being walked or written.
    under_way: bool,
    /// The image is complete; only the file's end is awaited.
    walked: bool,
    /// State of the jitter (SplitMix64).
    random: u64,
}

impl Snapshots {
    pub(crate) fn new(config: &NodeConfig) -> Self {
        let mut snapshots = Self {
            txns: 0,
            bytes: 0,
            txns_due: 0,
            bytes_due: 0,
            under_way: false,
            walked: false,
            random: config.seed,
        };
        snapshots.draw(config);
        snapshots
    }

    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in (n/2, n].
    fn jitter(&mut self, n: u64) -> u64 {
        n / 2 + 1 + self.random() % (n - n / 2).max(1)
    }

    fn draw(&mut self, config: &NodeConfig) {
        self.txns = 0;
        self.bytes = 0;
        self.txns_due = self.jitter(config.snap_count.max(2));
        self.bytes_due =
            if config.snap_size == 0 { u64::MAX } else { self.jitter(config.snap_size) };
    }
}

impl Node {
    /// A record of this length was appended.
    pub(crate) fn count_towards_snapshot(&mut self, len: usize, out: &mut Out) {
        self.snapshots.txns += 1;
        self.snapshots.bytes += len as u64;
        let due = self.snapshots.txns >= self.snapshots.txns_due
            || self.snapshots.bytes >= self.snapshots.bytes_due;
        if due && !self.snapshots.under_way {
            out.effects.push(Effect::RollLog);
            self.begin_snapshot(out);
        }
    }

    /// Begins a snapshot, unless one is under way.
    pub(crate) fn begin_snapshot(&mut self, out: &mut Out) {
        if self.snapshots.under_way {
            return;
        }
        self.snapshots.draw(&self.config);
        self.snapshots.under_way = true;
        self.snapshots.walked = false;
        self.tree.image_begin();
        let zxid = self.tree.last_zxid();
        info!(%zxid, "snapshot begun");
        out.effects.push(Effect::BeginSnapshot { zxid });
    }

    /// Gives the next bytes of the image.
    pub(crate) fn snapshot_slice(&mut self, bytes_max: usize, out: &mut Out) {
        if !self.snapshots.under_way || self.snapshots.walked {
            return;
        }
        let start = out.bytes.len();
        let more = self.tree.image_next(&mut out.bytes, bytes_max);
        let bytes = start..out.bytes.len();
        if !bytes.is_empty() {
            out.effects.push(Effect::SnapshotChunk { bytes });
        }
        if !more {
            self.snapshots.walked = true;
            let (zxid, digest) = (self.tree.last_zxid(), self.tree.digest());
            out.effects.push(Effect::EndSnapshot { zxid, digest });
        }
    }

    /// The file is complete, or was given up.
    pub(crate) fn snapshot_done(&mut self) {
        if self.snapshots.under_way && !self.snapshots.walked {
            self.tree.image_abort();
        }
        self.snapshots.under_way = false;
        self.snapshots.walked = false;
    }

    /// Does the image of a snapshot still have bytes to give?
    pub fn snapshot_has_more(&self) -> bool {
        self.snapshots.under_way && !self.snapshots.walked
    }
}
