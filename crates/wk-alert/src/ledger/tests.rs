//! The life of an incident and of its notifications, step by step.

use super::*;
use crate::incident::IncidentState;
use crate::outbox::{EntryState, Outcome, Rate};

pub(super) fn at(seconds: u32) -> Now {
    Now { mono: Mono(u64::from(seconds) * 1_000_000_000), wall: Wall(i64::from(seconds) * 1000) }
}

fn subject() -> Subject {
    Subject::server("ZkServerUnreachable", "e", "h:1")
}

fn firing() -> Finding {
    Finding::firing(subject(), Severity::Warning, vec![])
}

fn gone() -> Finding {
    Finding::Gone { subject: subject(), facts: vec![] }
}

pub(super) fn ledger(channels: &[&str]) -> Ledger {
    ledger_with(channels, Saved::default(), at(0))
}

pub(super) fn ledger_with(channels: &[&str], saved: Saved, now: Now) -> Ledger {
    let channels = channels.iter().map(|name| ChannelPolicy::new(name)).collect();
    Ledger::restore(Policy { channels, ..Policy::default() }, saved, now)
}

/// Stores and sends what is due; all is confirmed. Shows `channel/phase` of each.
pub(super) fn deliver(ledger: &mut Ledger, now: Now) -> Vec<String> {
    let mut sent = Vec::new();
    loop {
        ledger.mark_due(now);
        ledger.take_batch();
        let keys = ledger.committed();
        if keys.is_empty() {
            return sent;
        }
        for Bundle { key, incidents } in keys {
            let ids: Vec<&str> = incidents.iter().map(|id| id.0.as_str()).collect();
            sent.push(format!("{}/{}/{}", key.channel, key.phase.as_str(), ids.join("+")));
            ledger.answered(now, &key, Outcome::Confirmed);
        }
    }
}

pub(super) fn saved(ledger: &Ledger) -> Saved {
    Saved {
        incidents: ledger.incidents().values().cloned().collect(),
        entries: ledger.entries().values().cloned().collect(),
        episodes: ledger.episodes.clone(),
        silences: ledger.silences().values().cloned().collect(),
    }
}

fn id(episode: u64) -> IncidentId {
    id_of(&subject(), episode)
}

pub(super) fn id_of(subject: &Subject, episode: u64) -> IncidentId {
    IncidentId::new(&Fingerprint::of(subject), episode)
}

#[test]
fn one_firing_and_one_resolved_per_channel_and_episode() {
    let mut ledger = ledger(&["mail", "robot"]);
    ledger.find(at(1), firing());
    ledger.find(at(2), firing());
    let sent = deliver(&mut ledger, at(2));
    assert_eq!(sent, [format!("mail/firing/{}", id(1)), format!("robot/firing/{}", id(1))]);
    ledger.find(at(9), gone());
    ledger.find(at(9), gone());
    assert_eq!(deliver(&mut ledger, at(9)).len(), 2);
    assert_eq!(ledger.incidents()[&id(1)].resolved_at(), Some(Wall(9000)));
}

#[test]
fn back_within_the_hold_time_is_the_same_episode_and_says_nothing() {
    let mut ledger = ledger(&["mail"]);
    ledger.find(at(1), firing());
    ledger.find(at(2), gone());
    deliver(&mut ledger, at(2));
    ledger.find(at(100), firing());
    assert!(deliver(&mut ledger, at(100)).is_empty());
    assert_eq!(ledger.incidents()[&id(1)].flaps, 1);
    ledger.find(at(110), gone());
    assert!(deliver(&mut ledger, at(110)).is_empty());
    ledger.find(at(110 + 301), firing());
    assert_eq!(deliver(&mut ledger, at(500)), [format!("mail/firing/{}", id(2))]);
}

#[test]
fn back_within_the_hold_time_and_staying_is_told_at_its_end() {
    let mut ledger = ledger(&["mail"]);
    ledger.find(at(1), firing());
    ledger.find(at(2), gone());
    deliver(&mut ledger, at(2));
    ledger.find(at(100), firing());
    ledger.tick(at(301));
    assert!(deliver(&mut ledger, at(301)).is_empty());
    ledger.tick(at(302));
    assert_eq!(deliver(&mut ledger, at(302)), [format!("mail/firing/{}", id(2))]);
    assert_eq!(ledger.incidents()[&id(1)].resolved_at(), Some(Wall(2000)));
    assert_eq!(ledger.incidents()[&id(2)].first_seen, Wall(100_000));
}

#[test]
fn an_end_not_sent_yet_is_taken_back_when_the_fault_returns() {
    let mut ledger = ledger(&["mail"]);
    ledger.find(at(1), firing());
    deliver(&mut ledger, at(1));
    ledger.find(at(2), gone());
    ledger.tick(at(2));
    ledger.take_batch();
    ledger.find(at(3), firing());
    assert!(deliver(&mut ledger, at(3)).is_empty());
    ledger.tick(at(400));
    assert!(deliver(&mut ledger, at(400)).is_empty(), "nobody was told that it is over");
    ledger.find(at(500), gone());
    assert_eq!(deliver(&mut ledger, at(500)), [format!("mail/resolved/{}", id(1))]);
}

#[test]
fn what_is_pending_is_neither_kept_nor_told_and_keeps_its_id() {
    let mut ledger = ledger(&["mail"]);
    let (severity, detail) = (Severity::Warning, Detail::default());
    let pending = Finding::Pending { subject: subject(), severity, facts: vec![], detail };
    ledger.find(at(1), pending.clone());
    ledger.find(at(2), pending.clone());
    assert_eq!(ledger.pending().map(|p| (p.id.clone(), p.since)).next(), Some((id(1), Wall(1000))));
    assert!(deliver(&mut ledger, at(2)).is_empty() && ledger.incidents().is_empty());
    ledger.find(at(3), gone());
    assert_eq!(ledger.pending().count(), 0);
    ledger.find(at(4), pending.clone());
    ledger.find(at(5), firing());
    assert_eq!(ledger.incidents()[&id(1)].first_seen, Wall(4000));
    assert_eq!(ledger.pending().count(), 0);
    ledger.find(at(6), pending);
    assert_eq!(ledger.pending().count(), 0, "it is an incident already");
}

#[test]
fn nothing_is_handed_out_before_it_is_stored() {
    let mut ledger = ledger(&["mail"]);
    ledger.find(at(1), firing());
    ledger.mark_due(at(1));
    let batch = ledger.take_batch();
    ledger.commit_failed(batch);
    ledger.mark_due(at(2));
    let batch = ledger.take_batch();
    assert_eq!(batch.entries.len(), 1);
    assert_eq!(batch.incidents.len(), 1);
    assert_eq!(ledger.committed().len(), 1);
}

#[test]
fn a_failed_try_rests_and_the_end_waits_for_the_beginning() {
    let mut ledger = ledger(&["mail"]);
    ledger.find(at(1), firing());
    ledger.find(at(2), gone());
    ledger.mark_due(at(2));
    let key = ledger.committed().remove(0).key;
    assert_eq!(key.phase, Phase::Firing);
    let outcome = Outcome::Retry { error: "451".into(), after: Some(Duration::from_secs(7)) };
    ledger.answered(at(2), &key, outcome);
    ledger.mark_due(at(3));
    assert!(ledger.committed().is_empty());
    assert_eq!(ledger.next_timeout(at(3)), at(9).mono);
    assert_eq!(deliver(&mut ledger, at(9)).len(), 2);
}

#[test]
fn a_refusal_for_good_is_final_and_does_not_hold_up_the_end() {
    let mut ledger = ledger(&["mail"]);
    ledger.find(at(1), firing());
    ledger.mark_due(at(1));
    let bundle = ledger.committed().remove(0);
    ledger.answered(at(1), &bundle.key, Outcome::Refused { error: "550".into() });
    let key = bundle.entries().next().expect("one");
    assert_eq!(ledger.entries()[&key].state, EntryState::Failed);
    ledger.find(at(2), gone());
    assert_eq!(deliver(&mut ledger, at(2)), [format!("mail/resolved/{}", id(1))]);
}

#[test]
fn what_is_too_old_expires_and_says_so() {
    let mut ledger = ledger(&["mail"]);
    ledger.find(at(1), firing());
    ledger.find(at(1), gone());
    ledger.tick(at(1 + 24 * 3600 + 1));
    assert!(ledger.entries().values().all(|entry| entry.state == EntryState::Expired));
    assert_eq!(ledger.entries().len(), 2);
    let audit = ledger.take_batch().audit;
    assert!(audit.iter().any(|line| line.fact.kind == FactKind::DeliveryExpired));
}

#[test]
fn restart_counts_the_tries_of_the_earlier_run_against_the_rate() {
    let rate = Some(Rate { count: 1, window: Duration::from_mins(1) });
    let channels = vec![ChannelPolicy { rate, ..ChannelPolicy::new("robot") }];
    let policy = Policy { channels, ..Policy::default() };
    let mut ledger = Ledger::restore(policy.clone(), Saved::default(), at(0));
    ledger.find(at(1), firing());
    deliver(&mut ledger, at(1));
    ledger.find(at(2), gone());
    let saved = saved(&ledger);
    // The new run's monotonic clock starts anew; the wall clock tells how long ago it was.
    let start = Now { mono: Mono(100 * 1_000_000_000), wall: Wall(10_000) };
    let mut ledger = Ledger::restore(policy, saved, start);
    assert!(deliver(&mut ledger, start).is_empty());
    assert_eq!(ledger.next_timeout(start), Mono(151 * 1_000_000_000));
}

#[test]
fn ack_and_close_keep_to_the_life_of_an_incident() {
    let mut ledger = ledger(&[]);
    assert_eq!(ledger.acknowledge(at(1), &id(1), "ann"), Err(LedgerError::NotFound));
    ledger.find(at(1), firing());
    assert_eq!(ledger.close(at(1), &id(1), "ann"), Err(LedgerError::StillFiring));
    assert_eq!(ledger.acknowledge(at(1), &id(1), "ann"), Ok(()));
    ledger.find(at(2), gone());
    assert_eq!(ledger.acknowledge(at(2), &id(1), "ann"), Err(LedgerError::NotOpen));
    assert_eq!(ledger.close(at(2), &id(1), "ann"), Ok(()));
    // Closed is closed: the next coming is an episode of its own, within the hold time too.
    ledger.find(at(3), firing());
    assert_eq!(ledger.open(&subject()).map(|i| i.episode), Some(2));
}

#[test]
fn a_new_channel_is_told_of_what_is_open_and_an_old_one_is_not_told_twice() {
    let mut ledger = ledger(&["mail"]);
    ledger.find(at(1), firing());
    deliver(&mut ledger, at(1));
    let saved = saved(&ledger);
    let channels = vec![ChannelPolicy::new("mail"), ChannelPolicy::new("robot")];
    let mut ledger = Ledger::restore(Policy { channels, ..Policy::default() }, saved, at(5));
    assert_eq!(deliver(&mut ledger, at(5)), [format!("robot/firing/{}", id(1))]);
}

#[test]
fn retention_forgets_incidents_but_never_reuses_an_id() {
    let mut ledger = ledger(&["mail"]);
    ledger.find(at(1), firing());
    ledger.find(at(2), gone());
    deliver(&mut ledger, at(2));
    let later = at(91 * 24 * 3600);
    ledger.tick(later);
    assert!(ledger.incidents().is_empty() && ledger.entries().is_empty());
    ledger.find(later, firing());
    assert_eq!(ledger.open(&subject()).map(|i| i.episode), Some(2));
}

#[test]
fn unseen_keeps_the_incident_and_tells_nobody() {
    let mut ledger = ledger(&["mail"]);
    ledger.find(at(1), firing());
    deliver(&mut ledger, at(1));
    ledger.find(at(2), Finding::Unseen { subject: subject(), facts: vec![] });
    assert_eq!(ledger.incidents()[&id(1)].state, IncidentState::Unknown);
    ledger.find(at(3), firing());
    assert_eq!(ledger.incidents()[&id(1)].state, IncidentState::Firing);
    assert!(deliver(&mut ledger, at(3)).is_empty());
}
