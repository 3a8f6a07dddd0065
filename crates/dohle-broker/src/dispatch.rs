//! From a frame to the API that answers it.
//!
//! Owns the way, not the answers: which APIs there are and in which versions is told by the heads of the files in `api`.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use dohle_base::ErrorCode;
use dohle_protocol::header::{self, Head, HeaderError, Prefix};
use dohle_protocol::{ApiKey, DecodeError, EncodeError, Message, Pieces, Reader, Request, Str};

use crate::api::{self, Served, api_versions};
use crate::context::Context;
use crate::metrics::requests::ApiCells;
use crate::net::answers::{Answer, Asked, Filed, Sealed};
use crate::net::budget::Share;
use crate::net::frame::Frame;
use crate::net::peer::Peer;

/// A request that ends its connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("{0} is not served")]
    NotServed(ApiKey),
    #[error("version {version} of {api} is not served")]
    VersionNotServed { api: ApiKey, version: i16 },
}

/// Who asks, for the API files.
pub(crate) struct Client {
    /// What it calls itself (`client.id`).
    pub(crate) id: Option<Str>,
    /// The other end of the connection.
    pub(crate) peer: Rc<Peer>,
    cells: Arc<ApiCells>,
    /// Memory that the answer takes until it is sent.
    kept: Cell<Option<Share>>,
    holds_up: Rc<Cell<bool>>,
    /// What fills the gaps of the answer, in their order.
    filed: Cell<Vec<Filed>>,
}

impl Client {
    /// Keeps a share of memory until the answer is sent.
    pub(crate) fn keep(&self, share: Share) {
        self.kept.set(Some(share));
    }

    /// Does first what must be done before any later request of the connection starts.
    pub(crate) async fn ahead<T>(&self, part: impl Future<Output = T>) -> T {
        self.holds_up.set(true);
        let done = part.await;
        self.holds_up.set(false);
        done
    }

    /// Fills the gaps of the answer from these logs, in their order.
    pub(crate) fn fill(&self, filed: Vec<Filed>) {
        self.filed.set(filed);
    }

    /// The number of an error for the answer; counts it.
    pub(crate) fn code(&self, error: ErrorCode) -> i16 {
        self.cells.count(error);
        error.code()
    }

    /// Counts an error, or success, that the answer has no field for.
    pub(crate) fn count(&self, error: ErrorCode) {
        self.cells.count(error);
    }
}

/// What a handler returns: most of them simply the response.
pub(crate) enum Reply<R> {
    /// The client is told.
    Send(R),
    /// The client does not want to be told.
    Nothing,
    /// The client does not want to be told, and must learn that something went wrong.
    Close,
}

impl<R> From<R> for Reply<R> {
    fn from(response: R) -> Self {
        Self::Send(response)
    }
}

/// A request whose header is read.
pub(crate) struct Call {
    context: Arc<Context>,
    client: Client,
    head: Head,
    body: Reader,
}

/// Finds out who answers a frame; the answering starts when it is first polled.
pub(crate) fn ask(context: &Arc<Context>, peer: &Rc<Peer>, frame: Frame) -> Result<Asked, Refusal> {
    let (head, body) = match Head::decode(frame.bytes) {
        Ok(decoded) => decoded,
        Err(HeaderError::UnknownVersion { api: ApiKey::ApiVersions, prefix }) => {
            let answer = unknown_versions(context, prefix);
            let (answering, holds_up) = (Box::pin(async { answer }), Rc::default());
            return Ok(Asked { answering, overlaps: false, holds_up, _share: frame.share });
        }
        Err(error) => return Err(error.into()),
    };
    let served = context.apis.find(head.api).ok_or(Refusal::NotServed(head.api))?;
    if !served.api.versions().contains(&head.version) {
        return Err(Refusal::VersionNotServed { api: head.api, version: head.version });
    }
    let holds_up = Rc::default();
    let client = Client {
        id: head.client_id.clone(),
        peer: Rc::clone(peer),
        cells: Arc::clone(&served.cells),
        kept: Cell::default(),
        holds_up: Rc::clone(&holds_up),
        filed: Cell::default(),
    };
    let call = Call { context: Arc::clone(context), client, head, body };
    Ok(Asked { answering: (served.start)(call), overlaps: served.api.overlaps, holds_up, _share: frame.share })
}

/// A client that asks in a version from the future is told in the oldest what there is (KIP-511).
fn unknown_versions(context: &Context, prefix: Prefix) -> Answer {
    let response = api_versions::unsupported(context);
    sealed(&response, ApiKey::ApiVersions, 0, prefix.correlation_id, Filling::default())
}

impl Call {
    /// Reads the request, has it handled, and writes the answer.
    pub(crate) async fn answer<Q, A>(mut self, handle: impl AsyncFn(&Context, &Client, i16, Q) -> A) -> Answer
    where
        Q: Request,
        A: Into<Reply<Q::Response>>,
    {
        let begun = self.context.clock.instant();
        let version = self.head.version;
        let request = match self.read::<Q>() {
            Ok(request) => request,
            Err(error) => return self.malformed(&error),
        };
        let answer = match handle(&self.context, &self.client, version, request).await.into() {
            Reply::Send(response) => {
                let filling = Filling { share: self.client.kept.take(), filed: self.client.filed.take() };
                sealed(&response, self.head.api, version, self.head.correlation_id, filling)
            }
            Reply::Nothing => Answer::Nothing,
            Reply::Close => Answer::Close,
        };
        self.client.cells.took(self.context.clock.instant() - begun);
        answer
    }

    fn read<Q: Request>(&mut self) -> Result<Q, DecodeError> {
        // Bytes behind the request are nobody's: librdkafka sends flags behind Metadata that newer versions do not have, and Kafka
        // lets them pass.
        Q::decode(&mut self.body, self.head.version)
    }

    fn malformed(&self, error: &DecodeError) -> Answer {
        if let Some(left_out) = self.context.notices.malformed.admit(self.context.clock.instant()) {
            let Head { api, version, .. } = self.head;
            tracing::warn!(client = %self.client.peer.address, %api, version, left_out, "malformed request: {error}");
        }
        Answer::Close
    }
}

/// What goes with an answer: the memory that it takes, and what fills its gaps.
#[derive(Default)]
struct Filling {
    share: Option<Share>,
    filed: Vec<Filed>,
}

fn sealed<R: Message>(response: &R, api: ApiKey, version: i16, correlation_id: i32, filling: Filling) -> Answer {
    let written = || -> Result<Vec<Pieces>, EncodeError> {
        let mut rope = header::answer(api, version, correlation_id)?;
        response.encode(&mut rope, version)?;
        rope.seal_with_gaps()
    };
    match written() {
        Ok(held) => Answer::Send(Sealed::new(held, filling.filed, filling.share)),
        Err(error) => {
            tracing::error!(%api, version, "an answer that the version cannot carry: {error}");
            Answer::Close
        }
    }
}

/// What is served, found by its key.
pub(crate) struct Apis {
    by_key: Vec<Option<Entry>>,
}

/// An API, how to start it, and what is counted of it.
pub(crate) struct Entry {
    pub(crate) api: &'static api::Api,
    start: fn(Call) -> crate::net::answers::Answering,
    pub(crate) cells: Arc<ApiCells>,
}

impl Apis {
    /// Everything that the files in `api` serve.
    pub(crate) fn new() -> Self {
        let mut by_key: Vec<Option<Entry>> = vec![];
        for Served { api, start } in api::SERVED {
            let place = api.key.code() as usize;
            by_key.resize_with(by_key.len().max(place + 1), || None);
            by_key[place] = Some(Entry { api, start: *start, cells: Arc::default() });
        }
        Self { by_key }
    }

    /// All of them, in the order of their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.by_key.iter().flatten()
    }

    fn find(&self, key: ApiKey) -> Option<&Entry> {
        self.by_key.get(key.code() as usize)?.as_ref()
    }
}
