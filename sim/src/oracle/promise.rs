// SPDX-License-Identifier: Apache-2.0
//! What each promise says, for people.

use super::Property;

impl Property {
    /// What is promised, in a sentence.
    pub fn promise(self) -> &'static str {
        match self {
            Property::ExactTree => "every reply equals what the tree says at its zxid",
            Property::Writes => "each write takes effect once, and as it must",
            Property::SessionFifo => "replies come in the order of their requests",
            Property::Watches => {
                "a watch tells once, in order, before what it tells of can be read"
            }
            Property::Ephemerals => "an ephemeral znode lives exactly as long as its session",
            Property::Sessions => "a session opens and resumes as it must, and for its owner only",
            Property::Expiry => "a session expires neither too soon nor too late",
            Property::Recovery => "what was told survives every crash",
            Property::Digests => "equal zxids are equal trees, and the logged digests say so",
            Property::Bounds => "a turn and a queue are bounded",
            Property::NoPanic => "a server never panics",
            Property::Progress => "once the faults are over, everybody is served",
            Property::Client => "a client's machine keeps its word to its user",
            Property::Rot => "rot stops a server by name, and is never served",
            Property::Agreement => "equal zxids are equal transactions, and all histories are one",
            Property::Commitment => "nothing is shown before a quorum of disks holds it",
            Property::Leadership => {
                "an epoch has one leader, which holds everything that was shown"
            }
            Property::Epochs => "a server goes back behind no epoch that it promised itself to",
            Property::Following => "a learner that serves holds what its leader holds",
            Property::Acks => "what is acknowledged is durable on its sender's disk",
            Property::Durability => "what a server tells is durable there",
            Property::Order => "a log ascends, without gaps within an epoch",
            Property::Integrity => "whatever is logged was proposed by a leader of its epoch",
            Property::Learning => "a learner takes all that its leader tells it",
            Property::Configuration => {
                "other members are in force once quorums of both lists hold that they are to be"
            }
            Property::Votes => "within a round, a server's vote only gets better",
        }
    }
}
