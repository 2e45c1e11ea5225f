//! Bits that flip while nobody looks: whatever was damaged must be noticed and never be served.

use wk_proto::Zxid;
use wk_store::{
    Dirs, RecoverOptions, RecoveryReport, SnapshotFile, StoreError, log_zxid, recover,
    snapshot_zxid,
};

use crate::disk::ProcessDisk;
use crate::world::World;

impl World {
    /// Between two processes the newest snapshots may go bad, as long as one that purging keeps
    /// stays whole: the server must come back with nothing missing.
    pub(crate) fn rot_snapshots(&mut self) {
        if self.may_rot == 0 || !self.random.percent(15) {
            return;
        }
        let mut whole: Vec<(Zxid, String)> =
            self.disk.names().into_iter().filter_map(zxid).collect();
        whole.retain(|(_, name)| SnapshotFile::open(&self.disk, name).is_ok());
        whole.sort_unstable();
        let most = self.may_rot.min(whole.len().saturating_sub(1));
        if most == 0 {
            return;
        }
        let count = self.random.range(1, most as u64);
        for (_, name) in whole.into_iter().rev().take(usize::try_from(count).unwrap_or(1)) {
            self.flip_in(&name);
            self.may_rot -= 1;
            self.summary.rotten += 1;
            self.rotten.insert(name);
        }
    }

    /// Only what went bad may be refused.
    pub(crate) fn check_rejected(&self, report: &RecoveryReport) -> Result<(), String> {
        let sound = |(name, _): &&(String, String)| !self.rotten.contains(name);
        match report.rejected_snapshots.iter().find(sound) {
            Some((name, why)) => Err(format!("{name} was refused without a reason: {why}")),
            None => Ok(()),
        }
    }

    fn flip_in(&mut self, name: &str) -> (usize, u8) {
        let len = self.disk.bytes(name).map_or(0, |bytes| bytes.len());
        let at = usize::try_from(self.random.below(len.max(1) as u64)).unwrap_or(0);
        let bit = u8::try_from(self.random.below(8)).unwrap_or(0);
        self.disk.flip(name, at, bit);
        self.say(|| format!("bit {bit} of byte {at} of {len} in {name} flips"));
        (at, bit)
    }

    /// The very last thing: any bit of any file flips. The next start refuses, or serves what was
    /// there before, or says what it cut from the end of the log.
    pub(crate) fn flip_any_bit(&mut self) -> Result<(), String> {
        if let Some(server) = self.server.take() {
            server.kill();
        }
        let mut files = self.disk.names();
        files.retain(|name| snapshot_zxid(name).or(log_zxid(name)).is_some());
        let name = self.random.pick(&files).clone();
        let (at, bit) = self.flip_in(&name);
        let place = format!("bit {bit} of byte {at} in {name} flipped");
        let process = ProcessDisk::new(self.disk.clone(), u64::MAX);
        let dirs = Dirs::same(std::sync::Arc::new(process));
        self.summary.rotten += 1;
        let recovered = match recover(&dirs, &RecoverOptions::default()) {
            Ok(recovered) => recovered,
            Err(err) => {
                self.say(|| format!("{place}: {err}"));
                let text = err.to_string();
                // A snapshot that is passed over is named when that happens; what ends the start
                // may be that the logs begin too late without it, or that a newer one is bad too.
                let said = matches!(
                    err,
                    StoreError::Gap { .. } | StoreError::NoValidSnapshot { tried: 2.., .. }
                );
                let named = text.contains(&name) || (said && snapshot_zxid(&name).is_some());
                return named.then_some(()).ok_or(format!("{place}: {text}"));
            }
        };
        let report = &recovered.report;
        self.say(|| format!("{place}: {report:?}"));
        if report.digest_mismatches > 0 {
            return Err(format!("{place}, and was served: {report:?}"));
        }
        if report.cut.is_some() && log_zxid(&name).is_some() {
            return Ok(());
        }
        self.history.compare(&recovered.tree).map_err(|wrong| format!("{place}: {wrong}"))
    }
}

fn zxid(name: String) -> Option<(Zxid, String)> {
    Some((snapshot_zxid(&name)?, name))
}
