//! Agents on the servers' hosts: their pages are pulled and become samples of the servers.
//!
//! Which server a page is about follows from the agent's host and the client port on the page. What
//! cannot be pulled, is no agent's page or belongs to no member is a note, and ends its series.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use wk_probe::fetch::Fetcher;
use wk_probe::page::{Page, PageLimits, Series};
use wk_promql::{Labels, STALE, Sample};

use crate::engine::Event;
use crate::member::Member;
use crate::task::{Task, forward, supervise};

/// Makes the page that an agent on this host would serve; may wait for a disk. While one asking
/// waits, another gets at once what was read before, or `None` where that is too old.
pub type MakePage = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// How often a page is pulled.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long a pull may take.
const LIMIT: Duration = Duration::from_secs(3);
/// A clock is compared only if the pull was quicker: half of it is the error.
const CLOCK_PULL_MAX: Duration = Duration::from_millis(500);
/// What is taken of a page; whatever else an address serves is none of ours.
const TAKEN: &[&str] = &[
    "watchkeeper_server_disk_free_bytes",
    "watchkeeper_server_disk_size_bytes",
    "watchkeeper_server_files",
    "watchkeeper_server_cert_not_after_timestamp_seconds",
    "watchkeeper_server_process_start_time_seconds",
    "watchkeeper_agent_config_info",
    "watchkeeper_link_up",
];
/// Bounds of a page: an honest one has some dozen lines.
const LIMITS: PageLimits = PageLimits {
    bytes_max: 256 << 10,
    line_max: 4 << 10,
    series_max: 500,
    labels_max: 8,
    text_max: 1024,
};

/// One pull.
#[derive(Clone, Debug)]
pub(crate) struct Pull {
    /// The agent, as configured; none: this process itself, with a server in it.
    pub(crate) agent: Option<String>,
    /// When it ended, in milliseconds since 1970.
    at: i64,
    took: Duration,
    page: Result<Page, String>,
}

impl Pull {
    /// What notes about it are about.
    pub(crate) fn about(&self) -> String {
        match &self.agent {
            Some(agent) => format!("agent {agent}"),
            None => "this host".to_owned(),
        }
    }
}

/// Pulls one agent's page until nobody listens any more.
pub(crate) async fn watch(agent: String, pulls: mpsc::Sender<Pull>) {
    let Some(fetcher) = Fetcher::new() else { return };
    let url = format!("http://{agent}/metrics");
    let mut timer = tokio::time::interval(INTERVAL);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        let begun = Instant::now();
        let page = fetcher.page(&url, LIMITS, LIMIT).await.map_err(|err| err.to_string());
        let took = begun.elapsed();
        let pull = Pull { agent: Some(agent.clone()), at: wall(), took, page };
        if pulls.send(pull).await.is_err() {
            return;
        }
    }
}

/// Follows the host of the server in this process as long as the task is kept.
pub(crate) fn follow_own(ensemble: usize, make: MakePage, events: &mpsc::Sender<Event>) -> Task {
    let (pulls, pulled) = mpsc::channel(1);
    let wrap = move |pull| Event::Pulled { ensemble, pull: Box::new(pull) };
    forward(pulled, events.clone(), wrap);
    supervise("host", move || watch_own(Arc::clone(&make), pulls.clone()))
}

/// Asks for this host's page until nobody listens any more.
async fn watch_own(make: MakePage, pulls: mpsc::Sender<Pull>) {
    let mut timer = tokio::time::interval(INTERVAL);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        let begun = Instant::now();
        // While the first asking still waits for a slow disk, the second gets what was read before.
        let made = match ask(&make).await {
            Some(text) => Some(text),
            None => ask(&make).await,
        };
        let text = made.ok_or_else(|| "its disk does not answer in time".to_owned());
        let page = text.map(|text| Page::parse(text.as_bytes(), LIMITS));
        let pull = Pull { agent: None, at: wall(), took: begun.elapsed(), page };
        if pulls.send(pull).await.is_err() {
            return;
        }
    }
}

/// The page, if it can be had in time.
async fn ask(make: &MakePage) -> Option<String> {
    let make = Arc::clone(make);
    let made = tokio::task::spawn_blocking(move || make());
    tokio::time::timeout(LIMIT, made).await.ok()?.ok()?
}

/// Milliseconds since 1970.
fn wall() -> i64 {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

/// The series of one agent, as last sampled.
#[derive(Debug, Default)]
pub(crate) struct AgentSeries {
    live: BTreeSet<Labels>,
}

impl AgentSeries {
    /// The samples of a pull, and what to note. `labels`: those of everything in the ensemble.
    pub(crate) fn take(
        &mut self,
        pull: &Pull,
        labels: &[(&str, &str)],
        members: &[Member],
    ) -> (Vec<Sample>, Option<String>) {
        let (found, note) = match read(pull, labels, members) {
            Ok((found, notes)) if notes.is_empty() => (found, None),
            Ok((found, notes)) => (found, Some(format!("{}: {}", pull.about(), notes.join("; ")))),
            Err(why) => (Vec::new(), Some(format!("{}: {why}", pull.about()))),
        };
        let now: BTreeSet<Labels> = found.iter().map(|(labels, _)| labels.clone()).collect();
        let sample = |(labels, value)| Sample { labels, at: pull.at, value };
        let mut samples: Vec<Sample> = found.into_iter().map(sample).collect();
        samples.extend(self.live.difference(&now).map(|ended| sample((ended.clone(), STALE))));
        self.live = now;
        (samples, note)
    }
}

type Found = Vec<(Labels, f64)>;

fn read(
    pull: &Pull,
    labels: &[(&str, &str)],
    members: &[Member],
) -> Result<(Found, Vec<String>), String> {
    let page = pull.page.as_ref().map_err(|err| match &pull.agent {
        Some(agent) => format!("{err}: is `watchkeeper agent --listen {agent}` running there?"),
        None => err.clone(),
    })?;
    let info = page.series.iter().find(|series| series.name == "watchkeeper_agent_info");
    let info = info.ok_or_else(|| {
        "what answers there is no agent's page: correct [ensemble.NAME] agents in \
         watchkeeper.toml, `watchkeeper agent` listens on port 7182"
            .to_owned()
    });
    // An agent that cannot read its zoo.cfg has nothing but its notes.
    let mut notes: Vec<String> = page.series.iter().filter_map(note_of).collect();
    if info.is_err() && !notes.is_empty() {
        return Err(notes.join("; "));
    }
    let port = label(info?, "client_port");
    // Our own is on every member's host that has its port: there is but one.
    let instance = place(pull.agent.as_deref().unwrap_or_default(), port, members)?;
    let all = |series: &Series| {
        let own = series.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        // Ours last: they win over what a page may claim.
        let ours = labels.iter().copied().chain([("instance", instance.as_str())]);
        Labels::metric(&series.name, own.chain(ours))
    };
    let taken = page.series.iter().filter(|series| TAKEN.contains(&series.name.as_str()));
    let taken = taken.filter(|series| series.value.is_finite());
    let mut found: Found = taken.map(|series| (all(series), series.value)).collect();
    if let Some(time) = page.value("watchkeeper_agent_time_seconds")
        && pull.took <= CLOCK_PULL_MAX
    {
        let offset = time - (seconds(pull.at) - pull.took.as_secs_f64() / 2.0);
        let bare = Series::bare("watchkeeper_server_clock_offset_seconds", offset);
        found.push((all(&bare), offset));
    }
    if let Some(fault) = page.faults.first() {
        notes.push(fault.to_string());
    }
    Ok((found, notes))
}

fn note_of(series: &Series) -> Option<String> {
    (series.name == "watchkeeper_agent_note_info").then(|| label(series, "note").to_owned())
}

fn label<'s>(series: &'s Series, name: &str) -> &'s str {
    let found = series.labels.iter().find(|(known, _)| known == name);
    found.map_or("", |(_, value)| value.as_str())
}

/// The member that an agent's page is about: the one on its host with the client port that it says.
fn place(agent: &str, port: &str, members: &[Member]) -> Result<String, String> {
    let host = |address: &str| address.rsplit_once(':').map(|(host, _)| host.to_owned());
    let on_host = members.iter().filter(|member| host(&member.instance) == host(agent));
    let on_host: Vec<&Member> = on_host.collect();
    let with_port = |members: &[&Member]| {
        let fits = |m: &&&Member| m.instance.rsplit_once(':').is_some_and(|(_, p)| p == port);
        let fitting: Vec<String> =
            members.iter().filter(fits).map(|m| m.instance.clone()).collect();
        fitting
    };
    let all: Vec<&Member> = members.iter().collect();
    match (&with_port(&on_host)[..], &on_host[..], &with_port(&all)[..]) {
        // The second: clients use another port, by a proxy or a container.
        ([only], ..) | (_, [], [only]) => Ok(only.clone()),
        (_, [only], _) => Ok(only.instance.clone()),
        _ => Err(format!(
            "no member of the ensemble has its host or its client port {port:?}: \
             name the agent by the host that clients use"
        )),
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "watchkeeper_agent_info{client_port=\"2181\"} 1\n\
        watchkeeper_server_disk_free_bytes{dir=\"/data\"} 5\n\
        watchkeeper_server_disk_free_bytes{dir=\"/log\",instance=\"liar:1\",ensemble=\"x\"} 7\n\
        watchkeeper_agent_note_info{note=\"JKS\"} 1\n\
        up{job=\"zookeeper\"} 0\n\
        watchkeeper_agent_time_seconds 1700000001.5\n";

    fn pull(agent: &str, page: Result<&str, &str>) -> Pull {
        let page = page.map(|text| Page::parse(text.as_bytes(), LIMITS)).map_err(str::to_owned);
        let took = Duration::from_millis(200);
        Pull { agent: Some(agent.to_owned()), at: 1_700_000_000_100, took, page }
    }

    fn members(instances: &[&str]) -> Vec<Member> {
        instances.iter().map(|instance| Member::configured(instance)).collect()
    }

    fn shown(samples: &[Sample]) -> Vec<String> {
        samples.iter().map(|sample| format!("{} {}", sample.labels, sample.value)).collect()
    }

    #[test]
    fn a_page_becomes_samples_of_its_server_and_ends_with_it() {
        let mut series = AgentSeries::default();
        let members = members(&["zk1:2181", "zk2:2181"]);
        // A page may not claim another server's name; an empty site is none.
        let labels = [("ensemble", "e"), ("site", "")];
        let (samples, note) = series.take(&pull("zk2:7182", Ok(PAGE)), &labels, &members);
        let free = |dir: &str, value: u32| {
            let labels = format!(r#"dir="{dir}", ensemble="e", instance="zk2:2181""#);
            format!("watchkeeper_server_disk_free_bytes{{{labels}}} {value}")
        };
        let clock = "watchkeeper_server_clock_offset_seconds";
        let clock = format!(r#"{clock}{{ensemble="e", instance="zk2:2181"}} 1.5"#);
        assert_eq!(shown(&samples), [free("/data", 5), free("/log", 7), clock]);
        assert_eq!(note.as_deref(), Some("agent zk2:7182: JKS"));
        let (samples, note) = series.take(&pull("zk2:7182", Err("refused")), &labels, &members);
        assert!(samples.len() == 3 && samples.iter().all(|s| wk_promql::is_stale(s.value)));
        assert!(
            note.unwrap().contains("refused: is `watchkeeper agent --listen zk2:7182` running")
        );
        let (samples, _) = series.take(&pull("zk2:7182", Err("refused")), &labels, &members);
        assert_eq!(samples, [], "said once");
    }

    #[test]
    fn what_is_no_agent_or_no_members_is_a_clear_note() {
        let mut series = AgentSeries::default();
        let note = |series: &mut AgentSeries, agent: &str, page: &str, all: &[&str]| {
            series.take(&pull(agent, Ok(page)), &[], &members(all)).1.unwrap()
        };
        let other = note(&mut series, "zk1:7000", "znode_count 5\n", &["zk1:2181"]);
        assert!(other.contains("no agent's page"), "{other}");
        let stranger = note(&mut series, "x:7182", PAGE, &["zk1:2182", "zk2:2183"]);
        assert!(stranger.contains("client port \"2181\""), "{stranger}");
        let blind = "watchkeeper_agent_note_info{note=\"/x: cannot read\"} 1\n";
        let blind = note(&mut series, "zk1:7182", blind, &["zk1:2181"]);
        assert!(blind.contains("/x: cannot read"), "{blind}");
    }

    #[tokio::test]
    async fn the_host_of_a_server_in_this_process_is_asked_like_an_agent() {
        let (pulls, mut pulled) = mpsc::channel(1);
        let fresh = std::sync::atomic::AtomicBool::new(true);
        let make: MakePage = Arc::new(move || {
            let first = fresh.swap(false, std::sync::atomic::Ordering::Relaxed);
            first.then(|| PAGE.replace("watchkeeper_agent_time_seconds 1700000001.5\n", ""))
        });
        let asking = tokio::spawn(watch_own(make, pulls));
        let (members, mut series) = (members(&["127.0.0.1:2181"]), AgentSeries::default());
        let (samples, note) = series.take(&pulled.recv().await.unwrap(), &[], &members);
        let names: Vec<&str> = samples.iter().map(|sample| sample.labels.name()).collect();
        assert_eq!(names, ["watchkeeper_server_disk_free_bytes"; 2], "no clock against itself");
        assert!(samples.iter().all(|s| s.labels.get("instance") == "127.0.0.1:2181"));
        assert_eq!(note.as_deref(), Some("this host: JKS"));
        let (ends, note) = series.take(&pulled.recv().await.unwrap(), &[], &members);
        assert!(ends.len() == 2 && ends.iter().all(|s| wk_promql::is_stale(s.value)));
        assert_eq!(note.as_deref(), Some("this host: its disk does not answer in time"));
        drop(pulled);
        asking.await.unwrap();
    }

    #[tokio::test]
    async fn a_slow_disk_does_not_take_away_what_was_read_before() {
        let (pulls, mut pulled) = mpsc::channel(1);
        let (end, slow) = std::sync::mpsc::channel::<()>();
        let slow = std::sync::Mutex::new(slow);
        let make: MakePage = Arc::new(move || {
            // As a page that one caller reads and the others have from before.
            let Ok(reading) = slow.try_lock() else { return Some(PAGE.to_owned()) };
            let _ = reading.recv();
            None
        });
        let asking = tokio::spawn(watch_own(make, pulls));
        let pull = pulled.recv().await.unwrap();
        assert!(pull.page.is_ok() && pull.took >= LIMIT, "{pull:?}");
        drop((end, pulled));
        asking.await.unwrap();
    }

    #[test]
    fn a_server_is_found_by_host_and_port() {
        let one_host = members(&["127.0.0.1:1", "127.0.0.1:2"]);
        assert_eq!(place("127.0.0.1:9", "2", &one_host), Ok("127.0.0.1:2".into()));
        place("127.0.0.1:9", "3", &one_host).expect_err("two servers, neither has the port");
        let three = members(&["a:2181", "b:2181", "c:9000"]);
        assert_eq!(place("b:7182", "2181", &three), Ok("b:2181".into()));
        assert_eq!(place("c:7182", "2181", &three), Ok("c:9000".into()), "behind a proxy");
        assert_eq!(place("10.0.0.3:7182", "9000", &three), Ok("c:9000".into()), "another name");
    }
}
