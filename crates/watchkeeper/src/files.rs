//! Verbs for the files of a server that is not running: look, compare, cut, clean, repair.

pub(crate) mod classic;
pub(crate) mod cleanup;
pub(crate) mod fsck;
pub(crate) mod progress;
pub(crate) mod snapshot;
pub(crate) mod txnlog;

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use anyhow::Context;
use wk_store::{OsDisk, StoreError};

use crate::exit::{Code, coded};
use crate::print;

/// A file as its directory and its name, as the store wants it.
fn split(file: &Path) -> anyhow::Result<(OsDisk, String)> {
    let meta = std::fs::metadata(file).with_context(|| format!("read {}", file.display()))?;
    let name = file.file_name().and_then(|name| name.to_str()).filter(|_| meta.is_file());
    let Some(name) = name else {
        let text = format!("{}: it is not a file with a readable name", file.display());
        return Err(Code::Usage.of(anyhow::anyhow!(text)));
    };
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty());
    Ok((OsDisk::new(dir.unwrap_or(Path::new("."))), name.to_owned()))
}

/// The store's own words and exit code.
fn failed(err: StoreError) -> anyhow::Error {
    coded(err.exit_code(), err.into())
}

/// Asks on stderr and gives the line that is answered, in lower case; empty where nobody answers.
fn ask(question: &str) -> anyhow::Result<String> {
    print::note(question);
    if std::io::stdin().is_terminal() {
        print::prompt("> ");
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("read the answer")?;
    Ok(line.trim().to_lowercase())
}

/// Stdout with a buffer, for output of any length.
fn stdout() -> impl Write {
    std::io::BufWriter::with_capacity(1 << 16, std::io::stdout().lock())
}
