//! One round of a session: at once what is there, and if that is too little, what comes until the deadline.
//!
//! Owns the patience. What a round costs grows with what is new, not with what the session holds: it looks at those that may have
//! something to tell, and waits for one word from all others together.

use std::sync::{Arc, Mutex};

use dohle_base::{ErrorCode, Instant, Partition as Index};

use super::look::{Gathered, Looks, Terms};
use super::session::{Session, TopicKey, Wanted};
use crate::catalog::View;
use crate::context::Context;
use crate::lock::hold;
use crate::net::budget::Share;
use crate::partition::{Overtaken, Partition, Refused};

/// A session in the midst of a request.
pub(crate) struct Round<'a> {
    pub(crate) cx: &'a Context,
    pub(crate) session: &'a Mutex<Session>,
    /// The session's epoch during this request.
    pub(crate) number: i32,
    pub(crate) terms: &'a Terms,
}

/// What ended the wait for more.
enum Waited {
    /// A partition has news.
    More,
    /// The deadline came, or the broker stops.
    Long,
}

impl Round<'_> {
    /// Gathers what belongs into the answer. The memory that the records take is counted for as long as `share` lives.
    pub(crate) async fn gather(&self, share: &mut Share) -> Result<Vec<Gathered>, Overtaken> {
        let deadline = self.cx.clock.instant() + self.terms.wait_max;
        let mut looks = self.look().await?;
        while !self.is_enough(&looks) && self.cx.clock.instant() < deadline {
            let settled = hold(self.session).settle(self.number, looks.seen())?;
            let waited = if settled.is_ok() { self.wait(deadline).await? } else { Waited::Long };
            // What was seen is ready still, or owed from now on: it must not be told twice.
            looks = self.look().await?;
            if let Waited::Long = waited {
                break;
            }
        }
        let owed = hold(self.session).owed(self.number, |wanted| self.find(wanted))?;
        looks.look_at_all(self.cx, owed, self.terms).await;
        share.grow(looks.bytes_in_memory()).await;
        let mut gathered = looks.read(self.cx, self.terms).await;
        let mut session = hold(self.session);
        session.check_round(self.number)?;
        gathered.retain(|got| session.must_tell(got.turn, &got.told()));
        Ok(gathered)
    }

    async fn look(&self) -> Result<Looks, Overtaken> {
        let (ready, is_whole) = {
            let mut session = hold(self.session);
            (session.ready(self.number, |wanted| self.find(wanted))?, session.is_whole())
        };
        let mut looks = Looks::default();
        if is_whole {
            looks.look_at_all(self.cx, ready, self.terms).await;
        } else {
            looks.look(self.cx, ready, self.terms).await;
        }
        Ok(looks)
    }

    /// Nobody waits for nothing.
    fn is_enough(&self, looks: &Looks) -> bool {
        looks.are_enough(self.terms) || hold(self.session).len() == 0
    }

    async fn wait(&self, deadline: Instant) -> Result<Waited, Overtaken> {
        let letterbox = Arc::clone(hold(self.session).letterbox());
        let mut stop = self.cx.stop.subscribe();
        tokio::select! {
            word = letterbox.word(self.number) => word.map(|()| Waited::More),
            () = tokio::time::sleep_until(self.cx.clock.timer(deadline)) => Ok(Waited::Long),
            _ = stop.wait_for(|stopping| *stopping) => Ok(Waited::Long),
        }
    }

    fn find(&self, wanted: &Wanted) -> Result<Arc<Partition>, Refused> {
        find(&self.cx.catalog.view(), wanted)
    }
}

fn find(view: &View, wanted: &Wanted) -> Result<Arc<Partition>, Refused> {
    let (topic, unknown) = match &wanted.topic {
        TopicKey::Name(name) => (view.topic(name), ErrorCode::UnknownTopicOrPartition),
        TopicKey::Id(id) => (view.image.topics.get(*id), ErrorCode::UnknownTopicId),
    };
    let topic = topic.ok_or(unknown)?;
    let index = Index(wanted.partition);
    let assignment = topic.partition(index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    Ok(Arc::clone(view.find(topic.id, index, assignment)?))
}
