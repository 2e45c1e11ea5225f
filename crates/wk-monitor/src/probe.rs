//! The task that looks at one server, and what it reports of each look.
//!
//! A server with a page is looked at each second. Where only words answer, each costs the server a
//! line in its log: a healthy one is then asked seldom, one whose answer has just changed often,
//! until the detector has made up its mind.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};
use wk_alert::server::Probe;
use wk_client::Connect;
use wk_probe::figures::Figures;
use wk_probe::look::{self, Look, Looker, Outcome, SharedBoard, Silence, Target};
use wk_probe::note::Note;
use wk_promql::Sample;

use crate::time::Timestamp;
use crate::view::Latency;

/// How often a server is looked at that a page tells of.
const QUIET_INTERVAL: Duration = Duration::from_secs(1);
/// After a change, so many looks at this distance.
const CLOSE_LOOKS: u32 = 6;
const CLOSE_INTERVAL: Duration = Duration::from_millis(500);
/// So long after the leader the others are looked at: a follower's last txn is then compared with
/// what the leader had just before.
const AFTER_LEADER: Duration = Duration::from_millis(300);

/// What one look brought.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) probe: Probe,
    /// Where nobody answered: the host said that the port is closed.
    pub(crate) refused: bool,
    pub(crate) took: Duration,
    /// What it says of itself, if it serves.
    pub(crate) srvr: Option<Srvr>,
    /// Its figures as rows, if this look brought new ones.
    pub(crate) mntr: Option<Arc<[(String, String)]>>,
    /// `up` and its figures, with the ends of those that are no more.
    pub(crate) samples: Vec<Sample>,
    /// What could not be seen.
    pub(crate) notes: BTreeSet<Note>,
}

/// What a server says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Srvr {
    pub(crate) version: Option<String>,
    pub(crate) mode: Option<String>,
    pub(crate) zxid: Option<String>,
    /// What follows is `None` in a look without new figures.
    pub(crate) latency: Option<Latency>,
    pub(crate) connections: Option<u64>,
    pub(crate) outstanding: Option<u64>,
    pub(crate) znodes: Option<u64>,
    /// Txns behind the leader, as this look has it.
    pub(crate) lag: Option<u64>,
    /// In seconds.
    pub(crate) fsync: Option<f64>,
    pub(crate) leading: Option<f64>,
    pub(crate) voters: Option<u64>,
}

impl Srvr {
    /// This one, with the figures of `older` where this look brought none.
    pub(crate) fn over(self, older: Option<Self>) -> Self {
        let older = older.unwrap_or_default();
        Self {
            latency: self.latency.or(older.latency),
            connections: self.connections.or(older.connections),
            outstanding: self.outstanding.or(older.outstanding),
            znodes: self.znodes.or(older.znodes),
            fsync: self.fsync.or(older.fsync),
            leading: self.leading.or(older.leading),
            voters: self.voters.or(older.voters),
            ..self
        }
    }
}

/// Whom a task looks at, and how.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) target: Target,
    pub(crate) pace: look::Pace,
    /// How often it is looked at where only words answer.
    pub(crate) words_interval: Duration,
    pub(crate) connect: Arc<dyn Connect>,
    pub(crate) board: SharedBoard,
    pub(crate) origin: Instant,
}

/// Looks at one server until nobody listens any more; `nudge` asks for a look at once.
pub(crate) async fn watch(setup: Setup, nudge: Arc<Notify>, reports: mpsc::Sender<Report>) {
    let phase = phase(&setup.target.ensemble);
    let (connect, board) = (Arc::clone(&setup.connect), Arc::clone(&setup.board));
    let mut looker = Looker::new(setup.target, setup.pace, connect, board, setup.origin);
    let mut close_looks = CLOSE_LOOKS;
    let mut last_kind = None;
    loop {
        let report = Report::of(looker.look(Timestamp::now().0).await);
        let kind = std::mem::discriminant(&report.probe);
        if last_kind.replace(kind) != Some(kind) {
            close_looks = CLOSE_LOOKS;
        }
        if reports.send(report).await.is_err() {
            return;
        }
        let wait = if close_looks > 0 {
            CLOSE_INTERVAL
        } else {
            let interval = if looker.is_quiet() { QUIET_INTERVAL } else { setup.words_interval };
            let own = if looker.leads() { Duration::ZERO } else { AFTER_LEADER };
            until_next(Timestamp::now().0, interval, phase + own)
        };
        close_looks = close_looks.saturating_sub(1);
        tokio::select! {
            () = tokio::time::sleep(wait) => (),
            () = nudge.notified() => {
                close_looks = CLOSE_LOOKS;
                // A nudge during a look must not make two in a breath.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Ensembles are looked at at different times within the second.
fn phase(ensemble: &str) -> Duration {
    let mut hasher = DefaultHasher::new();
    ensemble.hash(&mut hasher);
    Duration::from_millis(hasher.finish() % 1000)
}

/// The time from `now` (milliseconds since 1970) to the next full `interval` and `phase`, at least
/// half an interval away.
fn until_next(now: i64, interval: Duration, phase: Duration) -> Duration {
    let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX).max(1);
    let interval = millis(interval);
    let mut wait = (millis(phase) - now).rem_euclid(interval);
    if wait < interval / 2 {
        wait += interval;
    }
    Duration::from_millis(wait.unsigned_abs())
}

impl Report {
    fn of(look: Look) -> Self {
        let refused = matches!(look.outcome, Outcome::NoAnswer { silence: Silence::Refused, .. });
        let probe = match look.outcome {
            Outcome::Serving { mode } => Probe::Serving { mode },
            Outcome::NotServing { answer } => Probe::NotServing { answer },
            Outcome::NoAnswer { reason, .. } => Probe::NoAnswer { reason },
            Outcome::Barred { reason } => Probe::Barred { reason },
        };
        let figures = look.figures.as_ref();
        let srvr = match &probe {
            // It lives, and nobody says more.
            Probe::Serving { mode } if mode == "?" && figures.is_none() => None,
            Probe::Serving { mode } => Some(Srvr {
                version: look.identity.version,
                mode: (mode != "?").then(|| mode.clone()),
                zxid: look.identity.zxid.map(|zxid| format!("{zxid:#x}")),
                latency: figures.and_then(latency),
                connections: figures.and_then(|f| whole(f, "num_alive_connections")),
                outstanding: figures.and_then(|f| whole(f, "outstanding_requests")),
                znodes: figures.and_then(|f| whole(f, "znode_count")),
                lag: lag(&look.samples),
                fsync: figures.and_then(fsync),
                leading: figures.filter(|_| mode == "leader").and_then(Figures::leading_seconds),
                voters: figures.and_then(|f| whole(f, "quorum_size")),
            }),
            Probe::NotServing { .. } | Probe::NoAnswer { .. } | Probe::Barred { .. } => None,
        };
        let mntr = figures.filter(|_| srvr.is_some()).map(rows);
        let Look { took, samples, notes, .. } = look;
        Self { probe, refused, took, srvr, mntr, samples, notes }
    }
}

fn latency(figures: &Figures) -> Option<Latency> {
    let seconds = |name| Some(figures.measured(name)? / 1000.0);
    let (min, avg) = (seconds("min_latency")?, seconds("avg_latency")?);
    Some(Latency { min, avg, max: seconds("max_latency")? })
}

fn whole(figures: &Figures, name: &str) -> Option<u64> {
    figures.measured(name).and_then(count)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn count(value: f64) -> Option<u64> {
    (value >= 0.0).then_some(value as u64)
}

fn lag(samples: &[Sample]) -> Option<u64> {
    let lag = samples.iter().find(|s| s.labels.name() == "watchkeeper_server_zxid_lag_txns")?;
    count(lag.value)
}

/// The 99th percentile of its syncs, else their mean; none if it has not synced.
fn fsync(figures: &Figures) -> Option<f64> {
    let worst = figures.series.iter().find(|series| {
        let is_99 = |(name, value): &(String, String)| name == "quantile" && value == "0.99";
        series.name == "fsynctime" && series.labels.iter().any(is_99)
    });
    let worst = worst.map(|series| series.value).filter(|value| value.is_finite());
    let mean = || Some(figures.measured("fsynctime_sum")? / figures.measured("fsynctime_count")?);
    let millis = worst.or_else(mean).filter(|millis| millis.is_finite() && *millis >= 0.0)?;
    Some(millis / 1000.0)
}

/// `name{label="value"}` and the value.
fn rows(figures: &Figures) -> Arc<[(String, String)]> {
    let row = |series: &wk_probe::page::Series| {
        let labels: Vec<String> =
            series.labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let name = &series.name;
        let key = if labels.is_empty() {
            name.clone()
        } else {
            format!("{name}{{{}}}", labels.join(","))
        };
        (key, series.value.to_string())
    };
    figures.series.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wk_probe::page::PageLimits;

    #[test]
    fn looks_come_at_the_phase_and_never_in_a_breath() {
        let next = |now, phase| {
            until_next(now, Duration::from_secs(1), Duration::from_millis(phase)).as_millis()
        };
        assert_eq!((next(1_000, 300), next(1_000, 700)), (1300, 700));
        assert_eq!((next(1_299, 300), next(1_301, 300)), (1001, 999));
        assert!(phase("a") < Duration::from_secs(1));
    }

    #[test]
    fn nonsense_on_a_page_becomes_no_figure() {
        for value in ["-1", "NaN", "+Inf", "-Inf"] {
            let page = "znode_count V\nnum_alive_connections V\nmin_latency V\navg_latency V\n\
                        max_latency V\nfsynctime{quantile=\"0.99\"} V\nleader_uptime V\n";
            let page = page.replace('V', value);
            let page = wk_probe::page::Page::parse(page.as_bytes(), PageLimits::default());
            let look = Look {
                instance: "h:1".into(),
                at: 1,
                took: Duration::ZERO,
                outcome: Outcome::Serving { mode: "leader".into() },
                samples: Vec::new(),
                figures: Some(Figures::from_page(page)),
                identity: look::Identity::default(),
                notes: BTreeSet::new(),
            };
            let srvr = Report::of(look).srvr.expect("it serves");
            assert_eq!((srvr.znodes, srvr.connections), (None, None), "{value}");
            assert_eq!((srvr.latency, srvr.fsync, srvr.leading), (None, None, None), "{value}");
        }
    }

    #[test]
    fn a_look_becomes_rows_and_figures_for_the_pages() {
        let figures = Figures::from_mntr(
            "zk_znode_count\t5\nzk_min_latency\t0\nzk_avg_latency\t0.5\nzk_max_latency\t12\n\
             zk_fsynctime{quantile=\"0.5\"}\tNaN\nzk_fsynctime_sum\t30\nzk_fsynctime_count\t10\n\
             zk_quorum_size\t3\nzk_leader_uptime\t9000\n",
        );
        let name = "watchkeeper_server_zxid_lag_txns";
        let behind = Sample { labels: wk_promql::Labels::metric(name, []), at: 1, value: 7.0 };
        let look = Look {
            instance: "h:1".into(),
            at: 1,
            took: Duration::ZERO,
            outcome: Outcome::Serving { mode: "follower".into() },
            samples: vec![behind],
            figures: Some(figures),
            identity: look::Identity { zxid: Some(0x5_0000_0003), ..look::Identity::default() },
            notes: BTreeSet::new(),
        };
        let report = Report::of(look);
        assert_eq!(report.probe, Probe::Serving { mode: "follower".into() });
        let srvr = report.srvr.expect("it serves");
        assert_eq!(srvr.zxid.as_deref(), Some("0x500000003"));
        assert_eq!(srvr.latency, Some(Latency { min: 0.0, avg: 0.0005, max: 0.012 }));
        assert_eq!((srvr.znodes, srvr.connections), (Some(5), None));
        assert_eq!((srvr.lag, srvr.fsync, srvr.voters), (Some(7), Some(0.003), Some(3)));
        assert_eq!(srvr.leading, None, "it follows now");
        let rows = report.mntr.expect("it has figures");
        let row = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert!(rows.contains(&row("znode_count", "5")));
        assert!(rows.contains(&row("fsynctime{quantile=\"0.5\"}", "NaN")));
    }
}
