// SPDX-License-Identifier: Apache-2.0
//! What is to happen, by time and then by age.

use std::{cmp::Ordering, collections::BinaryHeap};

use super::Ev;

/// Something that is to happen.
#[derive(Clone)]
struct Due {
    at: u64,
    /// How many were there before it.
    age: u64,
    event: Ev,
}

/// Everything that is to happen.
#[derive(Clone, Default)]
pub struct Agenda {
    heap: BinaryHeap<Due>,
    ever: u64,
}

impl Agenda {
    /// Something is to happen at a time.
    pub fn push(&mut self, at: u64, event: Ev) {
        self.ever += 1;
        self.heap.push(Due { at, age: self.ever, event });
    }

    /// When the next thing happens.
    pub fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|due| due.at)
    }

    /// What happens next, and when.
    pub fn pop(&mut self) -> Option<(u64, Ev)> {
        self.heap.pop().map(|due| (due.at, due.event))
    }

    /// Only what is wanted still happens.
    pub fn retain(&mut self, wanted: impl Fn(&Ev) -> bool) {
        self.heap.retain(|due| wanted(&due.event));
    }
}

/// The soonest is the greatest, as the heap wants it.
impl Ord for Due {
    fn cmp(&self, other: &Due) -> Ordering {
        (other.at, other.age).cmp(&(self.at, self.age))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soonest_comes_first_and_of_those_the_oldest() {
        let mut agenda = Agenda::default();
        for (at, link) in [(9, 1), (3, 2), (9, 3), (3, 4), (5, 5)] {
            agenda.push(at, Ev::End { link });
        }
        agenda.retain(|event| !matches!(event, Ev::End { link: 5 }));
        let mut order = Vec::new();
        while let Some((at, Ev::End { link })) = agenda.pop() {
            order.push((at, link));
        }
        assert_eq!(order, [(3, 2), (3, 4), (9, 1), (9, 3)]);
    }
}
