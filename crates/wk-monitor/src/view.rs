//! The fleet as pages and the API show it: one consistent picture at one time.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Everything that is watched, at one time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fleet {
    /// When this picture was drawn.
    pub as_of: Timestamp,
    /// The worst of what is open.
    pub level: Level,
    /// The ensembles, worst first.
    pub ensembles: Vec<Ensemble>,
    /// Where notifications go.
    pub channels: Vec<ChannelStatus>,
    /// How many incidents are firing, acknowledged or unknown.
    pub open_incidents: usize,
    /// Incidents opened since this monitor started, by rule.
    pub incidents_opened: BTreeMap<String, u64>,
    /// What keeps the monitor itself from its work: rule files that are not in force.
    #[serde(default)]
    pub notes: Vec<String>,
    /// How much it holds.
    #[serde(default)]
    pub window: WindowFigures,
}

/// How much the monitor's window of samples holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowFigures {
    /// Series now.
    pub series: usize,
    /// Bytes of samples and labels.
    pub bytes: usize,
    /// Samples that were refused since the start: too many, too late, or with labels too long.
    pub refused: u64,
}

/// The state of things in one word; also the exit code of `watchkeeper status`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing is wrong.
    Ok,
    /// The monitor cannot tell, or has not looked yet.
    #[default]
    Unknown,
    /// Something is wrong.
    Warning,
    /// Something is badly wrong.
    Critical,
}

impl Level {
    /// 0 ok, 1 warning, 2 critical, 3 unknown.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }

    /// The word used in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// One ensemble, its servers and the nodes registered in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ensemble {
    /// Its name: `local` for the server inside `up`, else as configured.
    pub name: String,
    /// The worst of what is open in it.
    pub level: Level,
    /// How the monitor's own session with it stands.
    pub sight: Sight,
    /// Its servers, as configured.
    pub servers: Vec<Server>,
    /// How many of its servers vote, as its leader says.
    #[serde(default)]
    pub voters: Option<u64>,
    /// The nodes registered under `/nodes`, by group and id.
    #[serde(with = "shared")]
    pub nodes: Vec<Arc<Node>>,
    /// Counts per group, the nodes without a group among them (`name` null).
    pub groups: Vec<Group>,
    /// What the monitor could not see and the line that would fix it.
    pub notes: Vec<String>,
}

/// Pictures share the nodes that did not change between them; JSON does not show that.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::Node;

    pub(super) fn serialize<S: Serializer>(nodes: &[Arc<Node>], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(nodes.iter().map(AsRef::as_ref))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Arc<Node>>, D::Error> {
        Ok(Vec::<Node>::deserialize(from)?.into_iter().map(Arc::new).collect())
    }
}

/// The monitor's own view of an ensemble.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// Whether its session is connected and its picture of `/nodes` complete.
    pub clear: bool,
    /// Since when.
    pub since: Timestamp,
    /// Its session, as hex.
    pub session: Option<String>,
}

/// Whether a server answers and serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// Not probed yet.
    Unknown,
    /// Answers and serves.
    Up,
    /// Answers, but does not serve.
    NotServing,
    /// Does not answer.
    Unreachable,
}

impl ServerState {
    /// The word used in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::NotServing => "not_serving",
            Self::Unreachable => "unreachable",
        }
    }
}

/// One server as the probes see it. What a probe could not tell is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// `host:port`.
    pub instance: String,
    /// Whether it answers and serves.
    pub state: ServerState,
    /// Since when.
    pub since: Timestamp,
    /// `standalone`, `leader`, `follower`, `observer`, `read-only`.
    pub mode: Option<String>,
    /// Its version, as it says.
    pub version: Option<String>,
    /// Last txn, as hex.
    pub zxid: Option<String>,
    /// What it says about its own request latency since its start, in seconds.
    pub latency: Option<Latency>,
    /// Txns behind the leader's last one.
    #[serde(default)]
    pub lag: Option<u64>,
    /// How long the slowest hundredth of its log's syncs takes at least, in seconds; the mean since
    /// its start where it shows no such figure.
    #[serde(default)]
    pub fsync_seconds: Option<f64>,
    /// How long it has led, in seconds.
    #[serde(default)]
    pub leading_seconds: Option<f64>,
    /// How long the last answered probe took, in seconds.
    pub probe_seconds: Option<f64>,
    /// Open client connections.
    pub connections: Option<u64>,
    /// Requests received and not yet answered.
    pub outstanding: Option<u64>,
    /// Znodes in its tree.
    pub znodes: Option<u64>,
    /// Watches set.
    pub watches: Option<u64>,
    /// Ephemeral znodes.
    pub ephemerals: Option<u64>,
    /// Bytes of data in its tree, roughly.
    pub data_bytes: Option<u64>,
    /// When it last answered.
    pub last_seen: Option<Timestamp>,
    /// Why the last probe failed, if it did.
    pub last_error: Option<String>,
    /// The open incident about it.
    pub incident: Option<String>,
    /// Probes since this monitor started.
    pub probes_total: u64,
    /// Those among them that got no answer, or one that it does not serve.
    pub probe_failures_total: u64,
    /// The rows of its last `mntr` answer, names without `zk_`; empty while it does not answer.
    #[serde(skip)]
    pub monitor_rows: Arc<[(String, String)]>,
}

/// Request latency in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Smallest.
    pub min: f64,
    /// Mean.
    pub avg: f64,
    /// Largest.
    pub max: f64,
}

/// How a registered node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Registered, never alive.
    Starting,
    /// Its `alive` is there.
    Up,
    /// Alive, but the beats of its application are late.
    Suspect,
    /// Its `alive` is gone and it did not leave on purpose.
    Down,
    /// It left on purpose.
    Left,
    /// The monitor cannot see.
    Unknown,
    /// Down, and its ensemble is under maintenance.
    Maintenance,
}

impl NodeState {
    /// The word used in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Left => "left",
            Self::Unknown => "unknown",
            Self::Maintenance => "maintenance",
        }
    }
}

/// One node of the registry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its group, if it has one.
    pub group: Option<String>,
    /// Its id.
    pub id: String,
    /// `/nodes/ID` or `/nodes/GROUP/ID`.
    pub path: String,
    /// How it stands.
    pub state: NodeState,
    /// Since when.
    pub since: Timestamp,
    /// The session that holds its `alive`, as hex; the last one if it is gone.
    pub session: Option<String>,
    /// Its metadata: JSON if it is JSON, else text; null if there is none.
    pub metadata: serde_json::Value,
    /// Why it is in this state.
    pub evidence: Vec<String>,
    /// The open incident about it.
    pub incident: Option<String>,
}

/// Counts of one group of nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name; null for the nodes without a group.
    pub name: Option<String>,
    /// Registered, never alive.
    pub starting: usize,
    /// Alive.
    pub up: usize,
    /// Down.
    pub down: usize,
    /// Left on purpose.
    pub left: usize,
    /// Alive, with beats that are late.
    pub suspect: usize,
    /// Not to be seen.
    pub unknown: usize,
    /// Down under maintenance.
    pub maintenance: usize,
}

/// What a channel speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelKind {
    /// Alertmanager v4 JSON over HTTP.
    Webhook,
    /// DingTalk group robot.
    Dingtalk,
    /// E-mail by SMTP.
    Mail,
}

/// One place where notifications go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelStatus {
    /// Its name.
    pub name: String,
    /// What it speaks.
    pub kind: ChannelKind,
    /// Where it goes, without secrets.
    pub target: String,
    /// Entries waiting, in flight included.
    pub pending: usize,
    /// When the oldest of them was stored.
    pub oldest_pending: Option<Timestamp>,
    /// Entries confirmed by the receiver.
    pub confirmed: u64,
    /// Entries refused by the receiver for good.
    pub failed: u64,
    /// Entries that got too old before they could be delivered.
    pub expired: u64,
    /// The last error, and when.
    pub last_error: Option<String>,
    /// When that error was.
    pub last_error_at: Option<Timestamp>,
    /// When the receiver last confirmed one.
    pub last_confirmed_at: Option<Timestamp>,
}

/// Which half of an episode a notification tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The fault was found.
    Firing,
    /// The fault is gone.
    Resolved,
}

impl Phase {
    /// The word used in JSON and in `Idempotency-Key`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// How far a notification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// Stored, not sent yet, or to be sent again.
    Queued,
    /// On its way: the answer is not there yet.
    Sent,
    /// The receiver took it.
    Confirmed,
    /// The receiver refused it for good.
    Failed,
    /// It got too old before it could be delivered.
    Expired,
}

impl DeliveryState {
    /// The word used in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Confirmed => "confirmed",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

/// One notification to one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Name of the channel.
    pub channel: String,
    /// Which half of the episode it tells of.
    pub phase: Phase,
    /// How far it has come.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was stored.
    pub queued_at: Timestamp,
    /// When it was last tried.
    pub last_attempt_at: Option<Timestamp>,
    /// When it reached its final state.
    pub done_at: Option<Timestamp>,
    /// What went wrong at the last try, if something did.
    pub last_error: Option<String>,
}

/// What `notify test` found out. Secrets are masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelTest {
    /// Name of the channel.
    pub channel: String,
    /// What it speaks.
    pub kind: ChannelKind,
    /// What was sent.
    pub request: String,
    /// What came back.
    pub answer: String,
    /// Whether the receiver took it.
    pub delivered: bool,
    /// The verdict in one sentence, in the monitor's language.
    pub verdict: String,
}
