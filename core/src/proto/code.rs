// SPDX-License-Identifier: Apache-2.0
//! Operation and error codes: the numbers on the wire and in the log.

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i32)]
        pub enum $name {
            $($(#[$vdoc])* $variant = $code,)*
        }

        impl $name {
            /// Every code there is.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The number on the wire.
            pub const fn code(self) -> i32 {
                self as i32
            }

            /// The meaning of a number from the wire.
            pub const fn from_code(code: i32) -> Option<$name> {
                match code {
                    $($code => Some($name::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// What a request asks for, and what a transaction does.
    OpCode {
        /// A watch fired (server to client only).
        Notification = 0,
        /// Create a znode.
        Create = 1,
        /// Delete a znode.
        Delete = 2,
        /// The Stat of a znode, or a watch for its creation.
        Exists = 3,
        /// Data and Stat.
        GetData = 4,
        /// Replace the data.
        SetData = 5,
        /// ACL and Stat.
        GetAcl = 6,
        /// Replace the ACL.
        SetAcl = 7,
        /// Names of the children.
        GetChildren = 8,
        /// A barrier behind all writes that were proposed before it.
        Sync = 9,
        /// Keep the session alive.
        Ping = 11,
        /// Names of the children and Stat.
        GetChildren2 = 12,
        /// Compare a version; only inside multi.
        Check = 13,
        /// Several writes, all or none.
        Multi = 14,
        /// Create a znode, and answer its Stat.
        Create2 = 15,
        /// Change the membership.
        Reconfig = 16,
        /// Whether a watch of a kind is registered.
        CheckWatches = 17,
        /// Take watches back.
        RemoveWatches = 18,
        /// Create a container.
        CreateContainer = 19,
        /// Delete an empty container or an aged TTL znode (internal).
        DeleteContainer = 20,
        /// Create a znode with a time to live.
        CreateTtl = 21,
        /// Several reads, each with its own result.
        MultiRead = 22,
        /// Add an identity to the connection.
        Auth = 100,
        /// Register watches again after a reconnect.
        SetWatches = 101,
        /// A round of a SASL exchange.
        Sasl = 102,
        /// The session's ephemeral znodes.
        GetEphemerals = 103,
        /// How many descendants a znode has.
        GetAllChildrenNumber = 104,
        /// Register watches again, persistent ones included.
        SetWatches2 = 105,
        /// Register a persistent watch.
        AddWatch = 106,
        /// The connection's identities.
        WhoAmI = 107,
        /// Open a session (internal).
        CreateSession = -10,
        /// Close the session.
        CloseSession = -11,
        /// A write that failed, as a transaction.
        Error = -1,
    }
}

codes! {
    /// Why a request failed, as clients see it.
    ErrorCode {
        /// No error.
        Ok = 0,
        /// The server failed in a way it should not.
        SystemError = -1,
        /// In multi: not tried, because another operation failed.
        RuntimeInconsistency = -2,
        /// Data that cannot be.
        DataInconsistency = -3,
        /// The connection was lost (clients' own).
        ConnectionLoss = -4,
        /// The request could not be decoded.
        MarshallingError = -5,
        /// No such operation, or not here.
        Unimplemented = -6,
        /// An operation timed out (clients' own).
        OperationTimeout = -7,
        /// Arguments that can never be right.
        BadArguments = -8,
        /// A session that the leader does not know.
        UnknownSession = -12,
        /// The new configuration has no quorum in step.
        NewConfigNoQuorum = -13,
        /// Another reconfiguration is under way.
        ReconfigInProgress = -14,
        /// No such znode.
        NoNode = -101,
        /// The ACL does not permit it.
        NoAuth = -102,
        /// Not the expected version.
        BadVersion = -103,
        /// Ephemeral znodes have no children.
        NoChildrenForEphemerals = -108,
        /// The znode exists.
        NodeExists = -110,
        /// The znode has children.
        NotEmpty = -111,
        /// The session has expired.
        SessionExpired = -112,
        /// A callback that cannot be (clients' own).
        InvalidCallback = -113,
        /// The ACL is empty, unknown or malformed.
        InvalidAcl = -114,
        /// Authentication failed.
        AuthFailed = -115,
        /// The session moved to another server.
        SessionMoved = -118,
        /// A write on a read-only server.
        NotReadOnly = -119,
        /// An ephemeral znode in a local session.
        EphemeralOnLocalSession = -120,
        /// No such watch.
        NoWatcher = -121,
        /// A request timed out (clients' own).
        RequestTimeout = -122,
        /// Reconfiguration is switched off.
        ReconfigDisabled = -123,
        /// The server requires SASL.
        SessionClosedRequireSaslAuth = -124,
        /// A hard quota would be exceeded.
        QuotaExceeded = -125,
        /// The request was throttled.
        ThrottledOp = -127,
    }
}

codes! {
    /// What a watch tells of.
    EventKind {
        /// The znode was created.
        Created = 1,
        /// The znode was deleted.
        Deleted = 2,
        /// Its data changed.
        DataChanged = 3,
        /// Its children changed.
        ChildrenChanged = 4,
    }
}

impl OpCode {
    /// Whether ZooKeeper 3.4 does not know it, and could not log its transaction.
    pub const fn is_beyond_3_4(self) -> bool {
        matches!(
            self,
            OpCode::Create2
                | OpCode::CreateContainer
                | OpCode::CreateTtl
                | OpCode::DeleteContainer
                | OpCode::Reconfig
        )
    }

    /// Whether a client's operation becomes a transaction, an error transaction at least.
    pub const fn is_write(self) -> bool {
        matches!(
            self,
            OpCode::Create
                | OpCode::Create2
                | OpCode::CreateContainer
                | OpCode::CreateTtl
                | OpCode::Delete
                | OpCode::DeleteContainer
                | OpCode::SetData
                | OpCode::SetAcl
                | OpCode::Multi
                | OpCode::Reconfig
                | OpCode::Check
                | OpCode::CloseSession
        )
    }
}
