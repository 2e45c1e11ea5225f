//! What a look could not see, and what would change that. The words are the monitor's.

/// One thing that a look could not see.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// What.
    pub kind: NoteKind,
    /// About which server, as `host:port`.
    pub instance: String,
    /// What the words need beside it.
    pub args: Vec<String>,
}

/// The kinds of notes. `{0}` is the server, the arguments follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoteKind {
    /// Nothing of its own figures is to be seen: whitelist `mntr`.
    FiguresHidden,
    /// It could serve a metrics page (3.6 and later) and does not: the provider's line.
    NoMetricsPage,
    /// Its configuration is not to be seen: whitelist `conf`.
    ConfHidden,
    /// Its metrics page does not answer although the server does: {1} address, {2} reason.
    PageSilent,
    /// A line of its metrics page is not sound: {1} line and reason, {2} how many.
    PageUnsound,
    /// Its metrics page was not read to its end: {1} reason.
    PageCut,
    /// It closes word connections without an answer while its pages answer: the limit of
    /// connections per address.
    ConnectionLimit,
    /// What answers on its admin port is another server's: {1} port, {2} that one's client port.
    ForeignAdmin,
    /// A key is not the same on all members: {1} key, {2} who has what.
    ConfigDiffers,
    /// Members cannot be listed: versions before 3.5 do not say them.
    MembersUnknown,
    /// A member's name means nothing here: {1} the member's name.
    MemberUnresolved,
    /// It and the monitor do not trust each other, so that nothing is seen: {1} reason.
    Barred,
    /// The list does not name secure ports, and this member has its own: {1} its plain address.
    SecurePortUnknown,
}

impl Note {
    /// A note about `instance`.
    pub fn new(kind: NoteKind, instance: &str, args: impl IntoIterator<Item = String>) -> Self {
        Self { kind, instance: instance.to_owned(), args: args.into_iter().collect() }
    }
}
