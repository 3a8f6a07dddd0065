//! Which partition of `__consumer_offsets` a group belongs to, and which of `__transaction_state` a transactional id.

use dohle_base::Partition;

/// The partition of a group or a transactional id when there are `partitions`: Java's hash of the name, without its sign,
/// modulo the number.
///
/// `partitions` must be positive, and must never change once anything was coordinated.
pub fn partition_of(name: &str, partitions: i32) -> Partition {
    assert!(partitions > 0);
    // `Utils.abs` of Kafka: the one number without a positive twin counts as zero.
    let hash = java_hash(name).checked_abs().unwrap_or(0);
    Partition(hash % partitions)
}

/// `String.hashCode` of Java, which counts in UTF-16.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hashed_as_java_hashes_them() {
        let cases = [
            ("", 0),
            ("a", 97),
            ("my-group", -1_906_497_762),
            ("polygenelubricants", i32::MIN),
            ("Ünïcödé", 1_055_431_381),
            ("🐦", 1_772_425),
        ];
        for (text, hash) in cases {
            assert_eq!(java_hash(text), hash, "{text}");
        }
    }

    #[test]
    fn every_group_has_a_partition() {
        assert_eq!(partition_of("", 50), Partition(0));
        assert_eq!(partition_of("polygenelubricants", 50), Partition(0));
        assert_eq!(partition_of("my-group", 50), Partition(12));
    }
}
