//! A real SMTP server (aiosmtpd): plain, STARTTLS or implicit TLS, with or without AUTH.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::Process;
use crate::wait;

/// How the server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpMode {
    /// In the clear, no STARTTLS.
    Plain,
    /// STARTTLS is required.
    StartTls,
    /// TLS from the first byte.
    Tls,
}

/// A mail as it was filed.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The whole text, headers first; `X-Test-Tls` and `X-Test-Rcpt` are the server's own.
    pub text: String,
}

impl Mail {
    /// The value of a header, unfolded.
    pub fn header(&self, name: &str) -> Option<String> {
        let (head, _) = self.text.split_once("\r\n\r\n")?;
        let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        unfolded.split("\r\n").find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }
}

/// A running SMTP server.
pub struct Smtp {
    process: Process,
    port: u16,
    mails: PathBuf,
}

impl Smtp {
    /// Starts one with `python`, its files in `dir`; `login` makes AUTH necessary, `cert` (PEM
    /// files of certificate and key) is needed for the two kinds of TLS.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(
        python: &Path,
        dir: &Path,
        mode: SmtpMode,
        login: Option<(&str, &str)>,
        cert: Option<(&Path, &Path)>,
    ) -> Result<Self> {
        let script = dir.join("smtpd.py");
        fs::write(&script, include_str!("smtpd.py")).context("write smtpd.py")?;
        let (mails, log) = (dir.join("mails"), dir.join("smtpd.log"));
        let mode = match mode {
            SmtpMode::Plain => "plain",
            SmtpMode::StartTls => "starttls",
            SmtpMode::Tls => "tls",
        };
        let (user, password) = login.unwrap_or_default();
        let mut command = Command::new(python);
        command.arg(script).args(["0", mode]).arg(&mails).args([user, password]);
        if let Some((cert, key)) = cert {
            command.args([cert, key]);
        }
        let mut process = Process::start("the SMTP server", &mut command, &log)?;
        let port = wait::until("the SMTP server", wait::LONG, || {
            anyhow::ensure!(process.ended()?.is_none(), "it ended:\n{}", process.tail());
            let text = fs::read_to_string(&log).unwrap_or_default();
            let port = text.lines().find_map(|line| line.strip_prefix("listening on "));
            Ok(port.and_then(|port| port.trim().parse().ok()))
        })?;
        Ok(Self { process, port, mails })
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The mails that were taken, in order.
    pub fn mails(&self) -> Vec<Mail> {
        let files = fs::read_dir(&self.mails).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = files.map(|file| file.path()).collect();
        files.retain(|path| path.extension().is_some_and(|ext| ext == "eml"));
        files.sort();
        let read = |path: &PathBuf| fs::read(path).ok();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        files.iter().filter_map(read).map(|bytes| Mail { text: text(bytes) }).collect()
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        self.process.tail()
    }
}
