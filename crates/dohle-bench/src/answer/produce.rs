//! Produce's answer: which partition was refused, and why.

use dohle_protocol::ApiKey;

use super::cursor::{Cursor, Malformed};

const RECORD_ERRORS_SINCE: i16 = 8;
const TOPIC_ID_SINCE: i16 = 13;
const LOG_START_SINCE: i16 = 5;

/// Reads an answer without its length: tells each partition with its error code, and returns the correlation id.
pub fn read(frame: &[u8], version: i16, mut each: impl FnMut(i32, i16)) -> Result<i32, Malformed> {
    let flexible = ApiKey::Produce.is_flexible(version);
    let mut cursor = Cursor::new(frame);
    let correlation = cursor.i32()?;
    cursor.skip_tags(flexible)?;
    for _ in 0..cursor.length(flexible)? {
        if version < TOPIC_ID_SINCE {
            cursor.text(flexible)?;
        } else {
            cursor.take(16)?;
        }
        for _ in 0..cursor.length(flexible)? {
            let (partition, error) = partition(&mut cursor, version, flexible)?;
            each(partition, error);
        }
        cursor.skip_tags(flexible)?;
    }
    Ok(correlation)
}

fn partition(cursor: &mut Cursor, version: i16, flexible: bool) -> Result<(i32, i16), Malformed> {
    let told = (cursor.i32()?, cursor.i16()?);
    // Base offset and time of the append.
    cursor.take(16)?;
    if version >= LOG_START_SINCE {
        cursor.take(8)?;
    }
    if version >= RECORD_ERRORS_SINCE {
        for _ in 0..cursor.length(flexible)? {
            cursor.i32()?;
            cursor.text(flexible)?;
            cursor.skip_tags(flexible)?;
        }
        cursor.text(flexible)?;
    }
    cursor.skip_tags(flexible)?;
    Ok(told)
}

#[cfg(test)]
mod tests {
    use dohle_protocol::header::answer;
    use dohle_protocol::message::ProduceResponse;
    use dohle_protocol::message::produce::{BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse};
    use dohle_protocol::{ApiKey, Message};

    use super::read;

    #[test]
    fn every_version_is_read_as_the_protocol_writes_it() {
        for version in ApiKey::Produce.stable_versions() {
            let partition = |index, error_code| PartitionProduceResponse {
                index,
                error_code,
                error_message: (version >= 8).then(|| "why".into()),
                record_errors: if version >= 8 { vec![BatchIndexAndErrorMessage::default()] } else { vec![] },
                ..PartitionProduceResponse::default()
            };
            let topic = TopicProduceResponse {
                name: "orders".into(),
                partition_responses: vec![partition(3, 0), partition(4, 87)],
                ..TopicProduceResponse::default()
            };
            let body = ProduceResponse { responses: vec![topic.clone(), topic], ..ProduceResponse::default() };
            let mut rope = answer(ApiKey::Produce, version, 77).unwrap();
            body.encode(&mut rope, version).unwrap();
            let frame = rope.seal().unwrap().into_bytes();
            let mut told = vec![];
            assert_eq!(read(&frame[4..], version, |partition, error| told.push((partition, error))), Ok(77));
            assert_eq!(told, [(3, 0), (4, 87), (3, 0), (4, 87)], "version {version}");
        }
    }
}
