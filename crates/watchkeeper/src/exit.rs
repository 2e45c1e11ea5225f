//! Exit codes and the one error printer.
//!
//! A verb returns `anyhow::Result<ExitCode>`. Where a failure has a code of its own, the verb marks
//! the error with [`CodeExt::code`] once, where it knows what happened; unmarked errors end with 1.

use std::fmt;
use std::io;
use std::process::ExitCode;

use crate::print;

/// Why a command failed, as scripts see it (the shell's table of exit codes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// The command line makes no sense.
    Usage = 2,
    /// No such znode.
    NoNode = 3,
    /// Another version, it exists, or it has children.
    Conflict = 4,
    /// Not authorised.
    NotAuthorised = 5,
    /// No server reachable, or none answered in time.
    Unreachable = 6,
    /// What the command held was lost while it ran.
    Lost = 8,
    /// A limit refuses it: quota, throttle, size.
    Limit = 9,
    /// Some of it was done and some was not.
    Partly = 10,
}

impl Code {
    /// The error, ending the process with this code whatever code it had before.
    pub(crate) fn of(self, error: anyhow::Error) -> anyhow::Error {
        coded(self as u8, error)
    }

    /// An error of this code, in words.
    pub(crate) fn error(self, text: &'static str) -> anyhow::Error {
        self.of(anyhow::anyhow!(text))
    }
}

/// An error with the exit code that it brings; transparent in the printed chain.
#[derive(Debug)]
struct Coded {
    code: u8,
    error: anyhow::Error,
}

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Coded {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// Marks an error with its exit code.
pub(crate) trait CodeExt<T> {
    /// The error, if any, ends the process with `code`.
    fn code(self, code: Code) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> CodeExt<T> for Result<T, E> {
    fn code(self, code: Code) -> anyhow::Result<T> {
        self.map_err(|error| coded(code as u8, error.into()))
    }
}

/// An error that ends the process with `code`, for verbs with code tables of their own (`server`).
pub(crate) fn coded(code: u8, error: anyhow::Error) -> anyhow::Error {
    anyhow::Error::new(Coded { code, error })
}

/// Prints a failure as `error: what : why : ...` and gives the process its exit code.
pub(crate) fn finish(result: anyhow::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            print::note(&describe(&error));
            ExitCode::from(code_of(&error))
        }
    }
}

/// Prints what clap has to say (an error, or help that was asked for).
///
/// `status` is read by scripts that give 1 and 2 a meaning of their own, so that its usage errors
/// are "unknown".
pub(crate) fn refuse(refused: &clap::Error) -> ExitCode {
    let _ = refused.print();
    if !refused.use_stderr() {
        return ExitCode::SUCCESS;
    }
    let is_status = std::env::args_os().nth(1).is_some_and(|verb| verb == "status");
    ExitCode::from(if is_status { 3 } else { Code::Usage as u8 })
}

/// The printed form: the chain of causes on one line, a repeated cause only once.
pub(crate) fn describe(error: &anyhow::Error) -> String {
    let mut text = String::from("error");
    let mut last = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if !last.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        last = cause;
    }
    text
}

fn code_of(error: &anyhow::Error) -> u8 {
    let coded = error.chain().find_map(|cause| cause.downcast_ref::<Coded>());
    coded.map_or(1, |coded| coded.code)
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn code_survives_context_and_chain_is_one_line() {
        let failed: anyhow::Result<()> = Err(anyhow!("no such file")).code(Code::Usage);
        let error = failed.context("read zoo.cfg").expect_err("it failed");
        assert_eq!(code_of(&error), 2);
        assert_eq!(describe(&error), "error: read zoo.cfg: no such file");
    }

    #[test]
    fn unmarked_error_is_one() {
        assert_eq!(code_of(&anyhow!("x")), 1);
    }

    #[test]
    fn closed_pipe_is_no_failure() {
        let pipe = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_closed_pipe(&anyhow::Error::new(pipe).context("print")));
    }
}
