// SPDX-License-Identifier: Apache-2.0
//! Promises that nobody looks at: to see what the others are worth by themselves.

use super::{Check, Property};

/// A set of promises that are switched off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Off(u64);

/// What is said of one server's step, before anything came of it. Whoever is without these must
/// see the harm itself: lost, torn or different histories, wrong answers, no answers.
pub const LOCAL: &[Property] = &[
    Property::Acks,
    Property::Epochs,
    Property::Durability,
    Property::Commitment,
    Property::Order,
    Property::Integrity,
    Property::Learning,
    Property::Votes,
    Property::Configuration,
    Property::Rot,
    Property::Bounds,
];

impl Off {
    /// These are switched off.
    pub fn of(properties: &[Property]) -> Off {
        Off(properties.iter().fold(0, |set, property| set | 1 << *property as u64))
    }

    /// Whether one is.
    pub fn has(self, property: Property) -> bool {
        self.0 & 1 << property as u64 != 0
    }

    /// A verdict, unless nobody looks.
    pub fn pardon(self, check: Check) -> Check {
        check
            .or_else(|violation| if self.has(violation.property) { Ok(()) } else { Err(violation) })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Violation, *};

    #[test]
    fn only_what_is_off_is_pardoned() {
        let off = Off::of(LOCAL);
        let broken = |property| Err(Violation::new(property, String::new()));
        for property in Property::ALL {
            assert_eq!(off.pardon(broken(*property)).is_ok(), LOCAL.contains(property));
        }
    }
}
