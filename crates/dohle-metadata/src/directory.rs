//! The ids of log directories (KIP-858), and those of them that name a state instead of a directory.

use dohle_base::Uuid;

/// Nobody has said yet where the replica lies: it was placed before directories had ids.
pub const MIGRATING: Uuid = Uuid::ZERO;

/// The broker has several directories and has not chosen one yet.
pub const UNASSIGNED: Uuid = reserved(1);

/// The replica lies in a directory that is not online.
pub const LOST: Uuid = reserved(2);

/// Ids below this, read as a number, are kept for such meanings.
const RESERVED_END: u128 = 100;

/// Whether no directory may bear this id.
pub fn is_reserved(id: Uuid) -> bool {
    u128::from_be_bytes(id.0) < RESERVED_END
}

/// Whether a replica in `directory` is served by a broker whose working directories are `online`. A broker that tells
/// of no directory at all is believed.
pub fn is_online(directory: Uuid, online: &[Uuid]) -> bool {
    match directory {
        LOST => false,
        MIGRATING | UNASSIGNED => true,
        named => online.is_empty() || online.contains(&named),
    }
}

const fn reserved(number: u8) -> Uuid {
    Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number])
}
