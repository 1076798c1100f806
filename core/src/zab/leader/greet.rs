// SPDX-License-Identifier: Apache-2.0
//! How a leader greets a learner: who may follow it, and who ends its epoch.

use alloc::{format, string::String};

use super::{Leader, Mode, Orders, Stage};
use crate::{
    id::{LinkId, Zxid},
    io::Effects,
    zab::wire::{LearnerInfo, PROTOCOL},
    zoo::Zoo,
};

impl<Z: Zoo> Leader<Z> {
    /// The highest epoch that a member was heard to have accepted, where that ended this one or
    /// an earlier one of this server's.
    pub fn heard(&self) -> u32 {
        self.heard
    }

    /// A learner says who it is.
    ///
    /// # Errors
    /// If it may not follow this leader.
    pub(super) fn greet(
        &mut self,
        link: LinkId,
        accepted: u32,
        observer: bool,
        info: LearnerInfo,
        fx: &mut Effects,
        orders: &mut Orders<'_>,
    ) -> Result<(), String> {
        let member = self.config.members.contains(&info.sid);
        let ends_this = self.mode != Mode::Electing && accepted > self.epoch;
        self.judge(accepted, info)?;
        if ends_this {
            let why = format!(
                "server {} accepted epoch {accepted}, and this is {}",
                info.sid, self.epoch
            );
            if member {
                self.heard = accepted;
                self.step_down(&why, fx, orders);
                return Ok(());
            }
            return Err(why);
        }
        let earlier = self.peers.iter().find(|(_, peer)| peer.sid == info.sid);
        if let Some(earlier) = earlier.map(|(link, _)| *link) {
            self.hang_up(earlier, "it came again over another link", fx, orders);
        }
        // Whoever is no member cannot use up the epochs.
        if self.mode == Mode::Electing && member {
            self.epoch = self.epoch.max(accepted);
        }
        let peer = self.peers.get_mut(&link).expect("it spoke");
        peer.sid = info.sid;
        peer.observer = observer;
        peer.old = info.config_version.is_none();
        peer.stage = Stage::Waiting;
        Ok(())
    }

    /// Whether a learner may follow this leader.
    fn judge(&self, accepted: u32, info: LearnerInfo) -> Result<(), String> {
        let LearnerInfo { sid, protocol, config_version } = info;
        if accepted >= i32::MAX as u32 {
            return Err(format!(
                "server {sid} accepted epoch {accepted}, after which there is none"
            ));
        }
        if protocol < PROTOCOL {
            return Err(format!("server {sid} speaks version {protocol:#x} of the protocol"));
        }
        if config_version.is_some_and(|version| version > self.config.config_version) {
            return Err(format!("server {sid} has a later configuration"));
        }
        if sid == self.config.me {
            return Err(format!("server {sid} is this one"));
        }
        Ok(())
    }

    /// A learner promised itself to this epoch.
    pub(super) fn on_ack_epoch(
        &mut self,
        link: LinkId,
        last: Zxid,
        current: Option<i32>,
    ) -> Result<(), String> {
        let (own_epoch, own_last) = self.elected;
        if self.mode == Mode::Agreeing
            && let Some(epoch) = current
            && (i64::from(epoch), last) > (own_epoch.into(), own_last)
        {
            return Err(format!("it holds epoch {epoch} up to {last}, which is newer"));
        }
        let peer = self.peers.get_mut(&link).expect("it spoke");
        peer.stage = Stage::Agreed { last, counts: current.is_some() };
        Ok(())
    }
}
