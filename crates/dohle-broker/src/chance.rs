//! Chance: numbers that nobody can foresee, for those who need a few of them. Machines are handed what they need.

use std::hash::{BuildHasher, Hasher, RandomState};

use dohle_base::Uuid;

/// A number. Each comes from a keyed hash whose key the system chose and which changes with every call.
pub(crate) fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// An id that nobody has had. Unlike the id of a topic it may be any.
pub(crate) fn uuid() -> Uuid {
    let bits = u128::from(number()) << 64 | u128::from(number());
    Uuid(bits.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_does_not_repeat_itself() {
        assert_ne!(number(), number());
        assert_ne!(uuid(), uuid());
    }
}
