//! `watchkeeper completion SHELL`: prints a script that teaches a shell our commands and options.

use std::process::ExitCode;

use clap_complete::Shell;

use crate::{cli, print};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  watchkeeper completion bash > /etc/bash_completion.d/watchkeeper
  watchkeeper completion zsh > ~/.zfunc/_watchkeeper
  watchkeeper completion fish > ~/.config/fish/completions/watchkeeper.fish
  watchkeeper completion powershell >> $PROFILE")]
pub(crate) struct Args {
    /// The shell that will read the script
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::grammar(), "watchkeeper", &mut script);
    print::bytes(&script)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_a_script_that_names_our_verbs() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut cli::grammar(), "watchkeeper", &mut script);
            let script = String::from_utf8(script).expect("scripts are text");
            assert!(script.contains("completion"), "{shell}");
        }
    }
}
