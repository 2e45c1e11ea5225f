//! One look at one server, by capability: its metrics page (quiet: each second), else AdminServer,
//! else a four-letter word (each costs the server a line in its log).
//!
//! A [`Looker`] belongs to one server and looks once at a time. It learns in the background what
//! the server offers and learns anew as long as something is missing. A page that is slow is backed
//! by a word, so that `up` says whether the *server* answers within about a second, whatever the
//! state of its page. It never asks for what changes a server (`srst`, `crst`) or costs it much.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use wk_client::Connect;
use wk_promql::Sample;
use wk_proto::Mono;

use crate::board::Board;
use crate::fetch::Fetcher;
use crate::figures::Figures;
use crate::note::{Note, NoteKind};
use crate::words::{Conf, OURS};

mod asking;
mod learn;
mod series;

use learn::{Learned, Learner};
use series::{Fact, SeriesOfServer};

/// The server to look at.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// The ensemble's name, for the label.
    pub ensemble: String,
    /// Where it stands, for the label.
    pub site: Option<String>,
    /// `host:port` of its client port.
    pub instance: String,
    /// What is known of its other ports beforehand.
    pub ports: Ports,
}

/// Ports that the configuration gives; the others are learnt, or are the defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// Of the metrics page. Default: what AdminServer says, else 7000.
    pub metrics: Option<u16>,
    /// Of AdminServer. Default 8080.
    pub admin: Option<u16>,
    /// No other watched server is on that host: a default port can only be this one's.
    pub alone_on_host: bool,
    /// The instance's port is the one with TLS, which AdminServer's figures do not name.
    pub secure: bool,
}

/// How often, and how long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The longest wait for any one answer. Default 1 s.
    pub limit: Duration,
    /// A page slower than this is backed by a word. Default 400 ms.
    pub patience: Duration,
    /// How often AdminServer's `monitor` is asked, or `mntr`. Default 5 s and 10 s.
    pub monitor: Duration,
    /// How often `mntr` is asked where nothing better is offered. Default 10 s.
    pub mntr: Duration,
    /// How often its version, role and last txn are asked. Default 10 s.
    pub identity: Duration,
    /// How often its configuration is read. Default 60 s.
    pub conf: Duration,
    /// How often that which is missing is looked for again. Default 60 s.
    pub learn: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let ten = Duration::from_secs(10);
        Self {
            limit: Duration::from_secs(1),
            patience: Duration::from_millis(400),
            monitor: Duration::from_secs(5),
            mntr: ten,
            identity: ten,
            conf: Duration::from_mins(1),
            learn: Duration::from_mins(1),
        }
    }
}

/// Whether it answers and serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It serves, in this role; `?` where it does not tell.
    Serving {
        /// `leader`, `follower`, `observer`, `standalone`, `read-only`.
        mode: String,
    },
    /// It answered that it does not serve.
    NotServing {
        /// How it said so.
        answer: String,
    },
    /// No answer by any way.
    NoAnswer {
        /// What failed.
        reason: String,
        /// How far the question came.
        silence: Silence,
    },
    /// It is there and does not let us in, or its certificate is not trusted.
    Barred {
        /// What does not fit.
        reason: String,
    },
}

/// How far a question came that nobody answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// To the host: it says that nobody listens on a port of the server's.
    Refused,
    /// Nobody knows: no answer in time, or no way there.
    Full,
}

impl Silence {
    /// What two questions tell together: a host that answered one of them is there.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self == Self::Refused { self } else { other }
    }
}

/// Who it is, as far as it was told; kept from look to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// `3.9.5`.
    pub version: Option<String>,
    /// Its role as it last said itself.
    pub mode: Option<String>,
    /// Its last txn.
    pub zxid: Option<u64>,
}

/// What one look brought.
#[derive(Clone, Debug)]
pub struct Look {
    /// The server, as `host:port`.
    pub instance: String,
    /// When it was looked at: milliseconds since 1970.
    pub at: i64,
    /// How long the first answer took.
    pub took: Duration,
    /// Whether it answers and serves.
    pub outcome: Outcome,
    /// `up`, its figures, and the ends of series that are no more.
    pub samples: Vec<Sample>,
    /// The same figures without labels of ours; `None` if this look brought no new ones.
    pub figures: Option<Figures>,
    /// Who it is.
    pub identity: Identity,
    /// What could not be seen.
    pub notes: BTreeSet<Note>,
}

/// The board that the lookers of one ensemble share.
pub type SharedBoard = Arc<Mutex<Board>>;

/// What asking brought, by whatever way.
#[derive(Clone, Debug, PartialEq)]
enum Sight {
    /// It serves; with figures if they were asked for.
    Serving(Option<Figures>),
    /// It lives and does not serve; with the figures that it still shows.
    NotServing(String, Option<Figures>),
    /// It says nothing.
    Silent(String, Silence),
    /// It is there; it and we do not trust each other.
    Barred(String),
}

/// Looks at one server, once at a time.
pub struct Looker {
    target: Target,
    pace: Pace,
    fetcher: Option<Fetcher>,
    connect: Arc<dyn Connect>,
    board: SharedBoard,
    /// Where [`Mono`] begins, the same for all that share a board.
    origin: Instant,
    learner: Learner,
    learned: Learned,
    learning: JoinSet<Learned>,
    /// Words that the whitelist refuses, and when they were.
    refused: BTreeMap<&'static str, Instant>,
    identity: Identity,
    conf: Option<Conf>,
    identity_due: Instant,
    conf_due: Instant,
    figures_due: Instant,
    learn_due: Instant,
    learns: u32,
    /// What the last look came to, to notice a change.
    last: Option<(bool, Option<String>)>,
    notes: BTreeSet<Note>,
    series: SeriesOfServer,
}

impl Looker {
    /// A looker that has not looked. Words go over `connect`; `origin` must be the same for all that
    /// share the board.
    pub fn new(
        target: Target,
        pace: Pace,
        connect: Arc<dyn Connect>,
        board: SharedBoard,
        origin: Instant,
    ) -> Self {
        let (now, fetcher) = (Instant::now(), Fetcher::new());
        Self {
            series: SeriesOfServer::new(&target),
            learner: Learner::new(&target, pace, fetcher.clone(), Arc::clone(&connect)),
            target,
            pace,
            fetcher,
            connect,
            board,
            origin,
            learned: Learned::default(),
            learning: JoinSet::new(),
            refused: BTreeMap::new(),
            identity: Identity::default(),
            conf: None,
            identity_due: now,
            conf_due: now,
            figures_due: now,
            learn_due: now,
            learns: 0,
            last: None,
            notes: BTreeSet::new(),
        }
    }

    /// Whether a page tells of this server without a line in its log, so that a look each second
    /// costs it nothing.
    pub fn is_quiet(&self) -> bool {
        let serves = self.last.as_ref().is_none_or(|(serves, _)| *serves);
        // AdminServer logs each call while it does not serve.
        self.learned.metrics.is_some() || self.learned.admin.is_some() && serves
    }

    /// Its role as last seen.
    pub fn leads(&self) -> bool {
        self.identity.mode.as_deref() == Some("leader")
    }

    /// Looks once. `at` is the wall clock now, in milliseconds since 1970.
    pub async fn look(&mut self, at: i64) -> Look {
        self.learn();
        let begun = Instant::now();
        self.notes.clear();
        let sight = self.sight().await;
        let took = begun.elapsed();
        if !matches!(sight, Sight::Silent(..) | Sight::Barred(_)) {
            self.know(&sight).await;
        }
        let outcome = self.outcome(&sight);
        if !matches!(outcome, Outcome::Serving { .. }) {
            self.board().post_silence(&self.target.instance);
        }
        if matches!(sight, Sight::Silent(..)) {
            // It may come back with another configuration.
            self.conf_due = Instant::now();
        }
        let serves = matches!(outcome, Outcome::Serving { .. });
        if matches!(sight, Sight::Silent(..)) || self.last.as_ref().is_some_and(|l| l.0 != serves) {
            // What it offers may be other than before.
            self.learn_due = self.learn_due.min(Instant::now() + LEARN_SOON);
        }
        self.last = Some((serves, self.identity.mode.clone()));
        let figures = match sight {
            Sight::Serving(figures) | Sight::NotServing(_, figures) => figures,
            Sight::Silent(..) | Sight::Barred(_) => None,
        };
        let figures = figures.map(|figures| self.complete(figures));
        self.note(&outcome);
        let facts = self.facts();
        let samples = self.series.take(at, &outcome, figures.as_ref(), &facts);
        let (instance, identity) = (self.target.instance.clone(), self.identity.clone());
        let notes = self.notes.clone();
        Look { instance, at, took, outcome, samples, figures, identity, notes }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mono(&self) -> Mono {
        let nanos = Instant::now().saturating_duration_since(self.origin).as_nanos();
        Mono(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Takes what was learnt, and starts to learn what is missing.
    fn learn(&mut self) {
        if let Some(Ok(learned)) = self.learning.try_join_next() {
            self.learned = learned;
        }
        let missing = self.learned.metrics.is_none() || self.learned.admin.is_none();
        if missing && self.learning.is_empty() && self.learn_due <= Instant::now() {
            self.learns = self.learns.saturating_add(1);
            // Just after its start a server serves before its pages do.
            let wait = if self.learns < LEARNS_SOON { LEARN_SOON } else { self.pace.learn };
            self.learn_due = Instant::now() + wait;
            let (learner, known) = (self.learner.clone(), self.learned.clone());
            self.learning.spawn(async move { learner.learn(known).await });
        }
    }

    fn outcome(&self, sight: &Sight) -> Outcome {
        match sight {
            Sight::Serving(figures) => {
                let told = figures.as_ref().and_then(Figures::mode).map(str::to_owned);
                let mode = told.or_else(|| self.identity.mode.clone());
                Outcome::Serving { mode: mode.unwrap_or_else(|| "?".to_owned()) }
            }
            Sight::NotServing(answer, _) => Outcome::NotServing { answer: answer.clone() },
            Sight::Silent(reason, silence) => {
                Outcome::NoAnswer { reason: reason.clone(), silence: *silence }
            }
            Sight::Barred(reason) => Outcome::Barred { reason: reason.clone() },
        }
    }

    /// Adds what Apache's names need and this version or way does not show.
    fn complete(&self, mut figures: Figures) -> Figures {
        let mode = figures.mode().map(str::to_owned).or_else(|| self.identity.mode.clone());
        let mode = mode.as_deref().unwrap_or_default();
        if !figures.serves() {
            return figures;
        }
        if matches!(mode, "leader" | "follower" | "observer")
            && let Some(voters) = self.board().voters()
        {
            figures.add("quorum_size", crate::figures::as_float(voters as u64));
        }
        if mode == "leader" {
            figures.add("leader_uptime", self.series.leading_for().as_secs_f64() * 1000.0);
            if figures.value("synced_followers").is_some() {
                // Before 3.6 an observer never was among them.
                figures.add("synced_non_voting_followers", 0.0);
            }
        }
        figures
    }

    /// What is known of it beside its figures, as series.
    fn facts(&self) -> Vec<Fact> {
        let board = self.board();
        let instance = &self.target.instance;
        let mut facts = Vec::new();
        if let Some(version) = self.identity.version.clone() {
            facts.push(("watchkeeper_server_version_info", Some(("version", version)), 1.0));
        }
        if let Some(hash) = board.config_hash(instance) {
            facts.push(("watchkeeper_server_config_info", Some(("config_hash", hash)), 1.0));
        }
        if let Some(lag) = board.lag(instance) {
            facts.push(("watchkeeper_server_zxid_lag_txns", None, f64::from(lag)));
        }
        facts
    }

    /// Says what is missing and matters.
    fn note(&mut self, outcome: &Outcome) {
        let instance = self.target.instance.clone();
        let mut say = |kind, args: Vec<String>| {
            self.notes.insert(Note::new(kind, &instance, args));
        };
        if let Some((port, other)) = &self.learned.foreign_admin {
            say(NoteKind::ForeignAdmin, vec![port.to_string(), other.clone()]);
        }
        if let Outcome::Barred { reason } = outcome {
            say(NoteKind::Barred, vec![reason.clone()]);
        }
        if !matches!(outcome, Outcome::Serving { .. }) {
            return;
        }
        let pages = self.learned.metrics.is_some() || self.learned.admin.is_some();
        if !pages && self.refused.contains_key("mntr") {
            say(NoteKind::FiguresHidden, vec![]);
        }
        if self.learned.admin.is_none() && self.refused.contains_key("conf") {
            say(NoteKind::ConfHidden, vec![]);
        }
        let version = self.identity.version.as_deref().unwrap_or_default();
        let old = ["3.4.", "3.5."].iter().any(|old| version.starts_with(old));
        let has_provider = !version.is_empty() && !old && !version.ends_with(OURS);
        if self.learned.metrics.is_none() && self.learned.looked && has_provider {
            say(NoteKind::NoMetricsPage, vec![]);
        }
        let differences = self.board().differences();
        for difference in differences.into_iter().take(DIFFERENCES_MAX) {
            let of = |(value, who): (String, Vec<String>)| format!("{value}: {}", who.join(", "));
            let values: Vec<String> = difference.values.into_iter().map(of).collect();
            // The same note whoever says it.
            let args = [difference.key, values.join("; ")];
            self.notes.insert(Note::new(NoteKind::ConfigDiffers, &self.target.ensemble, args));
        }
    }
}

/// The first times, what is missing is looked for again this soon.
const LEARN_SOON: Duration = Duration::from_secs(5);
const LEARNS_SOON: u32 = 6;
/// So many keys that differ are named.
const DIFFERENCES_MAX: usize = 8;
