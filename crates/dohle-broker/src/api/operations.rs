//! What a client may do with a resource, as the bits that KIP-430 answers with. Without rules of access everybody may do everything.

/// All that can be done with a topic: read, write, create, delete, alter, describe, describe and alter its configuration.
pub(super) const TOPIC: i32 = bits(&[3, 4, 5, 6, 7, 8, 10, 11]);
/// All that can be done with a group: read, delete, describe, describe and alter its configuration.
pub(super) const GROUP: i32 = bits(&[3, 6, 8, 10, 11]);
/// All that can be done with the cluster: create, alter, describe, act as a broker, describe and alter its configuration, write
/// idempotently.
pub(super) const CLUSTER: i32 = bits(&[5, 7, 8, 9, 10, 11, 12]);
/// Nobody asked.
pub(super) const UNASKED: i32 = i32::MIN;

/// The numbers are those of `AclOperation`.
const fn bits(operations: &[u8]) -> i32 {
    let (mut bits, mut place) = (0, 0);
    while place < operations.len() {
        bits |= 1 << operations[place];
        place += 1;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_are_kafkas() {
        assert_eq!((TOPIC, GROUP, CLUSTER), (3576, 3400, 8096));
    }
}
