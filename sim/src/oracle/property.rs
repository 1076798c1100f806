// SPDX-License-Identifier: Apache-2.0
//! Promises by name, and how one is broken.

use std::fmt;

use crate::readable::readable;

macro_rules! properties {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A promise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Property {
            $($(#[$doc])* $name,)*
        }

        impl Property {
            /// All promises.
            pub const ALL: &'static [Property] = &[$(Property::$name,)*];

            /// Its name, as traces and tables have it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Property::$name => stringify!($name),)*
                }
            }
        }
    };
}

properties! {
    /// Replies equal the model's.
    ExactTree,
    /// Each write happens exactly once, and as it must.
    Writes,
    /// Replies come in order.
    SessionFifo,
    /// Watches tell once, in order, in time.
    Watches,
    /// Ephemerals live as long as their sessions.
    Ephemerals,
    /// Sessions open and resume as they must.
    Sessions,
    /// Sessions expire neither too soon nor too late.
    Expiry,
    /// What was told survives.
    Recovery,
    /// Logged digests are right.
    Digests,
    /// Turns and queues are bounded.
    Bounds,
    /// The core never panics.
    NoPanic,
    /// Everything goes on once the faults are over.
    Progress,
    /// What a client's machine promises its user.
    Client,
    /// Rot stops the server by name, and is never served.
    Rot,
    /// All servers' histories are one.
    Agreement,
    /// What is shown is on a quorum of disks.
    Commitment,
    /// An epoch has one leader, who holds everything.
    Leadership,
    /// Promises of epochs are kept.
    Epochs,
    /// Learners hold what their leader holds.
    Following,
    /// What is acknowledged is durable.
    Acks,
    /// What is told is durable where it is told.
    Durability,
    /// Logs ascend, and have no gaps within an epoch.
    Order,
    /// What is logged was proposed by a leader of its epoch.
    Integrity,
    /// Learners take all that they are told.
    Learning,
    /// Within a round votes only get better.
    Votes,
    /// A list of members is in force once both quorums hold it.
    Configuration,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub property: Property,
    /// How.
    pub what: String,
}

impl Violation {
    /// A broken promise.
    pub fn new(property: Property, what: String) -> Violation {
        Violation { property, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut what = readable(&self.what);
        if let Some((end, _)) = what.char_indices().nth(3_000) {
            what.truncate(end);
            what.push_str("...");
        }
        write!(f, "{} is broken: {what}", self.property.name())
    }
}

/// The verdict on one step.
pub type Check = Result<(), Violation>;
