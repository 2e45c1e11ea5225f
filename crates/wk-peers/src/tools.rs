//! Tools that the peers need on the machine itself: a JDK, Maven, Python, Node.
//!
//! A missing one is installed from Debian where that is allowed (root, apt-get present);
//! elsewhere the error names the command that a person must run.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cache::Cache;
use crate::process::run;

/// A tool that must be on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `java` and `javac`, 11 or newer.
    Jdk,
    /// `mvn`.
    Maven,
    /// `python3` with its `venv` module.
    Python,
    /// `node` and `npm`.
    Node,
    /// `go`, 1.23 or newer.
    Go,
}

impl Tool {
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Jdk => &["default-jdk-headless"],
            Self::Maven => &["maven"],
            Self::Python => &["python3", "python3-venv"],
            Self::Node => &["nodejs", "npm"],
            Self::Go => &["golang-go"],
        }
    }

    fn is_present(self) -> bool {
        match self {
            Self::Jdk => answers("java", &["-version"]) && answers("javac", &["-version"]),
            Self::Maven => answers("mvn", &["-version"]),
            Self::Python => answers("python3", &["-c", "import venv, ensurepip"]),
            Self::Node => answers("node", &["--version"]) && answers("npm", &["--version"]),
            Self::Go => go_minor().is_some_and(|minor| minor >= 23),
        }
    }

    /// Makes sure that the tool is there; installs it where that is allowed.
    ///
    /// # Errors
    /// When it is missing and cannot be installed; the message names the command to run.
    pub fn ensure(self, cache: &Cache, say: &dyn Fn(&str)) -> Result<()> {
        if self.is_present() {
            return Ok(());
        }
        let packages = self.packages().join(" ");
        let by_hand = format!("apt-get install -y --no-install-recommends {packages}");
        if !is_root() || on_path("apt-get").is_none() {
            bail!("{self:?} is missing: run as root `{by_hand}`, or what your system calls it");
        }
        // The system's package manager takes one caller at a time: one lock for all tools. The
        // presence is looked at again inside, because another process may have installed it.
        cache.locked("apt", || {
            if self.is_present() {
                return Ok(());
            }
            say(&format!("installing {packages} from Debian"));
            apt(&["update"])?;
            let mut args = vec!["install", "-y", "--no-install-recommends"];
            args.extend(self.packages());
            apt(&args)?;
            if !self.is_present() {
                bail!("`{by_hand}` ended well, but {self:?} still does not run");
            }
            Ok(())
        })
    }
}

/// The N of the installed Go 1.N.
fn go_minor() -> Option<u32> {
    let output = Command::new(go()).args(["env", "GOVERSION"]).output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    let minor = version.trim().strip_prefix("go1.")?;
    minor.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Go's command: on PATH, or where its own archive is unpacked by custom.
pub(crate) fn go() -> PathBuf {
    on_path("go").unwrap_or_else(|| PathBuf::from("/usr/local/go/bin/go"))
}

/// Runs the system's `apt-get` without questions.
pub fn apt(args: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.arg("-q").args(args).env("DEBIAN_FRONTEND", "noninteractive");
    run("apt-get", &mut command).map(drop)
}

/// Whether we are root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Where `program` is on PATH.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

fn answers(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Whether `apt-get update` has ever run here; images of containers come without its lists.
pub(crate) fn apt_lists_present() -> Result<bool> {
    let lists = "/var/lib/apt/lists";
    match std::fs::read_dir(lists) {
        Ok(entries) => Ok(entries
            .filter_map(Result::ok)
            .any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(err) => Err(err).with_context(|| format!("list {lists}")),
    }
}
