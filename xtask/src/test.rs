//! `cargo xtask test`: all steps in order, each counted, none skipped in silence.
//!
//! One debug build of the workspace serves every step after the lints; only the simulator's broken
//! variants are built apart. A step that fails does not stop the others, except a failed build.

use anyhow::{Context, Result};
use wk_peers::{Cache, Peer, Version};

use crate::cargo::{self, Counts, TestBinary, cargo};
use crate::golden;
use crate::report::Report;
use crate::sim;
use crate::tidy;

/// A group of interop tests, the peer in it, and what must be fetched for it.
struct Group {
    /// The module in crates/watchkeeper/tests/it.
    module: &'static str,
    /// What the closing lines call it.
    title: &'static str,
    needs: &'static [Peer],
}

/// The groups that need real peers. Each must run at least one test. A module of that binary that
/// is not listed here needs no peer and runs in the quick command too.
const PEER_GROUPS: &[Group] = &[
    Group { module: "script", title: "Apache, one scripted session", needs: &[Peer::ZooKeeper] },
    Group { module: "words", title: "Apache's four-letter words", needs: &[Peer::ZooKeeper] },
    Group { module: "zkcli", title: "Apache zkCli", needs: &[Peer::ZooKeeper] },
    Group { module: "kazoo", title: "kazoo 2.11.0", needs: &[Peer::Python] },
    Group { module: "crash", title: "kill -9 under kazoo", needs: &[Peer::Python] },
    Group { module: "shell", title: "our verbs at Apache", needs: &[Peer::ZooKeeper] },
    Group { module: "tls", title: "Apache's secure port", needs: &[Peer::ZooKeeper] },
    Group {
        module: "secure",
        title: "our secure port: zkCli, kazoo, our verbs",
        needs: &[Peer::ZooKeeper, Peer::Python],
    },
    Group {
        module: "logins",
        title: "logins by SASL: zkCli, kazoo",
        needs: &[Peer::ZooKeeper, Peer::PythonSasl],
    },
    Group { module: "rust_client", title: "zookeeper-client 0.11.2", needs: &[] },
    Group {
        module: "canary",
        title: "the canary at Apache ensembles 3.9, 3.4",
        needs: &[Peer::ZooKeeper, Peer::ZooKeeperAt(Version::V3_4)],
    },
    Group {
        module: "ensembles",
        title: "Apache ensembles 3.9, 3.8, 3.5, 3.4",
        needs: &[
            Peer::ZooKeeper,
            Peer::ZooKeeperAt(Version::V3_8),
            Peer::ZooKeeperAt(Version::V3_5),
            Peer::ZooKeeperAt(Version::V3_4),
        ],
    },
    Group {
        module: "probes",
        title: "looks at Apache 3.9, 3.8, 3.5, 3.4",
        needs: &[
            Peer::ZooKeeper,
            Peer::ZooKeeperAt(Version::V3_8),
            Peer::ZooKeeperAt(Version::V3_5),
            Peer::ZooKeeperAt(Version::V3_4),
        ],
    },
    Group {
        module: "tap",
        title: "the tap beside Apache's txn logs",
        needs: &[Peer::ZooKeeper, Peer::ZooKeeperAt(Version::V3_8)],
    },
    Group {
        module: "agent",
        title: "the agent beside Apache members",
        needs: &[Peer::ZooKeeper, Peer::Prometheus],
    },
    Group {
        module: "recipes",
        title: "kazoo's and Curator's recipes from outside",
        needs: &[Peer::ZooKeeper, Peer::Python, Peer::Curator],
    },
    Group { module: "faults", title: "faults of an Apache ensemble", needs: &[Peer::ZooKeeper] },
    Group { module: "curator", title: "Curator 5.9.0", needs: &[Peer::Curator] },
    Group { module: "admin", title: "Apache's AdminServer", needs: &[Peer::ZooKeeper] },
    Group {
        module: "prometheus",
        title: "Prometheus and promtool",
        needs: &[Peer::Prometheus, Peer::ZooKeeper],
    },
    Group {
        module: "promql",
        title: "Prometheus' PromQL suite and engine",
        needs: &[Peer::PromqlOracle],
    },
    Group { module: "rules", title: "promtool, the same verdicts", needs: &[Peer::Prometheus] },
    Group {
        module: "guide",
        title: "the guide's lines of kazoo and Curator",
        needs: &[Peer::Python, Peer::Curator],
    },
    Group { module: "browser", title: "Chromium", needs: &[Peer::Browser] },
    Group {
        module: "disk",
        title: "one data directory, Apache and us",
        needs: &[Peer::ZooKeeper, Peer::Python],
    },
    Group {
        module: "tools",
        title: "our tools beside Apache's on one directory",
        needs: &[Peer::ZooKeeper, Peer::Python],
    },
    Group { module: "supervisor", title: "systemd's protocols", needs: &[Peer::Python] },
    Group {
        module: "channels",
        title: "mail by aiosmtpd, DingTalk, webhook",
        needs: &[Peer::Python],
    },
    Group {
        module: "hostile",
        title: "hostile names, broken rules, unknown keys",
        needs: &[Peer::Python],
    },
    Group {
        module: "alarm",
        title: "the first alarm, end to end",
        needs: &[Peer::ZooKeeper, Peer::Python],
    },
];

/// The modules of the interop tests that are known to need peers.
pub(crate) fn peer_modules() -> impl Iterator<Item = &'static str> {
    PEER_GROUPS.iter().map(|group| group.module)
}

/// `cargo xtask test --quick`.
pub(crate) fn quick(report: &mut Report) -> Result<()> {
    lints(report);
    let binaries = build(report)?;
    own_tests(report, &binaries)?;
    sim::seeds(report);
    Ok(())
}

/// `cargo xtask test`.
pub(crate) fn everything(report: &mut Report) -> Result<()> {
    lints(report);
    let binaries = build(report)?;
    own_tests(report, &binaries)?;
    sim::step(report);
    golden::check(report);
    let it = interop_binary(&binaries)?;
    for group in PEER_GROUPS {
        peer_group(report, it, group);
    }
    Ok(())
}

/// `cargo xtask interop [GROUP]`.
pub(crate) fn interop(report: &mut Report, only: Option<&str>) -> Result<()> {
    report.begin("build");
    let command = cargo(&["test", "-p", "watchkeeper", "--test", "it", "--no-run"]);
    let binaries = cargo::build(report, command)?;
    let it = interop_binary(&binaries)?;
    let chosen: Vec<&Group> =
        PEER_GROUPS.iter().filter(|group| only.is_none_or(|name| name == group.module)).collect();
    for group in &chosen {
        peer_group(report, it, group);
    }
    if let (true, Some(module)) = (chosen.is_empty(), only) {
        let title = format!("tests/it {module}");
        report.begin(&title);
        let counts = it.run(report, &[&format!("{module}::")]);
        finish(report, &title, counts, MustRun::Yes);
    }
    Ok(())
}

fn lints(report: &mut Report) {
    cargo::check(report, "format", &["fmt", "--all", "--check"]);
    tidy::step(report);
    let clippy = ["clippy", "--workspace", "--all-targets", "--color", "never", "--"];
    cargo::check(report, "lints", &[&clippy[..], &["-D", "warnings"]].concat());
}

fn build(report: &mut Report) -> Result<Vec<TestBinary>> {
    report.begin("build");
    let binaries = cargo::build(report, cargo(&["test", "--workspace", "--no-run"]))?;
    report.pass("build");
    Ok(binaries)
}

/// Everything that needs nothing but cargo: one row per crate.
fn own_tests(report: &mut Report, binaries: &[TestBinary]) -> Result<()> {
    for binary in binaries {
        let name = if binary.target.replace('_', "-") == binary.package {
            binary.package.clone()
        } else {
            format!("{} {}", binary.package, binary.target)
        };
        let tests = binary.tests()?;
        let is_interop = is_interop(binary);
        let with_peers =
            tests.iter().filter(|test| is_interop && peer_module(test).is_some()).count();
        if tests.len() == with_peers {
            continue;
        }
        report.begin(&name);
        let skips: Vec<String> =
            PEER_GROUPS.iter().map(|group| format!("{}::", group.module)).collect();
        let args: Vec<&str> = skips.iter().flat_map(|skip| ["--skip", skip.as_str()]).collect();
        let counts = binary.run(report, if is_interop { &args } else { &[] });
        finish(report, &name, counts, MustRun::Yes);
    }
    report.begin("examples in the documentation");
    let counts = cargo::run_tests(report, &mut cargo(&["test", "--workspace", "--doc"]));
    finish(report, "examples in the documentation", counts, MustRun::No);
    Ok(())
}

/// Fetches what the group needs and runs it.
fn peer_group(report: &mut Report, it: &TestBinary, group: &Group) {
    report.begin(group.title);
    for peer in group.needs {
        if let Err(err) = fetch(report, *peer) {
            report.fail(group.title, &format!("{err:#}"));
            return;
        }
    }
    // Without capture a peer's own counts come through; one thread more than cores does no harm,
    // these tests mostly wait for other processes.
    let filter = format!("{}::", group.module);
    let counts = it.run(report, &[&filter, "--show-output"]);
    finish(report, group.title, counts, MustRun::Yes);
}

fn fetch(report: &mut Report, peer: Peer) -> Result<()> {
    let cache = Cache::open()?;
    let (send, heard) = std::sync::mpsc::channel();
    let worker = std::thread::spawn(move || {
        peer.ensure(&cache, &|what| drop(send.send(what.to_owned()))).map(drop)
    });
    for what in heard {
        report.say(&format!("      {what}"));
    }
    worker.join().unwrap_or_else(|_| Err(anyhow::anyhow!("fetching {} panicked", peer.title())))
}

/// Whether a group without tests is a failure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MustRun {
    Yes,
    No,
}

fn finish(report: &mut Report, name: &str, counts: Result<Counts>, must: MustRun) {
    match counts {
        Ok(counts) if must == MustRun::Yes && counts.passed + counts.failed == 0 => {
            report.fail(name, &format!("{name}: no test ran"));
        }
        Ok(counts) => {
            let inner: Vec<String> =
                counts.inner.iter().map(|(who, number)| format!("{who}: {number}")).collect();
            report.count(name, counts.passed, counts.failed, &inner.join(", "));
        }
        Err(err) => report.fail(name, &format!("{err:#}")),
    }
}

fn is_interop(binary: &TestBinary) -> bool {
    binary.package == "watchkeeper" && binary.target == "it"
}

fn interop_binary(binaries: &[TestBinary]) -> Result<&TestBinary> {
    binaries.iter().find(|binary| is_interop(binary)).context("crates/watchkeeper/tests/it is gone")
}

fn peer_module(test: &str) -> Option<&'static Group> {
    let module = test.split("::").next()?;
    PEER_GROUPS.iter().find(|group| group.module == module)
}
