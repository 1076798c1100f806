// SPDX-License-Identifier: Apache-2.0
//! Worlds whose server has a bug: the only policy that ever answers "yes".

use std::cell::Cell;

use menagerie_core::zoo::{Mutation, Zoo};

thread_local! {
    static BRED: Cell<Option<Mutation>> = const { Cell::new(None) };
}

/// A policy with at most one bug. Machines ask for their policy by `Default`, which a worker sets
/// for its thread with [`breed`]; a world keeps the policy that its first server had.
#[derive(Clone, Copy)]
pub struct Mutant(Option<Mutation>);

/// From here on, nodes made on this thread have this bug, or none.
pub fn breed(mutation: Option<Mutation>) {
    BRED.set(mutation);
}

impl Default for Mutant {
    fn default() -> Mutant {
        Mutant(BRED.get())
    }
}

impl Zoo for Mutant {
    fn has(self, mutation: Mutation) -> bool {
        self.0 == Some(mutation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_has_its_own_bug_only() {
        breed(Some(Mutation::AckBeforeSync));
        let mutant = Mutant::default();
        breed(None);
        assert!(mutant.has(Mutation::AckBeforeSync));
        assert!(!mutant.has(Mutation::MultiKeepsChanges));
        assert!(!Mutant::default().has(Mutation::AckBeforeSync));
    }
}
