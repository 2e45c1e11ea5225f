//! Operation codes of request headers and txn headers.

macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $label:literal, $short:literal;)*) => {
        /// What a request or a txn does (`ZooDefs.OpCode`, 3.9).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum OpCode { $($(#[$doc])* $name,)* }

        impl OpCode {
            /// Every operation, in the order of the declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The number on the wire.
            pub fn code(self) -> i32 {
                match self { $(Self::$name => $code,)* }
            }
            /// The operation's name, as Apache spells it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
            /// Its short form in `cons` (`lop=`).
            pub fn short(self) -> &'static str {
                match self { $(Self::$name => $short,)* }
            }
            /// The operation behind a number of the wire.
            pub fn from_code(code: i32) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }
        }
    };
}

ops! {
    /// Create a znode; the reply has its path.
    Create = 1, "create", "CREA";
    /// Delete a znode.
    Delete = 2, "delete", "DELE";
    /// Stat of a znode, or arm an exist watch.
    Exists = 3, "exists", "EXIS";
    /// Data and stat.
    GetData = 4, "getData", "GETD";
    /// Replace the data.
    SetData = 5, "setData", "SETD";
    /// ACL and stat.
    GetAcl = 6, "getACL", "GETA";
    /// Replace the ACL.
    SetAcl = 7, "setACL", "SETA";
    /// Names of the children.
    GetChildren = 8, "getChildren", "GETC";
    /// Wait for what the leader has proposed so far.
    Sync = 9, "sync", "SYNC";
    /// Heartbeat.
    Ping = 11, "ping", "PING";
    /// Names of the children and stat.
    GetChildren2 = 12, "getChildren2", "GETC";
    /// Compare a version; only inside a multi.
    Check = 13, "check", "CHEC";
    /// Several writes, all or none.
    Multi = 14, "multi", "MULT";
    /// Create a znode; the reply has its path and stat.
    Create2 = 15, "create2", "CREA";
    /// Change the ensemble's configuration.
    Reconfig = 16, "reconfig", "RECO";
    /// Is such a watch armed?
    CheckWatches = 17, "checkWatches", "CHKW";
    /// Disarm watches.
    RemoveWatches = 18, "removeWatches", "REMW";
    /// Create a container.
    CreateContainer = 19, "createContainer", "CREA";
    /// The server's reaper removes a container or an outlived TTL znode.
    DeleteContainer = 20, "deleteContainer", "DELE";
    /// Create a znode with a time to live.
    CreateTtl = 21, "createTTL", "CREA";
    /// Several reads in one packet.
    MultiRead = 22, "multiRead", "MLTR";
    /// Add an identity to the connection.
    Auth = 100, "auth", "NA";
    /// Arm watches again after a reconnect.
    SetWatches = 101, "setWatches", "SETW";
    /// A step of a SASL exchange.
    Sasl = 102, "sasl", "NA";
    /// Ephemerals of this session.
    GetEphemerals = 103, "getEphemerals", "GETE";
    /// Number of descendants.
    GetAllChildrenNumber = 104, "getAllChildrenNumber", "GETACN";
    /// Arm watches again, persistent and recursive ones too.
    SetWatches2 = 105, "setWatches2", "STW2";
    /// Arm a persistent or recursive watch.
    AddWatch = 106, "addWatch", "ADDW";
    /// Identities of this connection.
    WhoAmI = 107, "whoAmI", "HOMI";
    /// Begin a session (txns only).
    CreateSession = -10, "createSession", "SESS";
    /// End a session.
    CloseSession = -11, "closeSession", "CLOS";
    /// A write that failed (txns and results of a multi only).
    Error = -1, "error", "NA";
}

impl OpCode {
    /// Is this a write, ordered and logged?
    pub fn is_write(self) -> bool {
        matches!(
            self,
            Self::Create
                | Self::Create2
                | Self::CreateContainer
                | Self::CreateTtl
                | Self::Delete
                | Self::DeleteContainer
                | Self::SetData
                | Self::SetAcl
                | Self::Check
                | Self::Multi
                | Self::Reconfig
                | Self::CreateSession
                | Self::CloseSession
        )
    }
}
