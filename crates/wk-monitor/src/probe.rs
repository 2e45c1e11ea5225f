//! Probes: what a server says of itself by `srvr` and `mntr`, asked one at a time.
//!
//! A word costs the server a line in its log: a healthy server is asked seldom, one whose answer has
//! just changed often, until the detector has made up its mind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};
use wk_alert::server::Probe;
use wk_client::four_letter;

use crate::view::Latency;

/// After a change, so many probes at this distance.
const CLOSE_LOOKS: u32 = 6;
const CLOSE_INTERVAL: Duration = Duration::from_millis(500);
/// How often a word that was refused is asked again: the operator may have allowed it.
const REFUSED_INTERVAL: Duration = Duration::from_mins(1);
/// How much of an odd answer is kept as evidence.
const SHOWN_MAX: usize = 120;

/// What one probe brought.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) probe: Probe,
    pub(crate) took: Duration,
    /// What `srvr` said, if it answered so.
    pub(crate) srvr: Option<Srvr>,
    /// The rows of `mntr`, if it was asked and answered.
    pub(crate) mntr: Option<Arc<[(String, String)]>>,
    /// Words that the server's whitelist refuses.
    pub(crate) refused: Vec<&'static str>,
}

/// The answer to `srvr`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Srvr {
    pub(crate) version: Option<String>,
    pub(crate) mode: Option<String>,
    pub(crate) zxid: Option<String>,
    pub(crate) latency: Option<Latency>,
    pub(crate) connections: Option<u64>,
    pub(crate) outstanding: Option<u64>,
    pub(crate) znodes: Option<u64>,
}

/// How a server is probed.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    pub(crate) interval: Duration,
    pub(crate) figures_interval: Duration,
    pub(crate) timeout: Duration,
}

/// Probes one server until nobody listens any more; `nudge` asks for a look at once.
pub(crate) async fn watch(
    address: String,
    pace: Pace,
    nudge: Arc<Notify>,
    reports: mpsc::Sender<Report>,
) {
    let mut close_looks = CLOSE_LOOKS;
    let mut last_kind = None;
    let mut figures_due = Instant::now();
    loop {
        let begun = Instant::now();
        let mut report = ask_srvr(&address, pace.timeout).await;
        let kind = std::mem::discriminant(&report.probe);
        if last_kind.replace(kind) != Some(kind) {
            close_looks = CLOSE_LOOKS;
        }
        let serving = matches!(report.probe, Probe::Serving { .. });
        if serving && figures_due <= Instant::now() {
            let refused = ask_mntr(&address, pace.timeout, &mut report).await;
            let interval = if refused { REFUSED_INTERVAL } else { pace.figures_interval };
            figures_due = Instant::now() + interval;
        }
        if reports.send(report).await.is_err() {
            return;
        }
        let interval = if close_looks > 0 { CLOSE_INTERVAL } else { pace.interval };
        close_looks = close_looks.saturating_sub(1);
        tokio::select! {
            () = tokio::time::sleep(interval.saturating_sub(begun.elapsed())) => (),
            () = nudge.notified() => {
                close_looks = CLOSE_LOOKS;
                // A nudge during a probe must not make two in a breath.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn ask_srvr(address: &str, timeout: Duration) -> Report {
    let begun = Instant::now();
    let answer = four_letter(address, "srvr", timeout).await;
    let took = begun.elapsed();
    let (probe, srvr, refused) = match answer {
        Err(err) => (Probe::NoAnswer { reason: format!("srvr: {err}") }, None, vec![]),
        Ok(text) => read_srvr(&text),
    };
    Report { probe, took, srvr, mntr: None, refused }
}

/// Says whether the word was refused.
async fn ask_mntr(address: &str, timeout: Duration, report: &mut Report) -> bool {
    let Ok(text) = four_letter(address, "mntr", timeout).await else { return false };
    if is_refusal(&text) {
        report.refused.push("mntr");
        return true;
    }
    report.mntr = Some(read_mntr(&text));
    false
}

fn read_srvr(text: &str) -> (Probe, Option<Srvr>, Vec<&'static str>) {
    if is_refusal(text) {
        // It is alive; whether it serves, the session of our own must tell.
        return (Probe::Serving { mode: "?".into() }, None, vec!["srvr"]);
    }
    let srvr = parse_srvr(text);
    match &srvr.mode {
        Some(mode) => (Probe::Serving { mode: mode.clone() }, Some(srvr), vec![]),
        None if text.trim().is_empty() => {
            let reason = "srvr: closed without an answer (connection limit?)".into();
            (Probe::NoAnswer { reason }, None, vec![])
        }
        None => {
            let answer = text.trim().chars().take(SHOWN_MAX).collect();
            (Probe::NotServing { answer }, None, vec![])
        }
    }
}

fn is_refusal(text: &str) -> bool {
    text.contains("not executed because it is not in the whitelist")
}

fn parse_srvr(text: &str) -> Srvr {
    let mut srvr = Srvr::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once(": ")) {
        let value = value.trim();
        match key {
            "Zookeeper version" => srvr.version = value.split(',').next().map(str::to_owned),
            "Mode" => srvr.mode = Some(value.to_owned()),
            "Zxid" => srvr.zxid = Some(value.to_owned()),
            "Latency min/avg/max" => srvr.latency = parse_latency(value),
            "Connections" => srvr.connections = value.parse().ok(),
            "Outstanding" => srvr.outstanding = value.parse().ok(),
            "Node count" => srvr.znodes = value.parse().ok(),
            _ => (),
        }
    }
    srvr
}

/// `0/0.5/12`, in milliseconds.
fn parse_latency(text: &str) -> Option<Latency> {
    let mut parts = text.split('/').map(|part| part.parse::<f64>().map(|ms| ms / 1000.0));
    let mut next = || parts.next()?.ok();
    Some(Latency { min: next()?, avg: next()?, max: next()? })
}

/// `zk_name<TAB>value` a line.
fn read_mntr(text: &str) -> Arc<[(String, String)]> {
    let row = |line: &str| {
        let (name, value) = line.split_once('\t')?;
        Some((name.strip_prefix("zk_")?.to_owned(), value.trim().to_owned()))
    };
    text.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "Zookeeper version: 3.9.5-abc, built on 2025-01-01 00:00 UTC\n\
        Latency min/avg/max: 0/0.5/12\nReceived: 5\nSent: 4\nConnections: 2\nOutstanding: 1\n\
        Zxid: 0x500000003\nMode: follower\nNode count: 17\n";

    #[test]
    fn srvr_is_read() {
        let (probe, srvr, _) = read_srvr(ANSWER);
        assert_eq!(probe, Probe::Serving { mode: "follower".into() });
        let srvr = srvr.expect("read");
        assert_eq!(srvr.version.as_deref(), Some("3.9.5-abc"));
        assert_eq!(srvr.zxid.as_deref(), Some("0x500000003"));
        assert_eq!(srvr.latency, Some(Latency { min: 0.0, avg: 0.0005, max: 0.012 }));
        assert_eq!((srvr.connections, srvr.outstanding, srvr.znodes), (Some(2), Some(1), Some(17)));
    }

    #[test]
    fn not_serving_refused_and_empty_are_told_apart() {
        let (probe, ..) = read_srvr("This ZooKeeper instance is not currently serving requests\n");
        assert!(matches!(probe, Probe::NotServing { answer } if answer.starts_with("This Zoo")));
        let refusal = "srvr is not executed because it is not in the whitelist.\n";
        let (probe, _, refused) = read_srvr(refusal);
        assert!(matches!(probe, Probe::Serving { .. }));
        assert_eq!(refused, ["srvr"]);
        assert!(matches!(read_srvr("").0, Probe::NoAnswer { .. }));
    }

    #[test]
    fn mntr_rows_lose_their_prefix() {
        let rows = read_mntr("zk_version\t3.9.5\nzk_znode_count\t5\nnoise\n");
        assert_eq!(rows[1], ("znode_count".to_owned(), "5".to_owned()));
        assert_eq!(rows.len(), 2);
    }
}
