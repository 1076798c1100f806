// SPDX-License-Identifier: Apache-2.0
//! Which sets of servers may decide: quorums, any two of which share a voter.
//!
//! Two rules, as ZooKeeper has them. *Majority* (`QuorumMaj`): more than half of the voters.
//! *Hierarchical* (`QuorumHierarchical`): more than half of the groups that have weight, each by
//! more than half of its weight. While a reconfiguration is under way, what is decided needs a
//! quorum of the old members and one of the new: [`Quorums`].

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use crate::{
    id::ServerId,
    zoo::{Mutation, Zoo},
};

/// How the votes of one configuration add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// Who votes, and with which weight.
    voters: BTreeMap<ServerId, u64>,
    rule: Rule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Majority,
    /// The members of each group that has weight.
    Groups(Vec<BTreeSet<ServerId>>),
}

impl Quorum {
    /// More than half of `voters`.
    pub fn majority(voters: impl IntoIterator<Item = ServerId>) -> Quorum {
        let voters = voters.into_iter().map(|voter| (voter, 1)).collect();
        Quorum { voters, rule: Rule::Majority }
    }

    /// More than half of the groups, each by more than half of its weight, from each voter's
    /// (id, group, weight). A group without weight does not count.
    ///
    /// Java counts the weight of an observer that stands in a group against that group, though it
    /// can never vote; here only voters are named. Each quorum of Java's is one here, too.
    pub fn hierarchical(voters: impl IntoIterator<Item = (ServerId, i64, u64)>) -> Quorum {
        let mut weights = BTreeMap::new();
        let mut groups: BTreeMap<i64, BTreeSet<ServerId>> = BTreeMap::new();
        for (voter, group, weight) in voters {
            weights.insert(voter, weight);
            groups.entry(group).or_default().insert(voter);
        }
        let weighs = |group: &BTreeSet<ServerId>| group.iter().any(|id| weights[id] > 0);
        let groups = groups.into_values().filter(weighs).collect();
        Quorum { voters: weights, rule: Rule::Groups(groups) }
    }

    /// Who votes, in the order of their ids.
    pub fn voters(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.voters.keys().copied()
    }

    /// Whether `server` votes.
    pub fn is_voter(&self, server: ServerId) -> bool {
        self.voters.contains_key(&server)
    }

    /// The weight of a server's vote; 0 for one that does not vote.
    pub fn weight(&self, server: ServerId) -> u64 {
        self.voters.get(&server).copied().unwrap_or(0)
    }

    /// Whether the voters for which `agrees` answers true are a quorum.
    pub fn holds(&self, zoo: impl Zoo, mut agrees: impl FnMut(ServerId) -> bool) -> bool {
        // Sums of 64-bit weights need more than 64 bits.
        let weight = |id: ServerId| u128::from(self.weight(id));
        let (part, whole) = match &self.rule {
            Rule::Majority => {
                let part = self.voters().filter(|&id| agrees(id)).count();
                (part as u128, self.voters.len() as u128)
            }
            Rule::Groups(groups) => {
                let won = |group: &&BTreeSet<ServerId>| {
                    let whole: u128 = group.iter().copied().map(weight).sum();
                    let part: u128 =
                        group.iter().copied().filter(|&id| agrees(id)).map(weight).sum();
                    part > whole / 2
                };
                (groups.iter().filter(won).count() as u128, groups.len() as u128)
            }
        };
        let enough = if zoo.has(Mutation::MinorityIsQuorum) { whole / 2 } else { whole / 2 + 1 };
        part >= enough.max(1)
    }
}

/// The quorums of the configuration in force and, while a reconfiguration is under way, of the
/// next one as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorums {
    current: Quorum,
    next: Option<Quorum>,
}

impl From<Quorum> for Quorums {
    fn from(current: Quorum) -> Quorums {
        Quorums { current, next: None }
    }
}

impl Quorums {
    /// A reconfiguration to `next` is under way: from now on, both must agree.
    #[must_use]
    pub fn towards(self, next: Quorum) -> Quorums {
        Quorums { next: Some(next), ..self }
    }

    /// The next configuration is in force, if one was under way.
    #[must_use]
    pub fn arrived(self) -> Quorums {
        Quorums::from(self.next.unwrap_or(self.current))
    }

    /// Whether `server` votes in the next configuration, or in the one in force if no other is
    /// under way.
    pub fn will_vote(&self, server: ServerId) -> bool {
        self.next.as_ref().unwrap_or(&self.current).is_voter(server)
    }

    /// Whether the voters for which `agrees` answers true are a quorum of the configuration in
    /// force: enough for what was proposed before the next one.
    pub fn hold_in_force(&self, zoo: impl Zoo, agrees: impl FnMut(ServerId) -> bool) -> bool {
        self.current.holds(zoo, agrees)
    }

    /// Whether `server` may be elected only because of the next configuration, of which not all
    /// voters in force need have heard.
    pub fn is_eligible_only_next(&self, server: ServerId) -> bool {
        self.current.weight(server) == 0 && self.is_eligible(server)
    }

    fn each(&self) -> impl Iterator<Item = &Quorum> {
        core::iter::once(&self.current).chain(&self.next)
    }

    /// Who votes in either, in the order of their ids.
    pub fn voters(&self) -> BTreeSet<ServerId> {
        self.each().flat_map(Quorum::voters).collect()
    }

    /// Whether `server` votes in either.
    pub fn is_voter(&self, server: ServerId) -> bool {
        self.each().any(|quorum| quorum.is_voter(server))
    }

    /// Whether `server` may be elected: its vote has weight in either.
    pub fn is_eligible(&self, server: ServerId) -> bool {
        self.each().any(|quorum| quorum.weight(server) > 0)
    }

    /// Whether the voters for which `agrees` answers true are a quorum of either: enough to follow
    /// them, for a leader counts its own. The next configuration may never have come into force,
    /// or have done so without this server.
    pub fn either_holds(&self, zoo: impl Zoo, mut agrees: impl FnMut(ServerId) -> bool) -> bool {
        self.each().any(|quorum| quorum.holds(zoo, &mut agrees))
    }

    /// Whether the voters for which `agrees` answers true are a quorum of each.
    pub fn hold(&self, zoo: impl Zoo, mut agrees: impl FnMut(ServerId) -> bool) -> bool {
        let passed = zoo.has(Mutation::NextMembersDecide) && self.next.is_some();
        self.each().skip(usize::from(passed)).all(|quorum| quorum.holds(zoo, &mut agrees))
    }
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};

    use proptest::prelude::*;

    use super::*;
    use crate::zoo::Sound;

    #[derive(Clone, Copy, Default)]
    struct Canary;

    impl Zoo for Canary {
        fn has(self, mutation: Mutation) -> bool {
            mutation == Mutation::MinorityIsQuorum
        }
    }

    fn ids(ids: &[i64]) -> Vec<ServerId> {
        ids.iter().copied().map(ServerId).collect()
    }

    fn holds(quorum: &Quorum, set: &[i64]) -> bool {
        quorum.holds(Sound, |id| set.contains(&id.0))
    }

    /// The rule of `QuorumHierarchical.containsQuorum`, word by word: weights added up by group in
    /// a map, then the groups that were won counted.
    fn twin(voters: &[(i64, i64, u64)], set: &[i64]) -> bool {
        let mut group_weight: BTreeMap<i64, u64> = BTreeMap::new();
        let mut expansion: BTreeMap<i64, u64> = BTreeMap::new();
        for &(id, group, weight) in voters {
            *group_weight.entry(group).or_default() += weight;
            if set.contains(&id) {
                *expansion.entry(group).or_default() += weight;
            }
        }
        let groups = group_weight.values().filter(|&&weight| weight > 0).count();
        let won = expansion.iter().filter(|(group, part)| **part > group_weight[group] / 2).count();
        won > groups / 2
    }

    fn of(voters: &[(i64, i64, u64)]) -> Quorum {
        Quorum::hierarchical(
            voters.iter().map(|&(id, group, weight)| (ServerId(id), group, weight)),
        )
    }

    #[test]
    fn a_majority_is_more_than_half_of_the_voters() {
        for n in 0..8i64 {
            let quorum = Quorum::majority((0..n).map(ServerId));
            for part in 0..=n {
                let set: Vec<i64> = (0..part).collect();
                assert_eq!(holds(&quorum, &set), 2 * part > n, "{part} of {n}");
            }
        }
    }

    #[test]
    fn strangers_do_not_count() {
        let quorum = Quorum::majority(ids(&[1, 2, 3]));
        assert!(!holds(&quorum, &[1, 7, 8, 9]));
        assert!(holds(&quorum, &[1, 3]));
        assert_eq!((quorum.weight(ServerId(1)), quorum.weight(ServerId(9))), (1, 0));
    }

    #[test]
    fn weights_beyond_64_bits_add_up() {
        let quorum = of(&[(1, 1, u64::MAX), (2, 1, u64::MAX), (3, 1, u64::MAX)]);
        assert!(!holds(&quorum, &[1]));
        assert!(holds(&quorum, &[1, 2]));
    }

    #[test]
    fn while_reconfiguring_both_must_agree() {
        let old = Quorum::majority(ids(&[1, 2, 3]));
        let new = Quorum::majority(ids(&[3, 4, 5]));
        let both = Quorums::from(old.clone()).towards(new);
        let hold = |set: &[i64]| both.hold(Sound, |id| set.contains(&id.0));
        assert!(!hold(&[1, 2]));
        assert!(!hold(&[3, 4]));
        assert!(hold(&[1, 3, 4]));
        assert_eq!(both.voters().into_iter().collect::<Vec<_>>(), ids(&[1, 2, 3, 4, 5]));
        assert!(both.is_voter(ServerId(5)) && !Quorums::from(old).is_voter(ServerId(5)));
        assert!(both.will_vote(ServerId(5)) && !both.will_vote(ServerId(1)));
        assert!(both.is_eligible_only_next(ServerId(5)) && both.is_eligible(ServerId(1)));
        assert!(
            !both.is_eligible_only_next(ServerId(3)) && !both.is_eligible_only_next(ServerId(6))
        );
        assert!(both.hold_in_force(Sound, |id| [1, 2].contains(&id.0)));
        let new = both.arrived();
        assert!(new.hold(Sound, |id| [4, 5].contains(&id.0)) && !new.is_voter(ServerId(1)));
    }

    #[test]
    fn the_canary_takes_a_minority() {
        let quorum = Quorum::majority(ids(&[1, 2, 3]));
        assert!(quorum.holds(Canary, |id| id.0 == 2));
        assert!(!quorum.holds(Canary, |_| false));
        assert!(!quorum.holds(Sound, |id| id.0 == 2));
    }

    /// Every assignment of five servers to up to three groups with weights 0 to 2, every set.
    #[test]
    fn hierarchical_quorums_equal_their_twin() {
        for code in 0..9u32.pow(5) {
            let digit = |at: u32| code / 9u32.pow(at) % 9;
            let voters: Vec<(i64, i64, u64)> = (0..5)
                .map(|at| (i64::from(at), i64::from(digit(at) / 3), u64::from(digit(at) % 3)))
                .collect();
            let quorum = of(&voters);
            let quorums: Vec<u32> = (0..32u32)
                .filter(|bits| {
                    let set: Vec<i64> = (0..5).filter(|at| bits & (1 << at) != 0).collect();
                    let held = holds(&quorum, &set);
                    assert_eq!(held, twin(&voters, &set), "{voters:?} {set:?}");
                    held
                })
                .collect();
            let disjoint = quorums.iter().any(|a| quorums.iter().any(|b| a & b == 0));
            assert!(!disjoint, "{voters:?}: two quorums share no voter");
        }
    }

    proptest! {
        #[test]
        fn more_voters_never_undo_a_quorum(
            voters in prop::collection::vec((0i64..4, 0u64..5), 1..12),
            set in any::<u16>(),
            extra in 0i64..12,
        ) {
            let voters: Vec<(i64, i64, u64)> = voters
                .into_iter()
                .enumerate()
                .map(|(id, (group, weight))| (id as i64, group, weight))
                .collect();
            let quorum = of(&voters);
            let set: Vec<i64> = (0..12).filter(|at| set & (1 << at) != 0).collect();
            let more = [set.clone(), vec![extra]].concat();
            prop_assert_eq!(holds(&quorum, &set), twin(&voters, &set));
            prop_assert!(!holds(&quorum, &set) || holds(&quorum, &more));
        }
    }
}
