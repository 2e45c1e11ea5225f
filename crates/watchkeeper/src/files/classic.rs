//! The names of Apache's scripts: called by one of them (a link to this binary), the binary takes
//! that script's arguments.

use std::ffi::OsString;
use std::path::Path;

/// Rewrites the command line of a script into ours; `None` where it is no script's.
pub(crate) fn spell(args: &[OsString]) -> Option<Vec<OsString>> {
    let name = Path::new(args.first()?).file_name()?.to_str()?;
    let rest: Vec<&str> = args[1..].iter().map(|arg| arg.to_str()).collect::<Option<_>>()?;
    let words = match name.strip_suffix(".sh").unwrap_or(name) {
        "zkTxnLogToolkit" => txn_log(&rest),
        "zkSnapShotToolkit" => ours(&["snapshot", "inspect"], &rest, |arg| match arg {
            "-json" => "--output=jsonl",
            arg => arg,
        }),
        "zkSnapshotComparer" => ours(&["snapshot", "compare"], &rest, |arg| match arg {
            "-left" => "--left",
            "-right" => "--right",
            arg => arg,
        }),
        "zkSnapshotRecursiveSummaryToolkit" => ours(&["snapshot", "summary"], &rest, |arg| arg),
        "zkCleanup" => ours(&["cleanup"], &rest, |arg| arg),
        _ => return None,
    };
    Some(std::iter::once(args[0].clone()).chain(words.into_iter().map(OsString::from)).collect())
}

fn ours<'a>(verb: &[&'a str], rest: &[&'a str], word: impl Fn(&'a str) -> &'a str) -> Vec<String> {
    let words = verb.iter().copied().chain(rest.iter().map(|arg| word(arg)));
    words.map(str::to_owned).collect()
}

/// `-d` dump (also without), `-r` recover, `-c -z ZXID` chop.
fn txn_log(rest: &[&str]) -> Vec<String> {
    let has = |options: [&str; 2]| rest.iter().any(|arg| options.contains(arg));
    let verb = if has(["-c", "--chop"]) {
        "chop"
    } else if has(["-r", "--recover"]) {
        "recover"
    } else {
        "dump"
    };
    let modes = ["-c", "--chop", "-r", "--recover", "-d", "--dump"];
    let mut words: Vec<String> = vec!["txnlog".into(), verb.into()];
    words.extend(rest.iter().filter(|arg| !modes.contains(arg)).map(|arg| (*arg).to_owned()));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(line: &str) -> Option<String> {
        let args: Vec<_> = line.split(' ').map(OsString::from).collect();
        let args = spell(&args)?;
        Some(args[1..].iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn scripts_are_understood_by_their_names() {
        for (given, want) in [
            ("zkTxnLogToolkit.sh log.1", "txnlog dump log.1"),
            ("/x/zkTxnLogToolkit -d log.1", "txnlog dump log.1"),
            ("zkTxnLogToolkit.sh -r -y log.1", "txnlog recover -y log.1"),
            ("zkTxnLogToolkit.sh -c -z 0x5 log.1", "txnlog chop -z 0x5 log.1"),
            ("zkSnapShotToolkit.sh -d snapshot.0", "snapshot inspect -d snapshot.0"),
            ("zkSnapShotToolkit.sh -json s.0", "snapshot inspect --output=jsonl s.0"),
            ("zkSnapshotComparer.sh -l a -r b -b 1 -n 2", "snapshot compare -l a -r b -b 1 -n 2"),
            ("zkSnapshotRecursiveSummaryToolkit.sh s / 2", "snapshot summary s / 2"),
            ("zkCleanup.sh /data -n 3", "cleanup /data -n 3"),
        ] {
            assert_eq!(spelled(given).as_deref(), Some(want));
        }
        assert_eq!(spelled("watchkeeper fsck /data"), None);
    }
}
