//! The same bytes through another implementation of the protocol.
//!
//! The `kafka-protocol` crate follows the schemas of an older release: only versions that both know are compared.

use bytes::{Bytes, BytesMut};
use dohle_base::Rng;
use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};

use super::subject::{Subject, subjects};

const SEEDS: u64 = 16;

/// The bytes that the other implementation writes after it has read `bytes`.
fn again(subject: &Subject, bytes: &[u8], version: i16) -> Result<BytesMut, String> {
    let api = ApiKey::try_from(subject.message.key).expect("asked only for what it knows");
    let (mut left, mut out) = (Bytes::copy_from_slice(bytes), BytesMut::new());
    let result = if subject.message.kind == "request" {
        RequestKind::decode(api, &mut left, version).and_then(|body| body.encode(&mut out, version))
    } else {
        ResponseKind::decode(api, &mut left, version).and_then(|body| body.encode(&mut out, version))
    };
    result.map_err(|refusal| refusal.root_cause().to_string())?;
    if left.is_empty() { Ok(out) } else { Err(format!("{} bytes left", left.len())) }
}

#[test]
fn another_implementation_reads_and_writes_the_same_bytes() {
    let mut compared = 0;
    let mut differences = Vec::new();
    for subject in subjects().iter().filter(|subject| ["request", "response"].contains(&subject.message.kind.as_str()))
    {
        let Ok(api) = ApiKey::try_from(subject.message.key) else { continue };
        let known = api.valid_versions();
        for version in subject.versions().filter(|version| (known.min..=known.max).contains(version)) {
            compared += 1;
            for seed in 0..SEEDS {
                let bytes = subject.sample(version, &mut Rng::new(seed)).bytes;
                assert_eq!(subject.again(&bytes, version).as_deref(), Ok(&bytes[..]));
                let theirs = again(subject, &bytes, version);
                // Its table of APIs is ahead of its messages.
                if theirs
                    .as_ref()
                    .is_err_and(|refusal| refusal == "specified version not supported by this message type")
                {
                    compared -= 1;
                    break;
                }
                if theirs.as_deref() != Ok(&bytes[..]) {
                    differences.push(format!("{} {version} seed {seed}: {theirs:?}", subject.message.name));
                    break;
                }
            }
        }
    }
    println!("{compared} versions compared");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(compared > 350, "only {compared} versions were compared");
}
