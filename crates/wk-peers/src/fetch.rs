//! Which peers there are, at which version, and how each comes into the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::{Cache, workspace_root};
use crate::process::run;
use crate::tools::{Tool, apt, apt_lists_present, go};
use crate::versions::Version;

/// A peer that can be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Apache ZooKeeper 3.9.5 with zkCli and its other tools.
    ZooKeeper,
    /// Apache ZooKeeper of another release.
    ZooKeeperAt(Version),
    /// Curator 5.9.0: framework, recipes, service discovery.
    Curator,
    /// kazoo 2.11.0 with its own tests, and the SMTP server aiosmtpd, in a Python venv.
    Python,
    /// kazoo 2.11.0 with pure-sasl, which its logins need, in a Python venv of its own.
    PythonSasl,
    /// Prometheus and promtool.
    Prometheus,
    /// iptables and strace.
    FaultTools,
    /// Prometheus' own PromQL suite and engine, as a program that judges ours
    /// (crates/wk-promql/oracle).
    PromqlOracle,
    /// Chromium's headless shell with fonts, and playwright-core to drive it.
    Browser,
}

impl Peer {
    /// The name for messages.
    pub fn title(self) -> &'static str {
        match self {
            Self::ZooKeeper => Version::V3_9.title(),
            Self::ZooKeeperAt(version) => version.title(),
            Self::Curator => "Curator 5.9.0",
            Self::Python => "kazoo 2.11.0 and aiosmtpd 1.4.6",
            Self::PythonSasl => "kazoo 2.11.0 with pure-sasl 0.6.2",
            Self::Prometheus => "Prometheus with promtool",
            Self::FaultTools => "iptables and strace",
            Self::PromqlOracle => "Prometheus' PromQL suite",
            Self::Browser => "Chromium headless shell and playwright-core",
        }
    }

    /// Makes sure that the peer is in the cache and gives its folder there.
    ///
    /// `say` is told before anything that takes time. Safe to call from many processes at once.
    ///
    /// # Errors
    /// When a tool is missing or a package cannot be had; a later call tries again.
    pub fn ensure(self, cache: &Cache, say: &dyn Fn(&str)) -> Result<PathBuf> {
        let fetch = || match self {
            Self::ZooKeeper => zookeeper(cache, Version::V3_9, say),
            Self::ZooKeeperAt(version) => zookeeper(cache, version, say),
            Self::Curator => jars(cache, "curator-5.9.0", &curator_jars(), say),
            Self::Python => python(cache, say),
            Self::PythonSasl => python_sasl(cache, say),
            Self::Prometheus => debs(cache, "prometheus", &["prometheus"], say),
            Self::FaultTools => debs(cache, "fault-tools", &["iptables", "strace"], say),
            Self::PromqlOracle => promql_oracle(cache, say),
            Self::Browser => browser(cache, say),
        };
        fetch().with_context(|| format!("fetch {}", self.title()))
    }
}

fn zookeeper(cache: &Cache, version: Version, say: &dyn Fn(&str)) -> Result<PathBuf> {
    jars(cache, &format!("zk-{version}"), &version.jars(), say)
}

fn curator_jars() -> Vec<String> {
    [
        "org.apache.curator:curator-recipes:5.9.0",
        "org.apache.curator:curator-x-discovery:5.9.0",
        "org.slf4j:slf4j-nop:2.0.13",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Copies run-time jars with all that they need into `name`.
fn jars(cache: &Cache, name: &str, wanted: &[String], say: &dyn Fn(&str)) -> Result<PathBuf> {
    Tool::Jdk.ensure(cache, say)?;
    let dir = cache.path(name);
    cache.once(name, &wanted.join(" "), || {
        Tool::Maven.ensure(cache, say)?;
        say(&format!("fetching {name} with Maven"));
        let project = tempfile::tempdir().context("make a folder for Maven")?;
        let pom = project.path().join("pom.xml");
        fs::write(&pom, project_of(wanted)?).with_context(|| format!("write {}", pom.display()))?;
        fresh_dir(&dir)?;
        let mut mvn = Command::new("mvn");
        mvn.args(["-B", "-q", "-f"])
            .arg(&pom)
            .arg("org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies")
            .arg("-DincludeScope=runtime")
            .arg(format!("-DoutputDirectory={}", dir.display()));
        run("mvn", &mut mvn).map(drop)
    })?;
    Ok(dir)
}

/// The smallest Maven project that depends on `wanted` (`group:artifact:version` each).
fn project_of(wanted: &[String]) -> Result<String> {
    let mut dependencies = Vec::new();
    for coordinates in wanted {
        let mut parts = coordinates.split(':');
        let mut part = || parts.next().with_context(|| format!("{coordinates} has three parts"));
        let (group, artifact, version) = (part()?, part()?, part()?);
        dependencies.push(format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>"
        ));
    }
    Ok(format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\
         <modelVersion>4.0.0</modelVersion><groupId>x</groupId><artifactId>x</artifactId>\
         <version>1</version><packaging>pom</packaging>\
         <dependencies>{}</dependencies></project>",
        dependencies.concat()
    ))
}

/// A venv with kazoo, all that its own tests need, and aiosmtpd; kazoo's source beside it.
fn python(cache: &Cache, say: &dyn Fn(&str)) -> Result<PathBuf> {
    const KAZOO: &str = "kazoo==2.11.0";
    // A pyOpenSSL newer than 23.3 breaks kazoo's own test harness (`add_extensions`).
    const PACKAGES: [&str; 3] = ["kazoo[test]==2.11.0", "pyopenssl==23.3.0", "aiosmtpd==1.4.6"];
    let dir = cache.path("python");
    cache.once("python", &PACKAGES.join(" "), || {
        Tool::Python.ensure(cache, say)?;
        say("fetching kazoo and aiosmtpd with pip");
        fresh_dir(&dir)?;
        run("python3 -m venv", Command::new("python3").args(["-m", "venv"]).arg(&dir))?;
        let pip = || Command::new(dir.join("bin/pip"));
        run("pip install", pip().args(["install", "-q"]).args(PACKAGES))?;
        let mut download = pip();
        download.args(["download", "-q", "--no-deps", "--no-binary", ":all:", KAZOO, "-d"]);
        run("pip download", download.arg(dir.join("sdist")))?;
        let archive = dir.join("sdist/kazoo-2.11.0.tar.gz");
        let mut tar = Command::new("tar");
        run("tar", tar.arg("xzf").arg(archive).arg("-C").arg(dir.join("sdist")))?;
        Ok(())
    })?;
    Ok(dir)
}

/// A venv with kazoo and what it needs to log in by SASL.
fn python_sasl(cache: &Cache, say: &dyn Fn(&str)) -> Result<PathBuf> {
    const PACKAGES: [&str; 2] = ["kazoo==2.11.0", "pure-sasl==0.6.2"];
    let dir = cache.path("python-sasl");
    cache.once("python-sasl", &PACKAGES.join(" "), || {
        Tool::Python.ensure(cache, say)?;
        say("fetching kazoo and pure-sasl with pip");
        fresh_dir(&dir)?;
        run("python3 -m venv", Command::new("python3").args(["-m", "venv"]).arg(&dir))?;
        let mut pip = Command::new(dir.join("bin/pip"));
        run("pip install", pip.args(["install", "-q"]).args(PACKAGES)).map(drop)
    })?;
    Ok(dir)
}

/// Builds the program that judges our PromQL: `oracle`, and beside it `testdata`, a link to the
/// suite's files in the module that go.mod pins.
fn promql_oracle(cache: &Cache, say: &dyn Fn(&str)) -> Result<PathBuf> {
    let source = workspace_root().join("crates/wk-promql/oracle");
    let mut spec = String::new();
    for extension in ["go", "mod", "sum"] {
        for file in files(&source, extension)? {
            let text = fs::read_to_string(&file);
            spec += &text.with_context(|| format!("read {}", file.display()))?;
        }
    }
    let dir = cache.path("promql-oracle");
    cache.once("promql-oracle", &spec, || {
        Tool::Go.ensure(cache, say)?;
        say("building Prometheus' PromQL suite with Go");
        fresh_dir(&dir)?;
        let go = || {
            let mut command = Command::new(go());
            command
                .current_dir(&source)
                .env("GOMODCACHE", cache.path("go/mod"))
                .env("GOCACHE", cache.path("go/build"))
                .env("GOFLAGS", "-mod=readonly -modcacherw -buildvcs=false")
                .env("GOTOOLCHAIN", "local")
                .env("CGO_ENABLED", "0");
            command
        };
        run("go build", go().arg("build").arg("-o").arg(dir.join("oracle")).arg("."))?;
        let module = "github.com/prometheus/prometheus";
        let found = run("go list", go().args(["list", "-m", "-f", "{{.Dir}}", module]))?;
        let testdata = Path::new(found.trim()).join("promql/promqltest/testdata");
        let link = dir.join("testdata");
        std::os::unix::fs::symlink(&testdata, &link)
            .with_context(|| format!("link {}", link.display()))
    })?;
    Ok(dir)
}

/// Unpacks Debian packages, and what they need beyond the installed ones, into `name`: nothing
/// is installed, no service starts.
fn debs(cache: &Cache, name: &str, packages: &[&str], say: &dyn Fn(&str)) -> Result<PathBuf> {
    let dir = cache.path(name);
    cache.once(name, &packages.join(" "), || {
        if !apt_lists_present()? {
            say("reading Debian's package lists");
            cache.locked("apt", || apt(&["update"]))?;
        }
        say(&format!("fetching {} from Debian", packages.join(" ")));
        fresh_dir(&dir)?;
        let store = tempfile::tempdir_in(&dir).context("make a folder for apt-get")?;
        fs::create_dir_all(store.path().join("archives/partial")).context("prepare apt-get")?;
        let place = format!("Dir::Cache={}", store.path().display());
        let mut args = vec!["-o", place.as_str(), "-o", "Debug::NoLocking=1"];
        args.extend(["-o", "APT::Sandbox::User=root", "--no-install-recommends"]);
        args.extend(["--download-only", "-y", "install"]);
        args.extend(packages);
        // Lists older than the archive name packages that are gone by now: read them anew once.
        if apt(&args).is_err() {
            say("reading Debian's package lists anew");
            cache.locked("apt", || apt(&["update"]))?;
            apt(&args)?;
        }
        for archive in files(&store.path().join("archives"), "deb")? {
            run("dpkg -x", Command::new("dpkg").arg("-x").arg(archive).arg(&dir))?;
        }
        Ok(())
    })?;
    Ok(dir)
}

fn browser(cache: &Cache, say: &dyn Fn(&str)) -> Result<PathBuf> {
    const PLAYWRIGHT: &str = "playwright-core@1.65.1";
    const PACKAGES: [&str; 3] =
        ["chromium-headless-shell", "fonts-noto-cjk", "fonts-noto-color-emoji"];
    let npm = cache.path("playwright");
    cache.once("playwright", PLAYWRIGHT, || {
        Tool::Node.ensure(cache, say)?;
        say("fetching playwright-core with npm");
        fresh_dir(&npm)?;
        let mut command = Command::new("npm");
        command.args(["install", "--silent", "--prefix"]).arg(&npm).arg(PLAYWRIGHT);
        run("npm", &mut command).map(drop)
    })?;
    debs(cache, "browser", &PACKAGES, say)
}

/// The folders with shared libraries below an unpacked set of Debian packages, for
/// `LD_LIBRARY_PATH` of the programs in it (and of nothing else: they may break other programs).
pub fn library_path(root: &Path) -> Result<String> {
    let mut found = Vec::new();
    let mut todo = vec![root.join("usr/lib"), root.join("lib")];
    while let Some(dir) = todo.pop() {
        let Ok(entries) = fs::read_dir(&dir) else {
            continue;
        };
        let mut holds_library = false;
        for entry in entries {
            let entry = entry.with_context(|| format!("list {}", dir.display()))?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                todo.push(entry.path());
            } else {
                holds_library |= entry.file_name().to_string_lossy().contains(".so");
            }
        }
        if holds_library {
            found.push(dir.display().to_string());
        }
    }
    Ok(found.join(":"))
}

/// The files in `dir` whose names end with `.extension`, sorted.
pub fn files(dir: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry.with_context(|| format!("list {}", dir.display()))?.path();
        if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// An empty folder, whatever an interrupted run left there.
fn fresh_dir(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("empty {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))
}
