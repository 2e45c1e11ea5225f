//! Finds the members of an ensemble and tells the owner when they change.
//!
//! Asked is the dynamic configuration through the monitor's own session, which any member serves;
//! where that says nothing, the lists that looks at single members brought. While nobody shows a
//! list (no quorum, everything down) the members found before stand.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::info;
use wk_client::Client;
use wk_probe::look::SharedBoard;
use wk_probe::members::{self, ClientPort, Listed, Members};
use wk_probe::note::{Note, NoteKind};
use wk_probe::words::Conf;

use crate::engine::Event;
use crate::member::Member;
use crate::text::Lang;

/// How often the list is read; sooner while none was seen yet.
const INTERVAL: Duration = Duration::from_secs(10);
const FIRST_INTERVAL: Duration = Duration::from_secs(1);
/// So many reads may come so soon.
const FIRST_READS: u32 = 30;
/// Longest wait for an answer of the ensemble, and for a name.
const LIMIT: Duration = Duration::from_secs(5);
/// Under which name its notes stand.
const ABOUT: &str = "discovery";

/// Discovers one ensemble.
#[derive(Clone)]
pub(crate) struct Discovery {
    pub(crate) ensemble: usize,
    /// Its name, for notes.
    pub(crate) name: String,
    pub(crate) client: Client,
    /// Through which port its servers are reached.
    pub(crate) port: ClientPort,
    pub(crate) board: SharedBoard,
    /// The servers that it was configured by.
    pub(crate) seeds: Vec<String>,
    /// The members known at the start.
    pub(crate) known: Vec<String>,
    pub(crate) lang: Lang,
    pub(crate) events: mpsc::Sender<Event>,
}

impl Discovery {
    /// Runs until nobody listens any more.
    pub(crate) async fn run(mut self) {
        self.client.use_hosts(self.known.clone());
        let mut last: Option<Vec<Member>> = None;
        let mut last_note = None;
        let mut reads = 0_u32;
        loop {
            let (listed, source) = self.read().await;
            let mut note = self.nobody_named().filter(|_| listed.is_empty());
            if !listed.is_empty() {
                let members = self.reconcile(&listed).await;
                note = self.left_out(&members);
                let found = of(&members, source);
                if self.tell(found, &mut last).await.is_err() {
                    return;
                }
            }
            if note != last_note {
                last_note.clone_from(&note);
                let (about, note) = (ABOUT.to_owned(), note.map(|note| self.lang.note(&note)));
                let event = Event::Note { ensemble: self.ensemble, about, note };
                if self.events.send(event).await.is_err() {
                    return;
                }
            }
            reads = reads.saturating_add(1);
            let soon = last.is_none() && reads < FIRST_READS;
            let wait = if soon { FIRST_INTERVAL } else { INTERVAL };
            tokio::select! {
                () = tokio::time::sleep(wait) => (),
                () = self.events.closed() => return,
            }
        }
    }

    /// A single server that was named, of an ensemble that does not say its members.
    fn nobody_named(&self) -> Option<Note> {
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = self.known.len() == 1 && board.names_nobody();
        unknown.then(|| Note::new(NoteKind::MembersUnknown, &self.name, []))
    }

    /// A member that cannot be watched, if there is one.
    fn left_out(&self, members: &Members) -> Option<Note> {
        let of = |kind| move |name: &String| Note::new(kind, &self.name, [name.clone()]);
        let unresolved = members.unresolved.first().map(of(NoteKind::MemberUnresolved));
        unresolved.or_else(|| members.unported.first().map(of(NoteKind::SecurePortUnknown)))
    }

    /// The list, and who showed it.
    async fn read(&self) -> (Vec<Listed>, &'static str) {
        let config = tokio::time::timeout(LIMIT, self.client.get("/zookeeper/config")).await;
        if let Ok(Ok(znode)) = config {
            let data = znode.data.unwrap_or_default();
            let listed = members::list(&Conf::parse(&String::from_utf8_lossy(&data)).servers);
            if !listed.is_empty() {
                return (listed, "/zookeeper/config");
            }
        }
        let servers = self.board.lock().unwrap_or_else(PoisonError::into_inner).servers();
        (members::list(&servers), "conf")
    }

    async fn reconcile(&self, listed: &[Listed]) -> Members {
        // The seeds keep their names, whatever became of the members meanwhile.
        let mut known = self.seeds.clone();
        known.extend(self.known.iter().filter(|name| !self.seeds.contains(name)).cloned());
        let mut addresses: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
        for host in members::hosts(listed, &known) {
            let lookup = tokio::net::lookup_host((host.clone(), 0));
            if let Ok(Ok(found)) = tokio::time::timeout(LIMIT, lookup).await {
                let found = found.map(|address| address.ip()).collect();
                addresses.insert(host, found);
            }
        }
        let voters = listed.iter().filter(|line| !line.observer).count();
        let sids = {
            let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
            board.set_voters(voters);
            board.sids()
        };
        members::reconcile(listed, &known, &sids, &addresses, self.port)
    }

    /// Tells of members that are not as told before.
    async fn tell(
        &mut self,
        found: Vec<Member>,
        last: &mut Option<Vec<Member>>,
    ) -> Result<(), mpsc::error::SendError<Event>> {
        if found.is_empty() || last.as_ref() == Some(&found) {
            return Ok(());
        }
        let names: Vec<String> = found.iter().map(|member| member.instance.clone()).collect();
        info!(ensemble = self.name, members = names.join(","), "members found");
        let watched = |name: &str| names.iter().any(|known| known == name);
        self.board.lock().unwrap_or_else(PoisonError::into_inner).retain(watched);
        self.client.use_hosts(names.clone());
        self.known = names;
        *last = Some(found.clone());
        self.events.send(Event::Members { ensemble: self.ensemble, members: found }).await
    }
}

fn of(members: &Members, source: &str) -> Vec<Member> {
    let found = members.found.iter().map(|found| {
        let line = &found.listed;
        let role = if line.observer { "observer" } else { "participant" };
        let peer = |port: u16| format!("{}:{port}", line.host);
        Member {
            instance: found.instance.clone(),
            sid: Some(line.sid),
            role: Some(role.to_owned()),
            peers: vec![peer(line.ports.0), peer(line.ports.1)],
            source: source.to_owned(),
        }
    });
    found.chain(members.kept.iter().map(|kept| Member::configured(kept))).collect()
}
