//! The protocol's own errors: answers to a client, not failures of the server.

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $label:literal;)*) => {
        /// An error code of a reply header (`KeeperException.Code`, 3.9).
        ///
        /// Codes that only clients use among themselves are never sent by a server: the Java
        /// client throws on a code that it does not know.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// The number on the wire.
            pub fn code(self) -> i32 {
                match self { $(Self::$name => $code,)* }
            }
            /// The field's name for it, as Apache spells it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
            /// The error behind a number of the wire; `None` for 0 (no error) and unknown ones.
            pub fn from_code(code: i32) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }
        }
    };
}

codes! {
    /// Something unexpected inside the server.
    SystemError = -1, "SYSTEMERROR";
    /// An operation of a multi after the one that failed.
    RuntimeInconsistency = -2, "RUNTIMEINCONSISTENCY";
    /// Data is not as it should be.
    DataInconsistency = -3, "DATAINCONSISTENCY";
    /// The request could not be decoded.
    MarshallingError = -5, "MARSHALLINGERROR";
    /// The server does not know the operation, or it is switched off.
    Unimplemented = -6, "UNIMPLEMENTED";
    /// The operation took too long.
    OperationTimeout = -7, "OPERATIONTIMEOUT";
    /// An argument breaks a rule: path, flags, TTL.
    BadArguments = -8, "BADARGUMENTS";
    /// The session is not known.
    UnknownSession = -12, "UNKNOWNSESSION";
    /// No quorum of the new configuration is connected.
    NewConfigNoQuorum = -13, "NEWCONFIGNOQUORUM";
    /// Another reconfiguration is under way.
    ReconfigInProgress = -14, "RECONFIGINPROGRESS";
    /// The znode does not exist.
    NoNode = -101, "NONODE";
    /// The ACL does not allow it.
    NoAuth = -102, "NOAUTH";
    /// The version is not the expected one.
    BadVersion = -103, "BADVERSION";
    /// An ephemeral znode cannot have children.
    NoChildrenForEphemerals = -108, "NOCHILDRENFOREPHEMERALS";
    /// The znode exists already.
    NodeExists = -110, "NODEEXISTS";
    /// The znode has children.
    NotEmpty = -111, "NOTEMPTY";
    /// The session has expired or is closing.
    SessionExpired = -112, "SESSIONEXPIRED";
    /// The ACL is not valid.
    InvalidAcl = -114, "INVALIDACL";
    /// The credentials were refused.
    AuthFailed = -115, "AUTHFAILED";
    /// The session has moved to another server.
    SessionMoved = -118, "SESSIONMOVED";
    /// A write to a read-only server.
    NotReadOnly = -119, "NOTREADONLY";
    /// An ephemeral znode on a local session.
    EphemeralOnLocalSession = -120, "EPHEMERALONLOCALSESSION";
    /// No such watch.
    NoWatcher = -121, "NOWATCHER";
    /// Reconfiguration is switched off.
    ReconfigDisabled = -123, "RECONFIGDISABLED";
    /// The session must authenticate by SASL.
    SessionClosedRequireSaslAuth = -124, "SESSIONCLOSEDREQUIRESASLAUTH";
    /// A quota is used up.
    QuotaExceeded = -125, "QUOTAEXCEEDED";
    /// The operation was throttled.
    ThrottledOp = -127, "THROTTLEDOP";
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name(), self.code())
    }
}

impl std::error::Error for ErrorCode {}

#[cfg(test)]
mod tests {
    use super::ErrorCode;

    #[test]
    fn codes_round_trip() {
        for code in -200..=0 {
            if let Some(e) = ErrorCode::from_code(code) {
                assert_eq!(e.code(), code);
            }
        }
        assert_eq!(ErrorCode::from_code(-101), Some(ErrorCode::NoNode));
        assert_eq!(ErrorCode::from_code(0), None);
    }
}
