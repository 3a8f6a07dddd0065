//! What a broker leaves behind that could not stop.

use dohle_base::ErrorCode;

use crate::broker::Broker;
use crate::client::batch_of;

#[test]
fn what_was_acknowledged_is_there_after_a_crash() {
    let broker = Broker::new();
    let mut client = broker.client();
    client.created("t");
    for round in 0..50 {
        assert_eq!(client.produce("t", &[&format!("{round}")]).error_code, 0);
    }
    let survivor = broker.survivor();
    let mut client = survivor.client();
    assert_eq!(client.created("t"), broker.client().created("t"));
    let expected: Vec<String> = (0..50).map(|round| round.to_string()).collect();
    assert_eq!(client.values("t", 0), expected);
    assert_eq!(client.produce("t", &["after"]).base_offset, 50);
}

#[test]
fn a_batch_that_was_repeated_over_a_crash_is_written_once() {
    let broker = Broker::new();
    let mut client = broker.client();
    client.created("t");
    assert_eq!(client.produce_bytes("t", batch_of(7, 0, 0, &["a", "b"])).base_offset, 0);
    assert_eq!(client.produce_bytes("t", batch_of(7, 0, 2, &["c"])).base_offset, 2);
    let mut survivor = broker.survivor();
    for _ in 0..2 {
        let mut client = survivor.client();
        client.created("t");
        let again = client.produce_bytes("t", batch_of(7, 0, 2, &["c"]));
        assert_eq!((again.error_code, again.base_offset), (0, 2));
        let gap = client.produce_bytes("t", batch_of(7, 0, 9, &["z"]));
        assert_eq!(gap.error_code, ErrorCode::OutOfOrderSequenceNumber.code());
        assert_eq!(client.values("t", 0), ["a", "b", "c"]);
        survivor.restart();
    }
}
