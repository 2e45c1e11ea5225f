//! The rule files of the configuration: read at the start, and again when one of them changes or the
//! process gets SIGHUP. What is wrong with one is said; the others count all the same.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::warn;
use wk_rules::RuleFile;

/// How often the files are compared with what was read.
const POLL: Duration = Duration::from_secs(2);
/// Bytes of one file; a larger one is refused unread.
const FILE_BYTES_MAX: u64 = wk_rules::FILE_BYTES_MAX as u64;

/// The texts of all files, or why one cannot be read.
pub(crate) type Texts = Vec<(PathBuf, Result<String, String>)>;

/// What the files say: the rules, and what is wrong with files that count for nothing.
pub(crate) fn parse(texts: &Texts) -> (Vec<RuleFile>, Vec<String>) {
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    for (path, text) in texts {
        let name = path.display().to_string();
        match text {
            Ok(text) => match RuleFile::parse(&name, text) {
                Ok(file) => files.push(file),
                Err(err) => errors.push(err.to_string()),
            },
            Err(err) => errors.push(format!("{name}: {err}")),
        }
    }
    (files, errors)
}

/// Reads all files.
pub(crate) fn read(paths: &[PathBuf]) -> Texts {
    paths.iter().map(|path| (path.clone(), read_one(path))).collect()
}

fn read_one(path: &Path) -> Result<String, String> {
    let found = std::fs::metadata(path).map_err(|err| err.to_string())?;
    if !found.is_file() {
        return Err("no file".to_owned());
    }
    if found.len() > FILE_BYTES_MAX {
        return Err(format!("{} bytes: at most {FILE_BYTES_MAX}", found.len()));
    }
    let bytes = std::fs::read(path).map_err(|err| err.to_string())?;
    String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())
}

/// Tells the texts whenever they are no longer those in `known`, until nobody listens.
pub(crate) async fn watch(paths: Vec<PathBuf>, mut known: Texts, news: mpsc::Sender<Texts>) {
    let mut hang_up = signal(SignalKind::hangup())
        .map_err(|err| warn!(%err, "SIGHUP cannot be heard; rule files are compared all the same"))
        .ok();
    loop {
        let asked = tokio::select! {
            () = tokio::time::sleep(POLL) => false,
            () = hung_up(&mut hang_up) => true,
            () = news.closed() => return,
        };
        let reading = paths.clone();
        let Ok(texts) = tokio::task::spawn_blocking(move || read(&reading)).await else { return };
        if asked || texts != known {
            known.clone_from(&texts);
            if news.send(texts).await.is_err() {
                return;
            }
        }
    }
}

async fn hung_up(signal: &mut Option<Signal>) {
    let heard = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if heard.is_none() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_changed_file_is_read_again_and_a_bad_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (good, bad) = (dir.path().join("good.yml"), dir.path().join("bad.yml"));
        std::fs::write(&good, "groups: []\n").unwrap();
        std::fs::write(&bad, "groups: [{name: g, rules: [{alert: A, expr: 'x >'}]}]\n").unwrap();
        let paths = vec![good.clone(), bad.clone(), dir.path().join("none.yml")];
        let texts = read(&paths);
        let (files, errors) = parse(&texts);
        assert_eq!((files.len(), errors.len()), (1, 2), "{errors:?}");
        assert!(errors[0].contains("bad.yml:1") && errors[0].contains('A'), "{errors:?}");
        assert!(errors[1].contains("none.yml"), "{errors:?}");

        let (tell, mut told) = mpsc::channel(1);
        let watching = tokio::spawn(watch(paths, texts, tell));
        std::fs::write(&bad, "groups: []\n").unwrap();
        let news = tokio::time::timeout(Duration::from_mins(1), told.recv()).await.unwrap();
        let (files, errors) = parse(&news.unwrap());
        assert_eq!((files.len(), errors.len()), (2, 1), "{errors:?}");
        drop(told);
        tokio::time::timeout(Duration::from_mins(1), watching).await.unwrap().unwrap();
    }
}
