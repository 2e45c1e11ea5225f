//! Structured logs on standard error, as text or JSON.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// In which form log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// One line of text each.
    #[default]
    Text,
    /// One JSON object each.
    Json,
}

/// How much is logged, and in which form.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct LogArgs {
    /// Form of the log lines on standard error
    #[arg(long, value_name = "FORM", default_value = "text", env = "WATCHKEEPER_LOG_FORMAT")]
    log_format: LogFormat,
    /// How much is logged: error, warn, info, debug, trace, or directives such as wk_server=debug
    #[arg(long, value_name = "LEVEL", env = "WATCHKEEPER_LOG")]
    log_level: Option<String>,
}

impl LogArgs {
    /// Sends the process' log to standard error from now on; `default` is the level unless one
    /// was given.
    ///
    /// # Errors
    /// When the level is no directive.
    pub(crate) fn init(&self, default: &str) -> anyhow::Result<()> {
        let filter: EnvFilter = self.log_level.as_deref().unwrap_or(default).parse()?;
        let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        match self.log_format {
            LogFormat::Text => {
                // Another logger is there already in tests only.
                let _ = lines.with_ansi(std::io::stderr().is_terminal()).try_init();
            }
            LogFormat::Json => {
                let _ = lines.json().flatten_event(true).try_init();
            }
        }
        Ok(())
    }
}
