//! The header before a request and before its answer.
//!
//! The first eight bytes of a request have not changed since Kafka 0.8: key, version, correlation id. They say which
//! version the rest of the header has. Whether an API is served, and what an unknown one is answered, is the broker's
//! affair.

use bytes::Bytes;

use crate::api::{Message, Request};
use crate::message::{ApiKey, RequestHeader, ResponseHeader};
use crate::primitive::{DecodeError, EncodeError, Pieces, Reader, Rope, Str};

/// What can be read of any request, also of one that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// The number of the API.
    pub api_key: i16,
    /// The version of the API.
    pub api_version: i16,
    /// Repeated in the answer.
    pub correlation_id: i32,
}

/// Why a request has no header that we know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// An API that does not exist.
    #[error("no API {}", .0.api_key)]
    UnknownApi(Prefix),
    /// A version that the API does not have. `ApiVersions` must be answered nevertheless (KIP-511).
    #[error("no version {} of {api}", prefix.api_version)]
    UnknownVersion {
        /// The API.
        api: ApiKey,
        /// What was asked.
        prefix: Prefix,
    },
    /// The bytes are no header.
    #[error("request header: {0}")]
    Malformed(#[from] DecodeError),
}

/// A request header, and the API that it names.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// The API.
    pub api: ApiKey,
    /// One of its versions, perhaps an unstable one.
    pub version: i16,
    /// Repeated in the answer.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<Str>,
}

impl Prefix {
    /// Reads the first eight bytes of a request, which are also the whole of header version 0.
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let prefix = Self { api_key: reader.i16(), api_version: reader.i16(), correlation_id: reader.i32() };
        reader.check()?;
        Ok(prefix)
    }
}

impl Head {
    /// Reads the header of the request in `frame`; the reader that is returned stands at the body.
    pub fn decode(frame: Bytes) -> Result<(Self, Reader), HeaderError> {
        let prefix = Prefix::decode(&mut Reader::new(frame.clone()))?;
        let api = ApiKey::from_code(prefix.api_key).ok_or(HeaderError::UnknownApi(prefix))?;
        let version = prefix.api_version;
        if !api.versions().contains(&version) {
            return Err(HeaderError::UnknownVersion { api, prefix });
        }
        let mut reader = Reader::new(frame);
        let header = RequestHeader::decode(&mut reader, api.request_header_version(version))?;
        let head = Self { api, version, correlation_id: header.correlation_id, client_id: header.client_id };
        Ok((head, reader))
    }

    /// The frame of a request: length, header, body.
    pub fn frame<R: Request>(&self, body: &R) -> Result<Pieces, EncodeError> {
        assert_eq!(self.api, R::KEY, "a header for another API");
        let mut rope = Rope::frame();
        let header = RequestHeader {
            request_api_key: self.api.code(),
            request_api_version: self.version,
            correlation_id: self.correlation_id,
            client_id: self.client_id.clone(),
            ..RequestHeader::default()
        };
        header.encode(&mut rope, self.api.request_header_version(self.version))?;
        body.encode(&mut rope, self.version)?;
        rope.seal()
    }
}

/// A rope that holds the header of an answer and waits for its body; end it with [`Rope::seal`].
pub fn answer(api: ApiKey, version: i16, correlation_id: i32) -> Result<Rope, EncodeError> {
    let mut rope = Rope::frame();
    let header = ResponseHeader { correlation_id, ..ResponseHeader::default() };
    header.encode(&mut rope, api.response_header_version(version))?;
    Ok(rope)
}

/// Reads the header of an answer from the reader's position.
pub fn decode_answer(reader: &mut Reader, api: ApiKey, version: i16) -> Result<ResponseHeader, DecodeError> {
    ResponseHeader::decode(reader, api.response_header_version(version))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Head, HeaderError, Prefix, answer, decode_answer};
    use crate::api::Message;
    use crate::message::{ApiKey, ApiVersionsRequest};
    use crate::primitive::{Reader, Str};

    fn head(api: ApiKey, version: i16) -> Head {
        Head { api, version, correlation_id: 7, client_id: Some(Str::from_static("me")) }
    }

    #[test]
    fn a_request_is_read_as_it_was_written() {
        for version in ApiVersionsRequest::VERSIONS {
            let body = ApiVersionsRequest::default();
            let frame = head(ApiKey::ApiVersions, version).frame(&body).unwrap().into_bytes();
            let (read, mut reader) = Head::decode(frame.slice(4..)).unwrap();
            assert_eq!(read, head(ApiKey::ApiVersions, version));
            assert_eq!(ApiVersionsRequest::decode(&mut reader, version).unwrap(), body);
            reader.finish().unwrap();
        }
    }

    #[test]
    fn an_unknown_api_still_has_a_prefix() {
        let frame = Bytes::from_static(&[0, 4, 0, 1, 0, 0, 0, 9]);
        let prefix = Prefix { api_key: 4, api_version: 1, correlation_id: 9 };
        assert_eq!(Head::decode(frame).unwrap_err(), HeaderError::UnknownApi(prefix));
    }

    #[test]
    fn an_unknown_version_names_its_api() {
        let frame = Bytes::from_static(&[0, 18, 0, 99, 0, 0, 0, 9]);
        let prefix = Prefix { api_key: 18, api_version: 99, correlation_id: 9 };
        let error = Head::decode(frame).unwrap_err();
        assert_eq!(error, HeaderError::UnknownVersion { api: ApiKey::ApiVersions, prefix });
    }

    #[test]
    fn an_answer_begins_with_its_correlation_id() {
        let rope = answer(ApiKey::Fetch, 12, 3).unwrap();
        let frame = rope.seal().unwrap().into_bytes();
        assert_eq!(frame[..], [0, 0, 0, 5, 0, 0, 0, 3, 0]);
        let mut reader = Reader::new(frame.slice(4..));
        assert_eq!(decode_answer(&mut reader, ApiKey::Fetch, 12).unwrap().correlation_id, 3);
    }
}
