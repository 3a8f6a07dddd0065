//! The consumer: reads partitions that it was given or that its group gives it, and keeps its offsets.
//!
//! A shell around `core::positions` and `core::membership`. Everything that changes what is read happens within
//! [`Consumer::poll`], in the caller's task: partitions are let go of only there, after what was handed over before counts
//! as processed. Heartbeats go on beside it.

mod fetch;
mod group;
mod kept;
pub(crate) mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dohle_base::{BrokerId, ErrorCode, Instant, Offset, TopicName};
use tokio::task::JoinSet;

pub use kept::UnreadableError;

use crate::config::ConsumerConfig;
use crate::core::TopicPartition;
use crate::core::membership::{Event, Failure, Settings};
use crate::core::positions::{Committed, Needs, Positions, Reset};
use crate::core::retry::{Verdict, judge};
use crate::list_offsets::{self, Found, OffsetSpec};
use crate::offsets::{self, Committer};
use crate::record::Consumed;
use crate::transport::{AskError, Clock, Cluster};
use fetch::{Answer, Asked, Given};
use group::{Group, Order};
use kept::{Kept, Shelf};

/// Why nothing can be read, or no more.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// The cluster did not answer, or refused.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// A partition refused.
    #[error("{place}: {} ({code})", .code.words())]
    Partition {
        /// Which.
        place: TopicPartition,
        /// Why.
        code: ErrorCode,
    },
    /// Records that came cannot be read.
    #[error("{0}; seek behind it to go on")]
    Unreadable(#[from] UnreadableError),
    /// No rule says where to begin.
    #[error(
        "{place}: there is no committed offset, or it is out of range, and auto.offset.reset is none; seek, or set it to earliest or latest"
    )]
    NoOffset {
        /// Which.
        place: TopicPartition,
    },
    /// The group will not have this member.
    #[error("group {group}: {} ({code})", .code.words())]
    Group {
        /// The group.
        group: String,
        /// Why.
        code: ErrorCode,
    },
    /// A group is needed and none is configured.
    #[error("group.id is not set: set it to subscribe to topics or to commit offsets")]
    NoGroup,
    /// Offsets were committed too late: the partitions are another member's by now.
    #[error(
        "group {group}: the partitions went to another member before their offsets were committed ({code}); poll more often, or raise max.poll.interval.ms"
    )]
    TooLate {
        /// The group.
        group: String,
        /// What the coordinator said.
        code: ErrorCode,
    },
}

/// Reads records. One caller at a time; dropping it leaves the group silently, [`Consumer::close`] does not.
pub struct Consumer {
    config: Arc<ConsumerConfig>,
    cluster: Arc<Cluster>,
    positions: Positions,
    group: Option<Group>,
    /// Whether a group gives the partitions.
    subscribed: bool,
    tasks: JoinSet<End>,
    shelf: Shelf,
    /// Leaders that are being asked.
    asking: BTreeSet<BrokerId>,
    failures: u32,
    refreshing: bool,
    refresh_rests_until: Instant,
    commit_at: Instant,
    committing: bool,
    /// An error that was found while there were still records to hand over.
    owed: Option<ConsumeError>,
}

/// What a task ended with.
enum End {
    Refreshed(Result<(), AskError>),
    Committed(BTreeMap<TopicPartition, Committed>, Result<(), ConsumeError>),
    Looked(Vec<TopicPartition>, Result<BTreeMap<TopicPartition, Committed>, AskError>),
    Found(BTreeMap<TopicPartition, (OffsetSpec, Result<Found, AskError>)>),
    Fetched(BrokerId, Vec<Asked>, Result<Vec<Given>, AskError>),
}

impl Consumer {
    /// A consumer, which connects when it is told what to read. Runs within a tokio runtime.
    pub fn new(config: ConsumerConfig) -> Self {
        let cluster = Cluster::new(config.common.clone(), config.create_topics);
        let commit_at = cluster.now() + config.auto_commit.unwrap_or_default();
        Self {
            positions: Positions::new(config.reset),
            config: Arc::new(config),
            cluster,
            group: None,
            subscribed: false,
            tasks: JoinSet::new(),
            shelf: Shelf::default(),
            asking: BTreeSet::new(),
            failures: 0,
            refreshing: false,
            refresh_rests_until: Instant::ZERO,
            commit_at,
            committing: false,
            owed: None,
        }
    }

    /// Joins the group for these topics; it gives the partitions. Replaces what was subscribed to before.
    pub fn subscribe(&mut self, topics: impl IntoIterator<Item = TopicName>) -> Result<(), ConsumeError> {
        let group = self.config.group.clone().ok_or(ConsumeError::NoGroup)?;
        let topics: BTreeSet<TopicName> = topics.into_iter().collect();
        self.follow(&topics);
        self.subscribed = true;
        match &self.group {
            Some(group) => group.step(Event::Subscribed(topics)),
            None => {
                let settings = Settings {
                    group,
                    instance: self.config.instance.clone(),
                    session_timeout: self.config.session_timeout,
                    poll_interval_max: self.config.poll_interval_max,
                    heartbeat_interval: self.config.heartbeat_interval,
                    assignors: self.config.assignors.clone(),
                    backoff: self.config.common.retry,
                };
                self.group = Some(Group::join(self.cluster.clone(), settings, topics));
            }
        }
        Ok(())
    }

    /// Reads these partitions and no others, without a group's say. With a `group.id`, reading begins at the group's
    /// offsets and can be committed.
    pub fn assign(&mut self, partitions: impl IntoIterator<Item = TopicPartition>) {
        let partitions: BTreeSet<TopicPartition> = partitions.into_iter().collect();
        self.follow(&partitions.iter().map(|place| place.topic.clone()).collect());
        let gone = self.positions.partitions().filter(|place| !partitions.contains(place)).cloned().collect();
        self.remove(&gone);
        self.positions.add(partitions, self.config.group.is_some());
    }

    fn follow(&self, topics: &BTreeSet<TopicName>) {
        let mut routing = self.cluster.routing();
        for topic in topics {
            if !routing.want(topic) {
                tracing::error!(%topic, "too many topics are followed; this one is not read");
            }
        }
    }

    /// What is read now.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.positions.partitions().cloned().collect()
    }

    /// The member's id in its group; empty before the coordinator gave one.
    pub fn member(&self) -> String {
        self.group.as_ref().map(Group::member).unwrap_or_default()
    }

    /// Goes on from `offset`. False when the partition is not read.
    pub fn seek(&mut self, place: &TopicPartition, offset: Offset) -> bool {
        self.positions.seek(place, offset)
    }

    /// Goes on from where the rule says. False when the partition is not read.
    pub fn seek_by(&mut self, place: &TopicPartition, rule: Reset) -> bool {
        self.positions.seek_by(place, rule)
    }

    /// Asks for no more records of a partition, or asks again. False when the partition is not read.
    pub fn pause(&mut self, place: &TopicPartition, paused: bool) -> bool {
        self.positions.pause(place, paused)
    }

    /// The offset of the caller's next record, once it is known.
    pub fn position(&self, place: &TopicPartition) -> Option<Offset> {
        self.positions.position(place)
    }

    /// The partition's end as its leader told last, exclusive.
    pub fn end(&self, place: &TopicPartition) -> Option<Offset> {
        self.positions.end(place)
    }

    /// Records, as soon as there are some, or none after `wait`. Asking for more says that the earlier ones are processed:
    /// with `enable.auto.commit` their offsets are committed from time to time. May be dropped while it waits.
    pub async fn poll(&mut self, wait: Duration) -> Result<Vec<Consumed>, ConsumeError> {
        let deadline = self.cluster.now() + wait;
        let mut learnt = self.cluster.learnt();
        if let Some(group) = &self.group {
            group.step(Event::Polled);
        }
        loop {
            self.obey().await?;
            self.commit_if_due();
            let records = self.hand_over();
            self.ask_for_needs()?;
            if !records.is_empty() {
                return Ok(records);
            }
            if let Some(error) = self.owed.take() {
                return Err(error);
            }
            let now = self.cluster.now();
            if now >= deadline {
                return Ok(vec![]);
            }
            let timer = self.cluster.clock.timer(self.wake_at(now).min(deadline));
            tokio::select! {
                Some(Ok(end)) = self.tasks.join_next() => self.take(end)?,
                () = notice(&self.group) => {}
                Ok(()) = learnt.changed() => {}
                () = tokio::time::sleep_until(timer) => {}
            }
        }
    }

    /// Keeps the offsets of everything that was handed over.
    pub async fn commit(&mut self) -> Result<(), ConsumeError> {
        let offsets = self.positions.uncommitted();
        self.commit_offsets(offsets).await
    }

    /// Keeps these offsets: of each partition that of the next record to read.
    pub async fn commit_offsets(&mut self, offsets: BTreeMap<TopicPartition, Committed>) -> Result<(), ConsumeError> {
        let committer = self.committer().ok_or(ConsumeError::NoGroup)?;
        if offsets.is_empty() {
            return Ok(());
        }
        let committed = commit(&self.cluster, &committer, &offsets).await;
        self.committed(offsets, &committed);
        committed
    }

    /// The offsets that the group keeps for these partitions; what has none is not among the answers.
    pub async fn committed_offsets(
        &self,
        places: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Committed>, ConsumeError> {
        let group = self.config.group.clone().ok_or(ConsumeError::NoGroup)?;
        Ok(self.cluster.persist(|| offsets::committed(&self.cluster, &group, Some(places))).await?)
    }

    /// Commits if that is automatic, and leaves the group.
    pub async fn close(mut self) -> Result<(), ConsumeError> {
        let committed = match self.config.auto_commit {
            Some(_) if self.committer().is_some() => self.commit().await,
            Some(_) | None => Ok(()),
        };
        if let Some(group) = self.group.take() {
            group.leave().await;
        }
        committed
    }

    fn committer(&self) -> Option<Committer> {
        let group = self.config.group.clone()?;
        let member = self.group.as_ref().map(Group::identity);
        match member {
            // A member outside a generation has nothing to commit.
            Some(None) => None,
            Some(member) => Some(Committer { group, instance: self.config.instance.clone(), member }),
            None => Some(Committer { group, ..Committer::default() }),
        }
    }

    /// Does what the group ordered. An order stays until it is done, so this may be dropped while it waits.
    async fn obey(&mut self) -> Result<(), ConsumeError> {
        while let Some(order) = self.group.as_ref().and_then(Group::order) {
            match order {
                Order::Release { partitions, lost } => {
                    if !lost
                        && self.config.auto_commit.is_some()
                        && let Err(error) = self.commit().await
                    {
                        tracing::warn!(%error, "letting go of partitions whose offsets could not be committed");
                    }
                    self.remove(&partitions);
                    self.obeyed(if lost { None } else { Some(Event::Released) });
                }
                Order::Assign { partitions } => {
                    self.positions.add(partitions, true);
                    self.obeyed(None);
                }
                Order::Fail(code) => {
                    self.obeyed(None);
                    let group = self.config.group.clone().unwrap_or_default();
                    return Err(ConsumeError::Group { group, code });
                }
            }
        }
        Ok(())
    }

    fn obeyed(&self, event: Option<Event>) {
        if let Some(group) = &self.group {
            group.obeyed();
            event.into_iter().for_each(|event| group.step(event));
        }
    }

    fn remove(&mut self, partitions: &BTreeSet<TopicPartition>) {
        self.positions.remove(partitions);
        let positions = &self.positions;
        self.shelf.keep_only(|place| positions.contains(place));
    }

    fn commit_if_due(&mut self) {
        let Some(interval) = self.config.auto_commit else { return };
        let now = self.cluster.now();
        if self.committing || self.commit_at > now {
            return;
        }
        self.commit_at = now + interval;
        let offsets = self.positions.uncommitted();
        let Some(committer) = self.committer().filter(|_| !offsets.is_empty()) else { return };
        self.committing = true;
        let cluster = self.cluster.clone();
        self.tasks.spawn(async move {
            let committed = commit(&cluster, &committer, &offsets).await;
            End::Committed(offsets, committed)
        });
    }

    fn committed(&mut self, offsets: BTreeMap<TopicPartition, Committed>, committed: &Result<(), ConsumeError>) {
        match committed {
            Ok(()) => {
                for (place, offset) in offsets {
                    self.positions.committed(&place, offset);
                }
            }
            Err(ConsumeError::TooLate { code, .. }) => {
                if let Some(group) = &self.group {
                    group.step(Event::Beaten(Err(Failure::Refused(*code))));
                }
            }
            Err(_) => {}
        }
    }

    /// Records for the caller, at most `max.poll.records`.
    fn hand_over(&mut self) -> Vec<Consumed> {
        let mut records = vec![];
        while records.len() < self.config.poll_records_max && self.owed.is_none() {
            let Some(kept) = self.shelf.first() else { break };
            let piece = match kept.take(self.config.poll_records_max - records.len()) {
                Ok(piece) => piece,
                Err(error) => {
                    let place = kept.place.clone();
                    self.shelf.drop_first();
                    // What came behind it is asked for again, from where the caller stands.
                    if let Some(offset) = self.positions.position(&place) {
                        self.positions.seek(&place, offset);
                    }
                    self.owed = Some(error.into());
                    break;
                }
            };
            let place = kept.place.clone();
            let wanted = self.positions.advance(&place, piece.from, piece.to, piece.epoch);
            if wanted {
                records.extend(piece.records);
            }
            if piece.last || !wanted {
                self.shelf.drop_first();
            }
        }
        records
    }

    /// Begins to ask for everything that is missing.
    fn ask_for_needs(&mut self) -> Result<(), ConsumeError> {
        self.refresh_if_due();
        // What is kept is at least as much as one answer may be: enough until the caller comes again.
        let room = self.shelf.bytes() < self.config.fetch_bytes_max;
        let asking = &self.asking;
        let routing = self.cluster.routing();
        let asked = |place: &TopicPartition| routing.leader(place).is_some_and(|(leader, _)| asking.contains(&leader));
        let needs = self.positions.needs(self.cluster.now(), |place| room && !asked(place));
        drop(routing);
        let Needs { committed, reset, fetch, lost } = needs;
        if let Some(place) = lost.into_iter().next() {
            return Err(ConsumeError::NoOffset { place });
        }
        self.look_up(committed);
        self.find(reset);
        self.fetch(fetch);
        Ok(())
    }

    fn refresh_if_due(&mut self) {
        let now = self.cluster.now();
        let due = {
            let routing = self.cluster.routing();
            routing.wanted().next().is_some() && routing.refresh_due(now)
        };
        if due && !self.refreshing && self.refresh_rests_until <= now {
            self.refreshing = true;
            let cluster = self.cluster.clone();
            self.tasks.spawn(async move { End::Refreshed(cluster.refresh().await) });
        }
    }

    fn look_up(&mut self, places: Vec<TopicPartition>) {
        let Some(group) = self.config.group.clone().filter(|_| !places.is_empty()) else { return };
        let cluster = self.cluster.clone();
        self.tasks.spawn(async move {
            let committed = offsets::committed(&cluster, &group, Some(&places)).await;
            End::Looked(places, committed)
        });
    }

    fn find(&mut self, resets: Vec<(TopicPartition, Reset)>) {
        if resets.is_empty() {
            return;
        }
        let spec = |reset| match reset {
            Reset::Earliest => OffsetSpec::Earliest,
            Reset::Latest | Reset::Fail => OffsetSpec::Latest,
            Reset::Since(age) => {
                let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                OffsetSpec::At(dohle_base::Timestamp(Clock::wall().0.saturating_sub(age)))
            }
        };
        let wanted: BTreeMap<TopicPartition, OffsetSpec> =
            resets.into_iter().map(|(place, reset)| (place, spec(reset))).collect();
        let (cluster, isolation) = (self.cluster.clone(), self.config.isolation);
        self.tasks.spawn(async move {
            let mut found = list_offsets::find(&cluster, isolation, &wanted).await;
            let answer = |(place, spec): (TopicPartition, OffsetSpec)| {
                let silence = || Err(AskError::Nobody { what: place.to_string() });
                let found = found.remove(&place).unwrap_or_else(silence);
                (place, (spec, found))
            };
            End::Found(wanted.into_iter().map(answer).collect())
        });
    }

    fn fetch(&mut self, wanted: Vec<(TopicPartition, Offset)>) {
        let mut by_leader: BTreeMap<BrokerId, Vec<Asked>> = BTreeMap::new();
        for (place, offset) in wanted {
            match self.cluster.leader(&place) {
                Some((leader, epoch)) => by_leader.entry(leader).or_default().push(Asked { place, offset, epoch }),
                None => {
                    self.cluster.routing().invalidate();
                    self.rest(&place);
                }
            }
        }
        for (leader, asked) in by_leader {
            self.asking.insert(leader);
            let (cluster, config) = (self.cluster.clone(), self.config.clone());
            self.tasks.spawn(async move {
                let given = fetch::fetch(&cluster, &config, leader, &asked).await;
                End::Fetched(leader, asked, given)
            });
        }
    }

    /// Asks this partition again after a while.
    fn rest(&mut self, place: &TopicPartition) {
        let until = self.cluster.now() + self.cluster.retry_wait(self.failures.max(1));
        self.positions.free(place, until);
    }

    fn take(&mut self, end: End) -> Result<(), ConsumeError> {
        match end {
            End::Refreshed(refreshed) => {
                self.refreshing = false;
                self.failures = if refreshed.is_ok() { 0 } else { self.failures + 1 };
                self.refresh_rests_until = self.cluster.now() + self.cluster.retry_wait(self.failures.max(1));
                refreshed.or_else(retried)?;
            }
            End::Committed(offsets, committed) => {
                self.committing = false;
                if let Err(error) = &committed {
                    tracing::warn!(%error, "offsets are not committed yet");
                }
                self.committed(offsets, &committed);
            }
            End::Looked(places, committed) => match committed {
                Ok(mut committed) => {
                    places.iter().for_each(|place| self.positions.found_committed(place, committed.remove(place)));
                }
                Err(error) => {
                    places.iter().for_each(|place| self.rest(place));
                    retried(error)?;
                }
            },
            End::Found(found) => {
                for (place, (spec, found)) in found {
                    self.take_found(&place, spec, found)?;
                }
            }
            End::Fetched(leader, asked, given) => {
                self.asking.remove(&leader);
                match given {
                    Ok(given) => given.into_iter().try_for_each(|given| self.take_given(given))?,
                    Err(error) => {
                        self.cluster.routing().invalidate();
                        asked.iter().for_each(|asked| self.rest(&asked.place));
                        retried(error)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn take_found(
        &mut self,
        place: &TopicPartition,
        spec: OffsetSpec,
        found: Result<Found, AskError>,
    ) -> Result<(), ConsumeError> {
        match found {
            Ok(Found { offset: Some(offset), leader_epoch, .. }) => {
                self.positions.found_offset(place, offset, leader_epoch);
            }
            // Nothing is as young as was asked for: the end is where such records will be.
            Ok(Found { offset: None, .. }) if matches!(spec, OffsetSpec::At(_)) => {
                self.positions.seek_by(place, Reset::Latest);
                self.positions.free(place, Instant::ZERO);
            }
            Ok(Found { offset: None, .. }) => self.rest(place),
            Err(error) => {
                self.rest(place);
                retried(error)?;
            }
        }
        Ok(())
    }

    fn take_given(&mut self, given: Given) -> Result<(), ConsumeError> {
        let Given { place, asked, answer } = given;
        match answer {
            Answer::Records { records, next, start, end, aborted } => {
                self.failures = 0;
                self.positions.told_bounds(&place, start, end);
                if self.positions.fetched(&place, asked, next) && !records.is_empty() {
                    let (isolation, check) = (self.config.isolation, self.config.check_crcs);
                    self.shelf.put(Kept::new(place, records, asked, next, isolation, aborted, check));
                }
            }
            Answer::Refused(ErrorCode::OffsetOutOfRange) => {
                tracing::info!(%place, offset = %asked, "the offset is out of range");
                self.positions.out_of_range(&place, asked);
            }
            Answer::Refused(code) if judge(code) == Verdict::Fail => {
                self.rest(&place);
                return Err(ConsumeError::Partition { place, code });
            }
            Answer::Refused(_) => {
                self.cluster.routing().invalidate();
                self.rest(&place);
            }
            Answer::Nothing => self.rest(&place),
        }
        Ok(())
    }

    /// When something is to be done even if nothing happens.
    fn wake_at(&self, now: Instant) -> Instant {
        let (due, age) = {
            let routing = self.cluster.routing();
            (routing.refresh_due(now), routing.refresh_at())
        };
        let refresh = if due { Some(self.refresh_rests_until) } else { age };
        let commit = self.config.auto_commit.map(|_| self.commit_at);
        let times = [refresh, commit, self.positions.deadline(now)];
        times.into_iter().flatten().filter(|at| *at > now).min().unwrap_or(Instant::NEVER)
    }
}

/// Waits for an order of the group; without a group for ever.
async fn notice(group: &Option<Group>) {
    match group {
        Some(group) => group.notice().await,
        None => std::future::pending().await,
    }
}

/// What will be tried again is no error for the caller.
fn retried(error: AskError) -> Result<(), ConsumeError> {
    if error.is_retriable() {
        tracing::debug!(%error, "trying again");
        return Ok(());
    }
    Err(error.into())
}

/// Keeps offsets, patiently; a refusal that says that the member was late is told apart.
async fn commit(
    cluster: &Cluster,
    committer: &Committer,
    offsets: &BTreeMap<TopicPartition, Committed>,
) -> Result<(), ConsumeError> {
    let refused = cluster.persist(|| offsets::commit(cluster, committer, offsets)).await?;
    let Some((place, code)) = refused.into_iter().next() else { return Ok(()) };
    match code {
        ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration | ErrorCode::RebalanceInProgress => {
            Err(ConsumeError::TooLate { group: committer.group.clone(), code })
        }
        code => Err(ConsumeError::Partition { place, code }),
    }
}
