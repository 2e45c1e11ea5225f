//! The ways to ask: the page, AdminServer, words; and what is asked seldom.

use std::io;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use wk_client::four_letter_over;
use wk_proto::Mono;

use super::{Identity, Looker, Sight, Silence};
use crate::admin::{self, AdminAnswer, ServerStats};
use crate::fetch::FetchError;
use crate::figures::Figures;
use crate::note::{Note, NoteKind};
use crate::page::{Page, PageLimits};
use crate::words::{Answer, Conf, Srvr};

/// How long a refused word is not asked again: the operator may have allowed it since.
const REFUSED_FOR: Duration = Duration::from_mins(1);
/// When a configuration that was not shown is asked again.
const CONF_AGAIN: Duration = Duration::from_secs(5);
/// How much of an odd answer is kept as evidence.
const SHOWN_MAX: usize = 120;
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

impl Looker {
    /// Asks by the best way that is offered, and by a word where that brings nothing.
    pub(super) async fn sight(&mut self) -> Sight {
        if let Some(url) = self.learned.metrics.clone() {
            return self.by_page(&url).await;
        }
        if let Some(base) = self.learned.admin.clone() {
            let sight = self.by_admin(&base).await;
            let Sight::Silent(reason, silence) = sight else { return sight };
            return self.or_by_word(&base, (reason, silence)).await;
        }
        self.by_word().await
    }

    async fn by_page(&mut self, url: &str) -> Sight {
        let Some(fetcher) = self.fetcher.clone() else { return self.by_word().await };
        let fetch = fetcher.page(url, PageLimits::default(), self.pace.limit);
        let mut fetch = std::pin::pin!(fetch);
        let answer = if let Ok(answer) = timeout(self.pace.patience, &mut fetch).await {
            answer
        } else {
            // Slow: the page and a word are waited for side by side; a page is better.
            let (answer, word) = tokio::join!(fetch, self.by_word());
            match answer {
                Ok(page) => Ok(page),
                Err(err) => return self.instead_of(url, silent(&err), word),
            }
        };
        match answer {
            Ok(page) => self.read_page(page),
            Err(err) => self.or_by_word(url, silent(&err)).await,
        }
    }

    fn read_page(&mut self, page: Page) -> Sight {
        let instance = self.target.instance.clone();
        if let Some(fault) = page.faults.first() {
            let args = [fault.to_string(), page.fault_count.to_string()];
            self.notes.insert(Note::new(NoteKind::PageUnsound, &instance, args));
        }
        let cut = page.cut.clone();
        self.notes.extend(cut.map(|why| Note::new(NoteKind::PageCut, &instance, [why])));
        let was_cut = page.cut.is_some();
        let figures = Figures::from_page(page);
        if figures.serves() {
            Sight::Serving(Some(figures))
        } else if was_cut {
            // What tells may have been in the part that is not there.
            Sight::Serving(None)
        } else {
            Sight::NotServing("its metrics page shows no znode_count".to_owned(), Some(figures))
        }
    }

    /// The page at `url` says nothing: a word may.
    async fn or_by_word(&mut self, url: &str, silent: (String, Silence)) -> Sight {
        let word = self.by_word().await;
        self.instead_of(url, silent, word)
    }

    fn instead_of(&mut self, url: &str, silent: (String, Silence), word: Sight) -> Sight {
        let (reason, silence) = silent;
        if let Sight::Silent(other, of_word) = word {
            return Sight::Silent(format!("{url}: {reason}; {other}"), silence.and(of_word));
        }
        let args = [url.to_owned(), reason];
        self.notes.insert(Note::new(NoteKind::PageSilent, &self.target.instance, args));
        word
    }

    async fn by_admin(&mut self, base: &str) -> Sight {
        let now = Instant::now();
        // Its `ruok` fails where it does not serve, `monitor` even with a stack trace.
        match self.admin(base, "ruok").await {
            Err((reason, silence)) => Sight::Silent(reason, silence),
            Ok(AdminAnswer::Failed(reason)) => Sight::Silent(reason, Silence::Full),
            Ok(AdminAnswer::NotServing) => Sight::NotServing(NOT_SERVING.to_owned(), None),
            Ok(AdminAnswer::Said(_)) if self.figures_due <= now => {
                match self.admin(base, "monitor").await {
                    Ok(AdminAnswer::Said(object)) => {
                        self.figures_due = now + self.pace.monitor;
                        Sight::Serving(Some(Figures::from_monitor(&object)))
                    }
                    Ok(AdminAnswer::NotServing) => Sight::NotServing(NOT_SERVING.to_owned(), None),
                    Ok(AdminAnswer::Failed(_) | AdminAnswer::Strange) | Err(_) => {
                        // Before its first figures a word's are better than none: a server without
                        // any looks as if it did not serve.
                        if self.series.has_figures() {
                            return Sight::Serving(None);
                        }
                        match self.by_word().await {
                            // It said that it serves; a port that is full is another matter.
                            Sight::Silent(..) => Sight::Serving(None),
                            word @ (Sight::Serving(_)
                            | Sight::NotServing(..)
                            | Sight::Barred(_)) => word,
                        }
                    }
                }
            }
            Ok(AdminAnswer::Said(_)) => Sight::Serving(None),
            Ok(AdminAnswer::Strange) => {
                Sight::Silent("no answer of an AdminServer".to_owned(), Silence::Full)
            }
        }
    }

    async fn admin(&self, base: &str, command: &str) -> Result<AdminAnswer, (String, Silence)> {
        let none = || ("no HTTP".to_owned(), Silence::Full);
        let fetcher = self.fetcher.as_ref().ok_or_else(none)?;
        let answer = fetcher.body(&format!("{base}/{command}"), self.pace.limit).await;
        let (status, body) = answer.map_err(|err| silent(&err))?;
        Ok(AdminAnswer::read(status, &body))
    }

    /// Asks `srvr`, and `mntr` where it is due and nothing better tells the figures.
    async fn by_word(&mut self) -> Sight {
        let asked = self.mono();
        let srvr = match self.word("srvr").await {
            Err(err) if is_distrust(&err) => return Sight::Barred(err.to_string()),
            Err(err) => return Sight::Silent(format!("srvr: {err}"), silence_of(&err)),
            Ok(Answer::Nothing) => {
                let reason = "srvr: closed without an answer (connection limit?)";
                return Sight::Silent(reason.to_owned(), Silence::Full);
            }
            Ok(Answer::NotServing) => return Sight::NotServing(NOT_SERVING.to_owned(), None),
            // It lives; whether it serves, nobody says.
            Ok(Answer::Refused) => return Sight::Serving(None),
            Ok(Answer::Said(text)) => {
                let srvr = Srvr::parse(&text);
                if srvr.mode.is_none() {
                    let shown = text.trim().chars().take(SHOWN_MAX).collect();
                    return Sight::NotServing(shown, None);
                }
                srvr
            }
        };
        self.identify(
            Identity { version: srvr.version.clone(), mode: srvr.mode.clone(), zxid: srvr.zxid },
            asked,
        );
        let no_page = self.learned.metrics.is_none() && self.learned.admin.is_none();
        let mut figures = Figures::from_srvr(&srvr);
        if no_page {
            if self.figures_due > Instant::now() && !self.refused.contains_key("mntr") {
                // The other figures stand as `mntr` last gave them.
                return Sight::Serving(None);
            }
            match self.allowed_word("mntr").await {
                Some(Answer::Said(text)) => {
                    self.figures_due = Instant::now() + self.pace.mntr;
                    let all = Figures::from_mntr(&text);
                    if all.serves() {
                        figures = all;
                    }
                }
                // It may say more next time: what stood still stands.
                None if !self.refused.contains_key("mntr") && self.series.has_figures() => {
                    return Sight::Serving(None);
                }
                Some(Answer::Refused | Answer::NotServing | Answer::Nothing) | None => (),
            }
        }
        Sight::Serving(Some(figures))
    }

    async fn word(&self, word: &str) -> io::Result<Answer> {
        let connect = self.connect.as_ref();
        let text = four_letter_over(connect, &self.target.instance, word, self.pace.limit).await;
        text.map(Answer::read)
    }

    /// Asks a word that may be refused, and not again for a while if it was.
    async fn allowed_word(&mut self, word: &'static str) -> Option<Answer> {
        if self.refused.get(word).is_some_and(|at| at.elapsed() < REFUSED_FOR) {
            return None;
        }
        let answer = self.word(word).await.ok()?;
        if answer == Answer::Refused {
            self.refused.insert(word, Instant::now());
        } else {
            self.refused.remove(word);
        }
        Some(answer)
    }

    fn identify(&mut self, identity: Identity, asked: Mono) {
        self.identity_due = Instant::now() + self.pace.identity;
        let leads = identity.mode.as_deref() == Some("leader");
        if let Some(zxid) = identity.zxid {
            self.board().post_zxid(&self.target.instance, leads, zxid, asked);
        }
        self.identity = identity;
    }

    /// Asks who it is and how it is configured, where that is due or it has just changed.
    pub(super) async fn know(&mut self, sight: &Sight) {
        let Sight::Serving(figures) = sight else { return };
        let told = figures.as_ref().and_then(Figures::mode);
        let served = self.last.as_ref().is_some_and(|(served, _)| *served);
        let changed =
            !served || told.is_some_and(|mode| self.identity.mode.as_deref() != Some(mode));
        let now = Instant::now();
        if changed || self.identity_due <= now {
            self.ask_identity().await;
        }
        if self.conf_due <= now {
            self.ask_conf().await;
            // Not shown: it may be as soon as AdminServer is found.
            let wait = if self.conf.is_some() { self.pace.conf } else { CONF_AGAIN };
            self.conf_due = now + wait;
        }
    }

    async fn ask_identity(&mut self) {
        let asked = self.mono();
        if let Some(base) = self.learned.admin.clone()
            && let Ok(AdminAnswer::Said(object)) = self.admin(&base, "server_stats").await
        {
            let ServerStats { version, mode, zxid } = ServerStats::read(&object);
            self.identify(Identity { version, mode, zxid }, asked);
            return;
        }
        let asked = self.mono();
        match self.allowed_word("srvr").await {
            Some(Answer::Said(text)) => {
                let Srvr { version, mode, zxid, .. } = Srvr::parse(&text);
                self.identify(Identity { version, mode, zxid }, asked);
            }
            Some(Answer::Nothing) => {
                // A page has just answered.
                let instance = &self.target.instance;
                self.notes.insert(Note::new(NoteKind::ConnectionLimit, instance, []));
            }
            Some(Answer::Refused | Answer::NotServing) | None => (),
        }
    }

    /// `conf` says most; AdminServer a part of it.
    async fn ask_conf(&mut self) {
        let mut conf = match self.allowed_word("conf").await {
            Some(Answer::Said(text)) => Conf::parse(&text),
            Some(Answer::Refused | Answer::NotServing | Answer::Nothing) | None => Conf::default(),
        };
        if conf.keys.is_empty()
            && let Some(base) = self.learned.admin.clone()
        {
            if let Ok(AdminAnswer::Said(object)) = self.admin(&base, "configuration").await {
                conf = admin::configuration(&object);
            }
            if let Ok(AdminAnswer::Said(object)) = self.admin(&base, "voting_view").await {
                conf.servers = admin::voting_view(&object);
            }
        }
        if !conf.keys.is_empty() {
            self.board().post_conf(&self.target.instance, conf.clone());
            self.conf = Some(conf);
        }
    }
}

/// Whether two that spoke TLS with each other found that they must not: a certificate that is
/// unknown, too old or another host's, ours or theirs.
fn is_distrust(err: &io::Error) -> bool {
    err.kind() == io::ErrorKind::InvalidData
}

/// How far a word came that nobody answered.
fn silence_of(err: &io::Error) -> Silence {
    let refused = err.kind() == io::ErrorKind::ConnectionRefused;
    if refused { Silence::Refused } else { Silence::Full }
}

/// Why a page says nothing.
fn silent(err: &FetchError) -> (String, Silence) {
    let silence = match err {
        FetchError::Refused(_) => Silence::Refused,
        FetchError::Silent(_) | FetchError::Strange(_) => Silence::Full,
    };
    (err.to_string(), silence)
}
