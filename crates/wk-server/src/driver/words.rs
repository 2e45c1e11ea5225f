//! Four-letter words on a connection that has not sent its handshake.

use super::Driver;
use crate::four_letter::{self, TELNET_CLOSE, TRACE_MASK, Word};
use tracing::debug;
use wk_node::{ConnId, Input};

impl Driver {
    /// Answers a four-letter word at the begin of `bytes` and has the connection closed; false if
    /// there is none.
    pub(super) fn word(&mut self, id: ConnId, bytes: &[u8]) -> bool {
        let Some((first, rest)) = bytes.split_first_chunk::<4>() else { return false };
        if *first == TELNET_CLOSE {
            self.lose(id);
            return true;
        }
        let Some(word) = Word::from_bytes(*first) else { return false };
        self.words.0 += 1;
        if let Some(connection) = self.connections.get_mut(id) {
            connection.words += 1;
            // Shown as not read from, as Apache does, which cancels its selection key.
            connection.stopped = true;
        }
        let text = if !self.config.words.allows(word.text()) {
            four_letter::refused(word)
        } else if word == Word::Stmk {
            // The mask comes behind the word; without tracing by mask it is only repeated.
            let mask = rest.first_chunk().map_or(TRACE_MASK, |mask| u64::from_be_bytes(*mask));
            mask.to_string()
        } else {
            self.answer(word)
        };
        debug!(conn = id.0, word = word.text(), "four-letter word");
        self.words.1 += 1;
        if let Some(connection) = self.connections.get_mut(id) {
            connection.output.extend_from_slice(text.as_bytes());
        }
        self.step(Input::Closed { conn: id });
        self.close_later(id);
        true
    }

    /// The answer to a word, whatever the list of allowed words says.
    pub(crate) fn answer(&mut self, word: Word) -> String {
        match word {
            Word::Ruok => "imok".to_owned(),
            Word::Isro => "rw".to_owned(),
            Word::Gtmk | Word::Stmk => TRACE_MASK.to_string(),
            Word::Srvr => four_letter::srvr(&self.server_stats()),
            Word::Stat => {
                let stats = self.server_stats();
                four_letter::stat(&stats, &self.connection_stats())
            }
            Word::Cons => four_letter::cons(&self.connection_stats()),
            Word::Conf => four_letter::conf(&self.configuration()),
            Word::Dirs => four_letter::dirs(&self.configuration()),
            Word::Mntr => four_letter::mntr(&self.metrics(), self.has_prometheus()),
            Word::Envi => four_letter::envi(&crate::environment::environment()),
            Word::Dump => four_letter::dump(&self.dump()),
            Word::Wchs => four_letter::wchs(&self.watch_summary()),
            Word::Wchc => four_letter::wchc(&self.watches()),
            Word::Wchp => four_letter::wchp(&self.watches()),
            // Digests of the past are kept by members of an ensemble to compare them.
            Word::Hash => String::new(),
            Word::Crst => {
                self.reset_connection_stats();
                "Connection stats reset.\n".to_owned()
            }
            Word::Srst => {
                self.reset_stats();
                "Server stats reset.\n".to_owned()
            }
        }
    }
}
