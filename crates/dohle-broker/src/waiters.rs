//! Who stands behind a token: machines know tokens, tasks know futures, and this room connects them.
//!
//! Laws: a token is given once; whoever stops waiting takes its token with it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use dohle_base::Token;
use tokio::sync::oneshot;

use crate::lock::hold;

/// Tokens are dealt over this many maps so that cores seldom meet at one.
const SHARDS: usize = 16;

/// Callers who wait for an answer of type `A`.
pub(crate) struct Waiters<A> {
    next: AtomicU64,
    shards: [Mutex<HashMap<Token, oneshot::Sender<A>>>; SHARDS],
}

/// A caller's end: resolves to the answer, or to none if nobody will ever give one. Dropping it withdraws the token.
pub(crate) struct Waiter<A> {
    token: Token,
    answer: oneshot::Receiver<A>,
    home: Arc<Waiters<A>>,
}

impl<A> Waiters<A> {
    /// Nobody waits.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { next: AtomicU64::new(1), shards: std::array::from_fn(|_| Mutex::default()) })
    }

    /// Gives a token to a new caller.
    pub(crate) fn admit(self: &Arc<Self>) -> Waiter<A> {
        let token = Token(self.next.fetch_add(1, Ordering::Relaxed));
        let (sender, answer) = oneshot::channel();
        hold(self.shard(token)).insert(token, sender);
        Waiter { token, answer, home: Arc::clone(self) }
    }

    /// Answers the caller behind `token`, if it still waits.
    pub(crate) fn tell(&self, token: Token, answer: A) {
        let sender = hold(self.shard(token)).remove(&token);
        // A caller may have left between the removal and the answer; then nobody misses it.
        let _ = sender.map(|sender| sender.send(answer));
    }

    fn shard(&self, token: Token) -> &Mutex<HashMap<Token, oneshot::Sender<A>>> {
        &self.shards[token.0 as usize % SHARDS]
    }
}

impl<A> Waiter<A> {
    /// What a machine knows this caller by.
    pub(crate) fn token(&self) -> Token {
        self.token
    }
}

impl<A> Future for Waiter<A> {
    type Output = Option<A>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<A>> {
        Pin::new(&mut self.answer).poll(context).map(Result::ok)
    }
}

impl<A> Drop for Waiter<A> {
    fn drop(&mut self) {
        hold(self.home.shard(self.token)).remove(&self.token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn an_answer_reaches_the_caller_and_nobody_else() {
        let waiters = Waiters::new();
        let (first, second) = (waiters.admit(), waiters.admit());
        waiters.tell(second.token(), "second");
        waiters.tell(second.token(), "again");
        assert_eq!(second.await, Some("second"));
        waiters.tell(first.token(), "first");
        assert_eq!(first.await, Some("first"));
    }

    #[test]
    fn a_caller_that_leaves_takes_its_token_along() {
        let waiters = Waiters::<()>::new();
        drop(waiters.admit());
        assert!(waiters.shards.iter().all(|shard| hold(shard).is_empty()));
    }
}
