//! Processes that start and die, and the disk's own troubles.

use std::time::Duration;

use wk_node::{Input, NodeConfig};
use wk_proto::SessionId;
use wk_proto::sabotage::{Sabotage, is_on};
use wk_store::mem_disk::{Fault, FaultKind};
use wk_store::{Disk, RecoveryReport, StoreError, TxnLogOptions};

use crate::disk::ProcessDisk;
use crate::server::Server;
use crate::world::{Event, MILLI, TICK, TIMEOUT_MAX, World};

impl World {
    /// A process starts: recovers, is held against the history, and serves.
    pub(crate) fn start(&mut self) -> Result<(), String> {
        self.boot += 1;
        self.summary.starts += 1;
        self.planned.clear();
        if !self.ending {
            self.plan_faults();
        }
        let began = self.disk.ops();
        let dies = !self.ending && self.random.percent(25);
        let life = if dies { self.random.range(1, 250) } else { u64::MAX };
        self.process = ProcessDisk::new(self.disk.clone(), life);
        let log = TxnLogOptions {
            preallocation: *self.random.pick(&[0, 4096, 16_384]),
            size_limit: self.random.percent(30).then_some(3_000),
            ..TxnLogOptions::default()
        };
        let config = self.config();
        let now = self.clock();
        self.rot_snapshots();
        match Server::start(self.process.clone(), config, log, now) {
            Ok((server, report)) => {
                self.say(|| format!("recovered: {report:?}"));
                check_report(&report)?;
                self.check_rejected(&report)?;
                self.history.restart(server.node.tree())?;
                self.heard = server.node.tree().sessions().map(|(id, _)| (id, self.now)).collect();
                self.server = Some(server);
                if self.random.percent(30) {
                    self.step(Input::TakeSnapshot, None)?;
                }
                Ok(())
            }
            Err(err) => self.failed_start(&err, began),
        }
    }

    /// A start may fail where the disk did, and nowhere else.
    fn failed_start(&mut self, err: &StoreError, began: u64) -> Result<(), String> {
        self.say(|| format!("start failed: {err:?}"));
        let hit = self.planned.iter().any(|op| (began..self.disk.ops()).contains(op));
        let dead = self.disk.is_off() || self.process.is_killed();
        let excused = dead || hit || (self.limited && err.is_no_space());
        if !excused {
            return Err(format!("does not start: {err:?}"));
        }
        if self.limited {
            self.make_room();
        }
        // With the process dead, the loop sees to it.
        if !dead {
            self.disk.clear_faults();
            self.after(10 * MILLI, Event::Start);
        }
        Ok(())
    }

    fn config(&mut self) -> NodeConfig {
        // Broken on purpose: a server that counts from the beginning each time.
        let boot = if is_on(Sabotage::SessionIdReused) { 0 } else { self.boot };
        NodeConfig {
            tick: Duration::from_millis(TICK),
            session_timeout_min: Duration::from_millis(2 * TICK),
            session_timeout_max: Duration::from_millis(TIMEOUT_MAX),
            first_session: SessionId((1 << 56) + (i64::try_from(boot).unwrap_or(0) << 20) + 1),
            outstanding_max: usize::try_from(self.random.range(2, 20)).unwrap_or(2),
            snap_count: self.random.range(5, 120),
            seed: self.random.next(),
            reap_interval: Duration::from_hours(1),
            ..NodeConfig::default()
        }
    }

    fn plan_faults(&mut self) {
        let (boot, ops) = (self.boot, self.disk.ops());
        match self.random.below(10) {
            0..=3 => {
                let op = ops + self.random.below(200);
                self.disk.fault_at(op, Fault::PowerLoss);
                self.planned.push(op);
            }
            4..=6 => {
                let after = self.random.range(50, 6_000) * MILLI;
                let power = self.random.percent(50);
                self.after(after, Event::Kill { boot, power });
            }
            _ => {}
        }
        if self.random.percent(25) {
            // Often while it still recovers.
            let op = ops + *self.random.pick(&[2, 6, 120, 120]);
            let op = op - self.random.below(op - ops);
            let kind = *self.random.pick(&[FaultKind::Io, FaultKind::NoSpace]);
            // One operation, or all for a while.
            for op in op..op + *self.random.pick(&[1, 1, 5, 20]) {
                self.disk.fault_at(op, Fault::Fail(kind));
                self.planned.push(op);
            }
        }
        self.say(|| format!("from operation {ops} on, faults at {:?}", self.planned));
        if self.random.percent(15) {
            let used: u64 = self.disk.list().map_or(0, |files| files.iter().map(|f| f.len).sum());
            self.disk.set_capacity(Some(used + self.random.below(6_000)));
            self.limited = true;
            let room = self.random.range(500, 4_000) * MILLI;
            self.after(room, Event::Room);
        }
    }

    pub(crate) fn make_room(&mut self) {
        self.limited = false;
        self.disk.set_capacity(None);
    }

    /// The process is gone, and with it all connections; without power, what was not synced too.
    pub(crate) fn crash(&mut self, power: bool) {
        self.boot += 1;
        self.held.clear();
        if let Some(server) = self.server.take() {
            server.kill();
        }
        if power {
            self.summary.power_losses += 1;
            let seed = self.random.next();
            self.say(|| "power is lost".to_owned());
            self.disk.crash(seed);
        }
        self.disk.clear_faults();
        self.process = ProcessDisk::new(self.disk.clone(), u64::MAX);
        let open: Vec<_> = self.conns.iter().filter(|(_, c)| c.begun).map(|(id, _)| *id).collect();
        for id in open {
            let delay = self.micros(20, 3_000);
            if let Some(conn) = self.conns.get_mut(&id) {
                conn.at_server = false;
                let at = conn.to_client.max(self.now + delay);
                self.at(at, Event::Cut { conn: id });
            }
        }
        let pause = self.random.range(5, 800) * MILLI;
        self.after(pause, Event::Start);
    }

    /// Wakes the disk thread if something waits for it.
    pub(crate) fn wake_disk(&mut self) {
        let boot = self.boot;
        if let Some(server) = self.server.as_mut().filter(|server| server.wants_sync()) {
            server.disk_busy = true;
            let delay = self.micros(10, 5_000);
            self.after(delay, Event::Sync { boot });
        }
    }

    pub(crate) fn sync(&mut self) {
        let boot = self.boot;
        let Some(server) = &mut self.server else { return };
        let synced = server.sync();
        let delay = self.micros(10, 2_000);
        match synced {
            Ok(upto) => self.after(delay, Event::Synced { boot, upto, healed: false }),
            // The loop sees to it.
            Err(_) if self.disk.is_off() || self.process.is_killed() => {}
            Err(err) => {
                self.say(|| format!("log failed: {err:?}"));
                self.after(delay, Event::LogFailed { boot });
                self.after(delay + 1, Event::Heal { boot });
            }
        }
    }

    pub(crate) fn heal(&mut self) {
        let boot = self.boot;
        let Some(server) = &mut self.server else { return };
        let healed = server.heal();
        let delay = self.micros(10, 2_000);
        match healed {
            Ok(upto) => self.after(delay, Event::Synced { boot, upto, healed: true }),
            // The loop sees to it.
            Err(_) if self.disk.is_off() || self.process.is_killed() => {}
            Err(err) if err.is_no_space() => self.after(500 * MILLI, Event::Heal { boot }),
            Err(err) => {
                self.say(|| format!("log is beyond healing: {err:?}"));
                self.crash(false);
            }
        }
    }

    /// The end: clients fall silent, all sessions expire, and what remains outlives power too.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        self.ending = true;
        self.make_room();
        self.disk.clear_faults();
        if self.server.is_some() {
            // The present process may be one that is to be killed soon.
            self.crash(false);
        }
        self.until(self.now + (TIMEOUT_MAX + 6 * TICK) * MILLI)?;
        for start_over in [false, true] {
            if start_over {
                self.crash(true);
                self.until(self.now + 1_000 * MILLI)?;
            }
            let server = self.server.as_ref().ok_or("no server at the end")?;
            let counts = server.node.tree().counts();
            if counts.sessions + counts.ephemerals > 0 {
                return Err(format!("after a long silence there still are {counts:?}"));
            }
            if server.node.stats().digest_mismatches > 0 {
                return Err("digests of txns and tree differ".to_owned());
            }
            self.history.compare(server.node.tree())?;
        }
        // A reader that believes anything is to be found by what crashes leave, not by this.
        if is_on(Sabotage::TornTailTaken) { Ok(()) } else { self.flip_any_bit() }
    }
}

/// What no crash may bring about.
fn check_report(report: &RecoveryReport) -> Result<(), String> {
    let lost_synced = report.cut.as_ref().is_some_and(|cut| cut.was_synced);
    if report.digest_mismatches > 0 || !report.orphaned_ephemerals.is_empty() || lost_synced {
        return Err(format!("recovery found what cannot be: {report:?}"));
    }
    Ok(())
}
