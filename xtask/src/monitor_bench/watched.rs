//! The monitor that is measured: the real binary on one core, told about by a webhook.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use wk_peers::process::bound;
use wk_peers::receivers::Webhook;
use wk_peers::{Process, wait};

use super::table::Shown;

/// Kernel clock ticks a second, in which /proc counts CPU time on every Linux port of today.
const TICKS: f64 = 100.0;
/// The longest wait until everything is seen.
const COMPLETE_MAX: Duration = Duration::from_mins(5);
/// Between two looks at the whole picture: each costs the monitor something.
const LOOK: Duration = Duration::from_secs(1);

/// `watchkeeper up`, kept on one core.
pub(super) struct Watched {
    process: Process,
    webhook: Webhook,
    web: u16,
    started: Instant,
}

/// What it had used at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    cpu: f64,
    pub(super) resident_kib: u64,
}

impl Usage {
    /// The share of a core that was used since.
    pub(super) fn cpu_since(&self, before: &Self, time: Duration) -> f64 {
        (self.cpu - before.cpu) / time.as_secs_f64()
    }
}

/// Keeps this process and what it starts off that core, where there is another.
pub(super) fn leave_core(core: usize) -> Result<()> {
    let cores = std::thread::available_parallelism().context("count the cores")?.get();
    let others: Vec<String> = (0..cores).filter(|n| *n != core).map(|n| n.to_string()).collect();
    if others.is_empty() {
        return Ok(());
    }
    let mut command = Command::new("taskset");
    command.args(["-acp", &others.join(","), &std::process::id().to_string()]);
    wk_peers::process::run("taskset", &mut command).map(drop)
}

impl Watched {
    /// Starts it over fresh data.
    pub(super) fn start(binary: &Path, dir: &Path, toml: &str, core: usize) -> Result<Self> {
        let file = dir.join("watchkeeper.toml");
        fs::write(&file, toml).context("write watchkeeper.toml")?;
        let [web, client] = wait::free_ports()?;
        let webhook = Webhook::start()?;
        let mut command = Command::new("taskset");
        command.args(["-c", &core.to_string()]).arg(binary).arg("up");
        command.args(["--web", &format!("127.0.0.1:{web}")]);
        command.args(["--client", &format!("127.0.0.1:{client}")]);
        command.arg("--data").arg(dir.join("monitor")).arg("--config").arg(&file);
        command.args(["--lang", "en", "--notify", &webhook.url()]);
        let log = dir.join("up.log");
        let started = Instant::now();
        let mut process = Process::start("watchkeeper up", &mut bound(&command), &log)?;
        wait::until("`up` to be ready", wait::LONG, || {
            if process.ended()?.is_some() {
                bail!("it ended:\n{}", process.tail());
            }
            Ok(wait::http_get(web, "/healthz")?.0.contains(" 200 ").then_some(()))
        })?;
        Ok(Self { process, webhook, web, started })
    }

    /// Waits until all servers are up and all nodes alive; gives the time since the start.
    pub(super) fn wait_complete(&self, servers: usize, nodes: usize) -> Result<Duration> {
        let mut last = String::new();
        let found = wait::until("the whole picture", COMPLETE_MAX, || {
            std::thread::sleep(LOOK);
            let metrics = wait::http_get(self.web, "/metrics")?.1;
            let sum = |start: &str, with: &str| -> f64 {
                let rows =
                    metrics.lines().filter(|row| row.starts_with(start) && row.contains(with));
                rows.filter_map(|row| row.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
            };
            let up = sum("watchkeeper_server_up{", "");
            let alive = sum("watchkeeper_nodes{", "state=\"up\"");
            last = format!("{up} servers and {alive} nodes");
            // One more than played: the monitor's own.
            Ok((up >= servers as f64 + 1.0 && alive >= nodes as f64).then_some(()))
        });
        found.with_context(|| format!("{last}\n{}", self.process.tail()))?;
        Ok(self.started.elapsed())
    }

    /// CPU time and memory now.
    pub(super) fn usage(&self) -> Result<Usage> {
        let of = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.process.id()));
        let stat = of("stat").with_context(|| self.process.tail())?;
        // The command's name, in brackets, may hold anything.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let fields: Vec<f64> = fields.map(|field| field.parse().unwrap_or(0.0)).collect();
        let ticks = |at: usize| fields.get(at).copied().context("read CPU times");
        let status = of("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let line = line.context("no VmRSS")?.trim().trim_end_matches(" kB");
        let resident_kib = line.parse().context("read VmRSS")?;
        Ok(Usage { cpu: (ticks(11)? + ticks(12)?) / TICKS, resident_kib })
    }

    /// How many beginnings were told so far.
    pub(super) fn opened(&self) -> usize {
        let told = self.webhook.acted();
        told.iter().filter(|one| one.status() == "firing").map(|one| one.alerts().len()).sum()
    }

    /// When the webhook first accepted that a rule fires about something.
    pub(super) fn told(
        &self,
        rule: &str,
        label: &str,
        value: &str,
        max: Duration,
    ) -> Result<Instant> {
        wait::until(&format!("{rule} about {value}"), max, || {
            let taken = self.webhook.taken();
            let about = taken.iter().find(|one| {
                let mut alerts = one.alerts().into_iter();
                alerts.any(|a| a.rule == rule && a.status == "firing" && a.labels[label] == value)
            });
            Ok(about.map(|one| one.at))
        })
    }

    /// What else was told, by rule.
    pub(super) fn others(&self) -> BTreeMap<String, usize> {
        let mut others = BTreeMap::new();
        for alert in self.webhook.acted().iter().flat_map(wk_peers::receivers::Notification::alerts)
        {
            let expected = ["NodeDown", "ZkServerUnreachable"].contains(&alert.rule.as_str());
            if !expected && alert.status == "firing" {
                *others.entry(alert.rule).or_default() += 1;
            }
        }
        others
    }

    /// How long its answers take and how big they are.
    pub(super) fn pages(&self) -> Result<Vec<Shown>> {
        let paths = ["/", "/api/v1/fleet", "/api/v1/status", "/metrics"];
        let show = |path: &str| {
            let begun = Instant::now();
            let (_, body) = wait::http_get(self.web, path)?;
            Ok(Shown { path: path.to_owned(), bytes: body.len(), took: begun.elapsed() })
        };
        paths.into_iter().map(show).collect()
    }

    /// What it says of its own window.
    pub(super) fn own_figures(&self) -> Result<BTreeMap<String, f64>> {
        let metrics = wait::http_get(self.web, "/metrics")?.1;
        let rows = metrics.lines().filter(|row| row.starts_with("watchkeeper_monitor_"));
        let row = |row: &str| {
            let (name, value) = row.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Ok(rows.filter_map(row).collect())
    }

    /// The whole picture, for questions.
    #[expect(dead_code, reason = "for a look at what is wrong")]
    pub(super) fn fleet(&self) -> Result<Value> {
        let (_, body) = wait::http_get(self.web, "/api/v1/fleet")?;
        serde_json::from_str(&body).context("read the fleet")
    }
}
