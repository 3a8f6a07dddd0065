//! The way to the controller, and how its decisions are told.

use std::time::Duration;

use dohle_base::ErrorCode;
use dohle_metadata::Refusal;
use dohle_metadata::controller::{Command, Reply};
use dohle_protocol::Str;

use crate::context::Context;
use crate::dispatch::Client;
use crate::ledgers::host::Unanswered;
use crate::quorum::unanswered_code;

/// Asks the controller and waits until this broker has seen what it decided.
pub(super) async fn ask(cx: &Context, command: Command) -> Result<Reply, Refusal> {
    cx.quorum.ask(command).await.map_err(refusal)
}

/// The same, for as long as the client says that it waits. A decision that comes later holds.
pub(super) async fn ask_within(cx: &Context, timeout_ms: i32, command: Command) -> Result<Reply, Refusal> {
    let patience = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
    cx.quorum.ask_within(patience, command).await.map_err(refusal)
}

fn refusal(unanswered: Unanswered) -> Refusal {
    let message = match unanswered {
        Unanswered::Loading | Unanswered::Lost => "the controller does not lead its log: try again",
        Unanswered::TooLarge => "the request changes too much at once: make it smaller",
        Unanswered::TimedOut => "not decided in time: it may still be",
        Unanswered::NoRoom => "the disk of the metadata is full: make room and try again",
    };
    Refusal::new(unanswered_code(unanswered), message)
}

/// What became of one thing that a request asked for.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) code: i16,
    /// For people; none where all went well.
    pub(super) message: Option<Str>,
}

impl Verdict {
    /// What was decided, counted.
    pub(super) fn of(client: &Client, refused: Option<&Refusal>) -> Self {
        match refused {
            None => Self { code: client.code(ErrorCode::None), message: None },
            Some(refusal) => Self { code: client.code(refusal.code), message: Some(refusal.message.as_str().into()) },
        }
    }
}

/// Asks for the alteration of resources, of which `check` refuses some before the controller sees them; what became of each, in
/// their order.
pub(super) async fn alter<'a, R>(
    resources: &'a [R],
    check: impl Fn(&R) -> Result<(), Refusal>,
    ask: impl AsyncFnOnce(Vec<&'a R>) -> Result<Vec<Option<Refusal>>, Refusal>,
) -> Vec<Option<Refusal>> {
    let mut refused: Vec<Option<Refusal>> = resources.iter().map(|resource| check(resource).err()).collect();
    let open = || resources.iter().zip(&refused).filter(|(_, refused)| refused.is_none());
    let asked: Vec<&R> = open().map(|(resource, _)| resource).collect();
    if asked.is_empty() {
        return refused;
    }
    let count = asked.len();
    let answers = ask(asked).await.unwrap_or_else(|refusal| vec![Some(refusal); count]);
    let open = refused.iter_mut().filter(|refused| refused.is_none());
    open.zip(answers).for_each(|(open, answer)| *open = answer);
    refused
}
