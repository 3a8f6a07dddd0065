//! What two sides say first: which versions of which API they know (KIP-35, KIP-511).

use std::collections::BTreeMap;
use std::io;

use bytes::{Bytes, BytesMut};
use dohle_base::ErrorCode;
use dohle_protocol::header::{Head, decode_answer};
use dohle_protocol::message::{ApiVersionsRequest, ApiVersionsResponse};
use dohle_protocol::{ApiKey, Message, Reader, Request, Str};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer to the first question is not larger: whoever claims more does not speak this protocol.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How the client names itself to the broker.
const SOFTWARE: &str = "dohle";

/// The versions that a broker serves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Versions(BTreeMap<i16, (i16, i16)>);

impl Versions {
    /// The highest version that both know and that is not above `version_max`.
    pub(crate) fn pick(&self, api: ApiKey, version_max: i16) -> Option<i16> {
        let (low, high) = *self.0.get(&api.code())?;
        let ours = api.stable_versions();
        let version = high.min(*ours.end()).min(version_max);
        (version >= low && version >= *ours.start()).then_some(version)
    }

    /// The lowest and highest version that the broker serves.
    pub(crate) fn served(&self, api: ApiKey) -> Option<(i16, i16)> {
        self.0.get(&api.code()).copied()
    }

    fn of(answer: &ApiVersionsResponse) -> Self {
        Self(answer.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect())
    }
}

/// Asks for the broker's versions. A broker that does not know the version of the question is asked again in one that it
/// does know.
pub(super) async fn agree(socket: &mut TcpStream, client_id: &Str) -> io::Result<Versions> {
    let answer = ask(socket, client_id, *ApiKey::ApiVersions.stable_versions().end()).await?;
    if ErrorCode::from_code(answer.error_code) != ErrorCode::UnsupportedVersion {
        return checked(&answer);
    }
    let version = Versions::of(&answer).pick(ApiKey::ApiVersions, i16::MAX).unwrap_or(0);
    checked(&ask(socket, client_id, version).await?)
}

fn checked(answer: &ApiVersionsResponse) -> io::Result<Versions> {
    match ErrorCode::from_code(answer.error_code) {
        ErrorCode::None => Ok(Versions::of(answer)),
        refusal => Err(io::Error::other(format!("the broker refuses to tell its versions: {}", refusal.words()))),
    }
}

async fn ask(socket: &mut TcpStream, client_id: &Str, version: i16) -> io::Result<ApiVersionsResponse> {
    let request = ApiVersionsRequest {
        client_software_name: SOFTWARE.into(),
        client_software_version: env!("CARGO_PKG_VERSION").into(),
        ..ApiVersionsRequest::default()
    };
    let head = Head { api: ApiVersionsRequest::KEY, version, correlation_id: 0, client_id: Some(client_id.clone()) };
    let frame = head.frame(&request).map_err(io::Error::other)?;
    socket.write_all(&frame.into_bytes()).await?;
    read(&read_frame(socket).await?, version).map_err(io::Error::other)
}

async fn read_frame(socket: &mut TcpStream) -> io::Result<Bytes> {
    let length = socket.read_i32().await?;
    let length = usize::try_from(length).ok().filter(|length| *length <= ANSWER_BYTES_MAX);
    let length = length.ok_or_else(|| io::Error::other("this is no Kafka broker: its answer is no answer"))?;
    let mut frame = BytesMut::zeroed(length);
    socket.read_exact(&mut frame).await?;
    Ok(frame.freeze())
}

/// A refusal of the version is written in version 0, whatever was asked.
fn read(frame: &Bytes, version: i16) -> Result<ApiVersionsResponse, dohle_protocol::DecodeError> {
    let mut reader = Reader::new(frame.clone());
    decode_answer(&mut reader, ApiKey::ApiVersions, version)?;
    let refused = frame.get(4..6) == Some(&ErrorCode::UnsupportedVersion.code().to_be_bytes()[..]);
    ApiVersionsResponse::decode(&mut reader, if refused { 0 } else { version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_is_picked() {
        let versions = Versions([(ApiKey::Fetch.code(), (4, 99)), (ApiKey::Metadata.code(), (50, 60))].into());
        assert_eq!(versions.pick(ApiKey::Fetch, i16::MAX), Some(*ApiKey::Fetch.stable_versions().end()));
        assert_eq!(versions.pick(ApiKey::Fetch, 12), Some(12));
        assert_eq!(versions.pick(ApiKey::Fetch, 3), None);
        assert_eq!(versions.pick(ApiKey::Metadata, i16::MAX), None);
        assert_eq!(versions.pick(ApiKey::Produce, i16::MAX), None);
    }

    #[test]
    fn a_refused_version_is_read_as_the_oldest_one() {
        let frame = [0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 3];
        let answer = read(&Bytes::copy_from_slice(&frame), 4).unwrap();
        assert_eq!(answer.error_code, 35);
        assert_eq!(Versions::of(&answer).pick(ApiKey::ApiVersions, i16::MAX), Some(3));
    }
}
