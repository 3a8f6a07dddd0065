//! OffsetCommit and TxnOffsetCommit: where a group says it stands, once the group has let the caller speak for it.

use std::sync::Arc;

use dohle_base::{ErrorCode, LeaderEpoch};

use super::OffsetKey;
use crate::turn::Turn;
use crate::{CommitOffsets, OffsetToCommit, OffsetValue, Producer, Record};

/// Writes the places and says of each whether it was taken. All or none are written; what does not fit into one batch is
/// refused with [`ErrorCode::UnknownServerError`], as Kafka refuses it.
///
/// With a `producer`, the places count once its transaction is committed.
pub(crate) fn commit(
    turn: &mut Turn<'_>,
    request: &CommitOffsets,
    producer: Option<Producer>,
) -> Result<Vec<ErrorCode>, ErrorCode> {
    let mut codes = Vec::with_capacity(request.offsets.len());
    let mut records = Vec::with_capacity(request.offsets.len());
    for place in &request.offsets {
        if is_too_long(place.metadata.as_deref(), turn.settings.offset_metadata_max) {
            codes.push(ErrorCode::OffsetMetadataTooLarge);
        } else {
            codes.push(ErrorCode::None);
            records.push(record(turn, request, producer, place));
        }
    }
    if !turn.has_room_for(records.iter().map(Record::weight).sum()) {
        return Err(ErrorCode::UnknownServerError);
    }
    records.into_iter().for_each(|record| turn.write(record));
    Ok(codes)
}

/// Kafka counts the words of a client in UTF-16, whatever the key's name says about bytes.
fn is_too_long(metadata: Option<&str>, most: usize) -> bool {
    metadata.is_some_and(|words| words.len() > most && words.encode_utf16().count() > most)
}

fn record(turn: &Turn<'_>, request: &CommitOffsets, producer: Option<Producer>, place: &OffsetToCommit) -> Record {
    let now = turn.now.wall;
    Record::Offset {
        key: OffsetKey { group: request.group.clone(), topic: place.topic.clone(), partition: place.partition },
        value: Some(OffsetValue {
            offset: place.offset,
            leader_epoch: place.leader_epoch.max(LeaderEpoch::NONE),
            metadata: place.metadata.as_ref().filter(|words| !words.is_empty()).map(Arc::clone),
            committed_at: now,
            expires_at: request.retention.map(|retention| now.saturating_add(retention)),
            topic_id: place.topic_id,
        }),
        producer,
    }
}
