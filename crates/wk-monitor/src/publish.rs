//! Draws the picture that pages and the API show.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wk_alert::node::{NodeKey, Nodes};
use wk_alert::server::{Probe, ServerDetector};
use wk_alert::{Entry, Finding, Ledger, Now, Severity, Subject};
use wk_client::Client;
use wk_probe::note::Note;

use crate::agents::AgentSeries;
use crate::canary::Perch;
use crate::channel::Channel;
use crate::config::{Config, EnsembleConfig};
use crate::doors::Doors;
use crate::judgement::Judgement;
use crate::member::Membership;
use crate::own::NodeSeries;
use crate::phi::PhiSeries;
use crate::probe::{Report, Srvr};
use crate::samples::ServerSeries;
use crate::task::{Followers, Probing, Task};
use crate::text::{Lang, Word};
use crate::time::Timestamp;
use crate::view::{
    ChannelStatus, DeliveryState, Ensemble, Fleet, Level, Server, ServerState, Sight, WindowFigures,
};

mod nodes;

pub(crate) use nodes::NodePictures;
use nodes::OpenNodes;

/// One ensemble as the owner knows it.
pub(crate) struct Watched {
    pub(crate) config: EnsembleConfig,
    pub(crate) membership: Membership,
    pub(crate) servers: Vec<WatchedServer>,
    pub(crate) client: Client,
    /// What keeps parts of the monitor from their work, by part.
    pub(crate) notes: BTreeMap<String, String>,
    pub(crate) nodes: Nodes,
    /// Its nodes as they were last shown.
    pub(crate) pictures: NodePictures,
    /// Nodes whose record changed since their series were last sampled.
    pub(crate) unsampled: BTreeSet<NodeKey>,
    pub(crate) node_series: NodeSeries,
    pub(crate) phis: PhiSeries,
    /// The agents on its hosts, with what their pages say.
    pub(crate) agents: BTreeMap<String, AgentSeries>,
    /// Pull the agents' pages and look at recipes as long as they are kept.
    pub(crate) _looking: Vec<Task>,
    /// Its election ports.
    pub(crate) doors: Doors,
    pub(crate) old_watches: bool,
    /// Finds its members as long as this is kept.
    pub(crate) _discovery: Task,
    /// Who led when somebody last did.
    pub(crate) last_leader: Option<String>,
    /// Follow its registry and its transactions as long as they are kept.
    pub(crate) _followers: Followers,
}

impl Watched {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    /// The server at `instance`, if it is watched.
    pub(crate) fn server(&mut self, instance: &str) -> Option<&mut WatchedServer> {
        self.servers.iter_mut().find(|server| server.detector.instance() == instance)
    }
}

/// One server as the owner knows it.
pub(crate) struct WatchedServer {
    pub(crate) detector: ServerDetector,
    pub(crate) series: ServerSeries,
    pub(crate) probing: Probing,
    pub(crate) perch: Option<Perch>,
    pub(crate) srvr: Option<Srvr>,
    /// Bytes free by folder, as its agent says.
    pub(crate) disks: BTreeMap<String, u64>,
    /// The hash over its zoo.cfg, as its agent says.
    pub(crate) config_file: Option<String>,
    mntr: Arc<[(String, String)]>,
    notes: BTreeSet<Note>,
    probe_seconds: Option<f64>,
    last_seen: Option<Timestamp>,
    last_error: Option<String>,
    probes: u64,
    failures: u64,
}

impl WatchedServer {
    pub(crate) fn new(detector: ServerDetector, probing: Probing, perch: Option<Perch>) -> Self {
        Self {
            detector,
            series: ServerSeries::default(),
            probing,
            perch,
            srvr: None,
            disks: BTreeMap::new(),
            config_file: None,
            mntr: Arc::default(),
            notes: BTreeSet::new(),
            probe_seconds: None,
            last_seen: None,
            last_error: None,
            probes: 0,
            failures: 0,
        }
    }

    /// Takes a probe's report; appends what the detector makes of it.
    pub(crate) fn take(&mut self, now: Now, report: Report, out: &mut Vec<Finding>) {
        self.detector.step(now, &report.probe, out);
        self.probes += 1;
        self.notes = report.notes;
        match &report.probe {
            Probe::Serving { .. } => {
                self.last_seen = Some(now.wall.into());
                self.last_error = None;
                self.probe_seconds = Some(report.took.as_secs_f64());
                self.srvr = report.srvr.map(|srvr| srvr.over(self.srvr.take()));
                self.mntr = report.mntr.unwrap_or_else(|| Arc::clone(&self.mntr));
            }
            Probe::NotServing { answer } => {
                self.failures += 1;
                self.last_seen = Some(now.wall.into());
                self.last_error = Some(answer.clone());
                // Figures of a server that does not serve would look alive.
                self.mntr = Arc::default();
            }
            Probe::NoAnswer { reason } | Probe::Barred { reason } => {
                self.failures += 1;
                self.last_error = Some(reason.clone());
                self.mntr = Arc::default();
            }
        }
    }

    /// A figure of its last answer.
    pub(crate) fn figure(&self, name: &str) -> Option<u64> {
        let (_, value) = self.mntr.iter().find(|(key, _)| key == name)?;
        value.parse().ok()
    }
}

/// The whole picture.
pub(crate) fn fleet(
    config: &Config,
    ensembles: &mut [Watched],
    ledger: &Ledger,
    channels: &BTreeMap<String, Channel>,
    opened: &BTreeMap<String, u64>,
    judgement: &Judgement,
) -> Fleet {
    let mut ensembles: Vec<Ensemble> =
        ensembles.iter_mut().map(|watched| ensemble(watched, ledger, config.lang)).collect();
    ensembles.sort_by(|a, b| b.level.cmp(&a.level).then_with(|| a.name.cmp(&b.name)));
    Fleet {
        as_of: Timestamp::now(),
        level: ensembles.iter().map(|ensemble| ensemble.level).max().unwrap_or_default(),
        ensembles,
        channels: channel_statuses(ledger, channels),
        open_incidents: ledger.incidents().values().filter(|i| needs_somebody(i)).count(),
        incidents_opened: opened.clone(),
        notes: judgement.errors.iter().map(|err| config.lang.rule_file(err)).collect(),
        window: WindowFigures {
            series: judgement.window.series(),
            bytes: judgement.window.bytes(),
            refused: judgement.refused,
        },
    }
}

/// Whether it is there and nothing speaks for it.
fn needs_somebody(incident: &wk_alert::Incident) -> bool {
    incident.is_open() && incident.suppressed.is_none()
}

fn ensemble(watched: &mut Watched, ledger: &Ledger, lang: Lang) -> Ensemble {
    let mut open: BTreeMap<&Subject, &str> = BTreeMap::new();
    let mut about_nodes = OpenNodes::new();
    let mut level = Level::Ok;
    let name = watched.name().to_owned();
    let about = |subject: &Subject| subject.ensemble == name;
    for incident in ledger.incidents().values().filter(|i| i.is_open() && about(&i.subject)) {
        open.insert(&incident.subject, &incident.id.0);
        if incident.subject.rule == wk_alert::node::NODE_DOWN {
            let Subject { group, node, .. } = &incident.subject;
            about_nodes.insert((group.as_deref(), node.as_deref().unwrap_or_default()), incident);
        }
        // Its cause, or the people who asked for quiet, speak for it.
        if incident.suppressed.is_some() {
            continue;
        }
        level = level.max(match incident.severity {
            Severity::Info => Level::Ok,
            Severity::Warning => Level::Warning,
            Severity::Critical => Level::Critical,
        });
    }
    let clear = watched.nodes.is_clear();
    let servers: Vec<Server> =
        watched.servers.iter().map(|one| server(one, watched.name(), &open)).collect();
    if !clear || servers.iter().any(|server| server.state == ServerState::Unknown) {
        level = level.max(Level::Unknown);
    }
    let silent = ledger.silences_in_force().collect::<Vec<_>>();
    let Watched { nodes, phis, pictures, .. } = watched;
    let nodes = pictures.draw(nodes, phis, &about_nodes, &silent, lang);
    let session = watched.client.session();
    Ensemble {
        name: watched.name().to_owned(),
        level,
        sight: Sight {
            clear,
            since: watched.nodes.clear_since().wall.into(),
            session: (session.0 != 0).then(|| session.to_string()),
        },
        groups: nodes::groups(&nodes),
        voters: voters(&watched.servers),
        servers,
        nodes,
        notes: notes(watched, lang),
    }
}

/// As the leader says, else as most others did.
fn voters(servers: &[WatchedServer]) -> Option<u64> {
    let told = |leads: bool| {
        let of = servers.iter().filter_map(|server| server.srvr.as_ref());
        of.filter(|srvr| (srvr.mode.as_deref() == Some("leader")) == leads)
            .filter_map(|srvr| srvr.voters)
            .max()
    };
    told(true).or_else(|| told(false))
}

fn server(one: &WatchedServer, ensemble: &str, open: &BTreeMap<&Subject, &str>) -> Server {
    let instance = one.detector.instance();
    let subject = |rule| Subject::server(rule, ensemble, instance);
    let rules = [wk_alert::server::UNREACHABLE, wk_alert::server::NOT_SERVING];
    let incident = rules.iter().find_map(|rule| open.get(&subject(rule)));
    let srvr = one.srvr.clone().unwrap_or_default();
    let leads = srvr.mode.as_deref() == Some("leader");
    Server {
        instance: instance.to_owned(),
        state: one.detector.state().into(),
        since: one.detector.since().wall.into(),
        mode: srvr.mode,
        version: srvr.version,
        zxid: srvr.zxid,
        latency: srvr.latency,
        lag: srvr.lag.filter(|_| one.detector.state() == wk_alert::server::ServerState::Up),
        fsync_seconds: srvr.fsync,
        leading_seconds: srvr.leading.filter(|_| leads),
        probe_seconds: one.probe_seconds,
        connections: srvr.connections,
        outstanding: srvr.outstanding,
        znodes: srvr.znodes.or_else(|| one.figure("znode_count")),
        watches: one.figure("watch_count"),
        ephemerals: one.figure("ephemerals_count"),
        data_bytes: one.figure("approximate_data_size"),
        last_seen: one.last_seen,
        last_error: one.last_error.clone(),
        incident: incident.map(|id| (*id).to_owned()),
        probes_total: one.probes,
        probe_failures_total: one.failures,
        monitor_rows: Arc::clone(&one.mntr),
    }
}

fn notes(watched: &Watched, lang: Lang) -> Vec<String> {
    let mut notes = Vec::new();
    // Several servers may say the same of their ensemble.
    let said: BTreeSet<&Note> = watched.servers.iter().flat_map(|server| &server.notes).collect();
    notes.extend(said.into_iter().map(|note| lang.note(note)));
    notes.extend(watched.notes.values().cloned());
    if watched.old_watches {
        notes.push(lang.sentence(Word::OldWatches, std::slice::from_ref(&watched.config.name)));
    }
    notes
}

fn channel_statuses(ledger: &Ledger, channels: &BTreeMap<String, Channel>) -> Vec<ChannelStatus> {
    let mut by_channel: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in ledger.entries().values() {
        by_channel.entry(&entry.key.channel).or_default().push(entry);
    }
    let none = Vec::new();
    let status = |channel: &Channel| {
        let entries = by_channel.get(channel.name()).unwrap_or(&none);
        let count = |state: DeliveryState| {
            let matching = entries.iter().filter(|e| DeliveryState::from(e.state) == state);
            u64::try_from(matching.count()).unwrap_or(u64::MAX)
        };
        let failed = entries.iter().filter(|entry| entry.last_error.is_some());
        let failed = failed.max_by_key(|entry| entry.last_attempt_at);
        let confirmed = entries.iter().filter(|e| e.state == wk_alert::EntryState::Confirmed);
        let pending = || entries.iter().filter(|entry| !entry.state.is_final());
        ChannelStatus {
            name: channel.name().to_owned(),
            kind: channel.kind(),
            target: channel.target(),
            pending: pending().count(),
            oldest_pending: pending().map(|entry| entry.queued_at.into()).min(),
            confirmed: count(DeliveryState::Confirmed),
            failed: count(DeliveryState::Failed),
            expired: count(DeliveryState::Expired),
            last_error: failed.and_then(|entry| entry.last_error.clone()),
            last_error_at: failed.and_then(|e| e.last_attempt_at).map(Timestamp::from),
            last_confirmed_at: confirmed.filter_map(|e| e.done_at).max().map(Timestamp::from),
        }
    };
    channels.values().map(status).collect()
}
