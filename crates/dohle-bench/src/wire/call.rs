//! A connection that has been greeted, and questions before the loops begin. Blocks.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use bytes::Bytes;
use dohle_base::ErrorCode;
use dohle_protocol::header::{Head, decode_answer};
use dohle_protocol::message::{ApiVersionsRequest, ApiVersionsResponse};
use dohle_protocol::{ApiKey, Message, Reader, Request};

use crate::failure::Failure;
use crate::request::produce::CLIENT_ID;

/// A broker that does not answer for so long is not waited for.
const WAIT: Duration = Duration::from_secs(30);
/// No answer to a question is larger.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// The versions that a broker serves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Versions(BTreeMap<i16, (i16, i16)>);

impl Versions {
    /// The newest version that both know.
    pub(crate) fn newest(&self, api: ApiKey) -> Option<i16> {
        let (low, high) = *self.0.get(&api.code())?;
        let ours = api.stable_versions();
        let version = high.min(*ours.end());
        (version >= low.max(*ours.start())).then_some(version)
    }

    fn of(answer: &ApiVersionsResponse) -> Self {
        Self(answer.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect())
    }
}

/// A connection to a broker.
#[derive(Debug)]
pub(crate) struct Call {
    socket: TcpStream,
    address: String,
    versions: Versions,
}

impl Call {
    /// Connects, and asks for the versions.
    pub(crate) fn dial(address: &str) -> Result<Self, Failure> {
        let failed = |source| Failure::Dial { address: address.to_owned(), source };
        let socket = connect(address).map_err(failed)?;
        let mut call = Self { socket, address: address.to_owned(), versions: Versions::default() };
        let request = ApiVersionsRequest {
            client_software_name: CLIENT_ID.into(),
            client_software_version: env!("CARGO_PKG_VERSION").into(),
            ..ApiVersionsRequest::default()
        };
        let newest = *ApiKey::ApiVersions.stable_versions().end();
        let mut answer = call.greet(newest, &request)?;
        if ErrorCode::from_code(answer.error_code) == ErrorCode::UnsupportedVersion {
            let version = Versions::of(&answer).newest(ApiKey::ApiVersions).unwrap_or(0);
            answer = call.greet(version, &request)?;
        }
        call.refuse_unless_none(answer.error_code, "ApiVersions")?;
        call.versions = Versions::of(&answer);
        Ok(call)
    }

    /// The newest version that both know; a failure when there is none.
    pub(crate) fn newest(&self, api: ApiKey) -> Result<i16, Failure> {
        self.versions.newest(api).ok_or_else(|| Failure::Unserved { address: self.address.clone(), api })
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask<R: Request>(&mut self, request: &R) -> Result<R::Response, Failure> {
        let version = self.newest(R::KEY)?;
        let frame = self.exchange(version, request)?;
        let mut reader = Reader::new(frame);
        let read = decode_answer(&mut reader, R::KEY, version).and_then(|_| R::Response::decode(&mut reader, version));
        read.map_err(|_| self.unreadable())
    }

    /// A failure unless `code` says that all is well.
    pub(crate) fn refuse_unless_none(&self, code: i16, what: &str) -> Result<(), Failure> {
        match ErrorCode::from_code(code) {
            ErrorCode::None => Ok(()),
            code => Err(Failure::Refused { address: self.address.clone(), what: what.to_owned(), code }),
        }
    }

    /// The socket, for whoever sends over it from now on.
    pub(crate) fn into_socket(self) -> TcpStream {
        self.socket
    }

    /// A refusal of the version is written in version 0, whatever was asked.
    fn greet(&mut self, version: i16, request: &ApiVersionsRequest) -> Result<ApiVersionsResponse, Failure> {
        let frame = self.exchange(version, request)?;
        let refused = frame.get(4..6) == Some(&ErrorCode::UnsupportedVersion.code().to_be_bytes()[..]);
        let mut reader = Reader::new(frame);
        let read = decode_answer(&mut reader, ApiKey::ApiVersions, version)
            .and_then(|_| ApiVersionsResponse::decode(&mut reader, if refused { 0 } else { version }));
        read.map_err(|_| self.unreadable())
    }

    fn exchange<R: Request>(&mut self, version: i16, request: &R) -> Result<Bytes, Failure> {
        let head = Head { api: R::KEY, version, correlation_id: 0, client_id: Some(CLIENT_ID.into()) };
        let frame =
            head.frame(request).map_err(|_| Failure::Unserved { address: self.address.clone(), api: R::KEY })?;
        let answered = self.socket.write_all(&frame.into_bytes()).and_then(|()| read_frame(&mut self.socket));
        answered.map_err(|source| Failure::Lost { address: self.address.clone(), source })
    }

    fn unreadable(&self) -> Failure {
        Failure::Unreadable { address: self.address.clone() }
    }
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, WAIT) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                socket.set_read_timeout(Some(WAIT))?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn read_frame(socket: &mut TcpStream) -> io::Result<Bytes> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).ok().filter(|length| *length <= ANSWER_BYTES_MAX);
    let length = length.ok_or_else(|| io::Error::other("this is no Kafka broker: its answer is no answer"))?;
    let mut frame = vec![0; length];
    socket.read_exact(&mut frame)?;
    Ok(frame.into())
}
