//! `watchkeeper man DIR`: the man pages, for packagers. Not listed by `--help`: users have `man`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli;

/// Write a man page for each command
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder that takes them; made if it is not there
    dir: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let place = || args.dir.display().to_string();
    std::fs::create_dir_all(&args.dir).with_context(place)?;
    clap_mangen::generate_to(cli::grammar(), &args.dir).with_context(place)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_examples() {
        let dir = tempfile::tempdir().expect("a folder");
        run(&Args { dir: dir.path().join("new") }).expect("written");
        let page = |name: &str| {
            std::fs::read_to_string(dir.path().join("new").join(name)).expect("a page")
        };
        assert!(page("watchkeeper.1").contains("watchkeeper\\-server(1)"));
        let server = page("watchkeeper-server.1");
        assert!(server.contains("Exit codes") && server.contains("zoo.cfg"), "{server}");
    }
}
