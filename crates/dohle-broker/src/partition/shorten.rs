//! Records that an operator wants gone (KIP-107).

use dohle_base::{ErrorCode, Offset};

use super::Partition;

impl Partition {
    /// Moves the start of the log up to `offset`, to the high watermark where none is given, and says where it is then. Only the start
    /// moves: what lies before it is deleted with its segments.
    pub(crate) fn delete_records(&self, offset: Option<Offset>) -> Result<Offset, ErrorCode> {
        self.look_mut(|log, leader| {
            let cleanup = &log.options().cleanup;
            if cleanup.compact && !cleanup.delete {
                return Err(ErrorCode::PolicyViolation);
            }
            let high_watermark = leader.high_watermark();
            let upto = offset.unwrap_or(high_watermark);
            if upto < Offset::ZERO || upto > high_watermark {
                return Err(ErrorCode::OffsetOutOfRange);
            }
            log.advance_start(upto).map_err(|_| ErrorCode::OffsetOutOfRange)
        })?
    }
}
