//! Bytes that real clients and brokers sent.
//!
//! One file a client under `tests/golden`, one line a request: `<API> <version> request|response <hex>`, where the hex is the
//! frame without its length. A line that begins with `#` says where the bytes come from.

use std::path::Path;

use bytes::Bytes;
use dohle_protocol::header::{self, Head};
use dohle_protocol::message::{AnyRequest, AnyResponse, ApiKey};
use dohle_protocol::{Reader, Rope};

/// One frame.
struct Golden {
    place: String,
    api: ApiKey,
    version: i16,
    is_request: bool,
    frame: Bytes,
}

fn read() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut frames = Vec::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "hex") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#') && !line.is_empty());
        frames.extend(lines.map(|(index, line)| parse(&format!("{}:{}", path.display(), index + 1), line)));
    }
    frames
}

fn parse(place: &str, line: &str) -> Golden {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [api, version, role, hex] = words[..] else { panic!("{place}: `<API> <version> request|response <hex>`") };
    let api = ApiKey::ALL.into_iter().find(|key| key.name() == api).unwrap_or_else(|| panic!("{place}: no API {api}"));
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap_or_else(|_| panic!("{place}: bad hex"));
    Golden {
        place: place.to_owned(),
        api,
        version: version.parse().unwrap_or_else(|_| panic!("{place}: bad version")),
        is_request: role == "request",
        frame: (0..hex.len()).step_by(2).map(byte).collect(),
    }
}

/// The body that we write after we have read a frame, and the body that the frame holds, as far as it was read.
fn again(golden: &Golden) -> Result<(Bytes, Bytes), Box<dyn std::error::Error>> {
    let mut rope = Rope::new();
    let mut reader = Reader::new(golden.frame.clone());
    let start = if golden.is_request {
        let (head, body) = Head::decode(golden.frame.clone())?;
        assert_eq!((head.api, head.version), (golden.api, golden.version), "{}", golden.place);
        reader = body;
        let start = reader.position();
        AnyRequest::decode(&mut reader, golden.api, golden.version)?.encode(&mut rope, golden.version)?;
        start
    } else {
        header::decode_answer(&mut reader, golden.api, golden.version)?;
        let start = reader.position();
        AnyResponse::decode(&mut reader, golden.api, golden.version)?.encode(&mut rope, golden.version)?;
        start
    };
    // A broker lets bytes behind a request pass, as Kafka does: librdkafka may send flags behind Metadata. A client does not.
    let end = reader.position();
    if !golden.is_request {
        reader.finish()?;
    }
    Ok((rope.into_bytes(), golden.frame.slice(start..end)))
}

#[test]
fn what_others_sent_is_read_and_written_the_same() {
    for golden in read() {
        let (ours, theirs) = again(&golden).unwrap_or_else(|refusal| panic!("{}: {refusal}", golden.place));
        assert_eq!(ours, theirs, "{}", golden.place);
    }
}
