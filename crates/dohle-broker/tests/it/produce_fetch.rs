use dohle_base::ErrorCode;
use dohle_protocol::message::fetch::FetchRequest;

use crate::broker::Broker;
use crate::client::{Client, fetch, values};

#[test]
fn what_was_produced_is_fetched_and_survives_a_restart() {
    let mut broker = Broker::new();
    let mut client = broker.client();
    assert_eq!(client.topic("t").error_code, ErrorCode::UnknownTopicOrPartition.code());
    client.created("t");
    let first = client.produce("t", &["a", "b"]);
    assert_eq!((first.error_code, first.base_offset), (0, 0));
    assert_eq!(client.produce("t", &["c"]).base_offset, 2);
    assert_eq!(client.values("t", 0), ["a", "b", "c"]);
    broker.restart();
    let mut client = broker.client();
    client.created("t");
    assert_eq!(client.values("t", 2), ["c"]);
    assert_eq!(client.produce("t", &["d"]).base_offset, 3);
    assert_eq!(client.values("t", 2), ["c", "d"]);
}

#[test]
fn a_fetch_waits_for_records_and_gets_them_when_they_come() {
    let broker = Broker::new();
    let mut reader = broker.client();
    reader.created("t");
    reader.send(&fetch("t", 0, 15_000), 12);
    let mut writer = broker.client();
    assert_eq!(writer.produce("t", &["late"]).error_code, 0);
    assert_eq!(values(reader.receive::<FetchRequest>(12)), ["late"]);
    let empty = reader.fetch("t", 1);
    assert_eq!(empty.responses[0].partitions[0].records.as_deref(), Some(&[][..]));
    let beyond = reader.fetch("t", 9);
    assert_eq!(beyond.responses[0].partitions[0].error_code, ErrorCode::OffsetOutOfRange.code());
}

#[test]
fn a_connection_that_speaks_nonsense_is_closed_and_others_do_not_notice() {
    let broker = Broker::new();
    let mut good = broker.client();
    good.created("t");
    let cases: &[&[u8]] = &[
        &(-1_i32).to_be_bytes(),
        &i32::MAX.to_be_bytes(),
        &0_i32.to_be_bytes(),
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16, 3, 1, 2, 0, 1, 0],
        // An API that nobody knows.
        &[0, 0, 0, 10, 0x27, 0x0f, 0, 0, 0, 0, 0, 1, 0xff, 0xff],
        // A version that nobody knows.
        &[0, 0, 0, 10, 0, 3, 0, 99, 0, 0, 0, 1, 0xff, 0xff],
    ];
    for bytes in cases {
        let mut bad = Client::connect(broker.address());
        bad.send_raw(bytes);
        assert!(bad.is_closed(), "{bytes:?}");
        assert_eq!(good.produce("t", &["x"]).error_code, 0);
    }
}
