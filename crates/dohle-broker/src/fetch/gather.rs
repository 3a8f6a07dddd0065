//! Gathering what partitions have for a reader: at once what is there, and if that is too little, what comes until the deadline.
//!
//! Owns the patience and the limits of an answer; the bytes are read when it is clear that they are sent. What may have to wait for the
//! disk is read by other threads, so that a reader of old records holds nobody up.
//! Laws: the first partition with records gives its first batch whole; what all give together keeps to the limit otherwise.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_base::{ErrorCode, Instant, Offset};
use dohle_log::disk::{File, Files, Handle};
use dohle_log::log::{Aborts, Plan, ReadError, Slice};
use dohle_log::{Aborted, epochs::EpochEnd};

use super::readers::{Pending, Readers};
use super::session::Wanted;
use crate::context::Context;
use crate::net::answers::Filed;
use crate::net::budget::Share;
use crate::net::outbox::SENDS_FILES;
use crate::partition::{Found, Interest, Isolation, LOOKS_MAX, Outcome, Partition, Reading, Refused, Want};

/// Records from so many bytes on are sent from the log without being read.
const SENT_UNREAD_FROM: u64 = 16 << 10;

/// What a reader asks for on the whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) bytes_min: u64,
    pub(crate) bytes_max: u64,
    pub(crate) wait_max: Duration,
    pub(crate) isolation: Isolation,
}

/// A partition that a reader asks for, or why it cannot be read here.
pub(crate) struct Source {
    pub(crate) wanted: Wanted,
    pub(crate) partition: Result<Arc<Partition>, Refused>,
}

/// What a partition has for a reader.
pub(crate) struct Gathered {
    pub(crate) wanted: Wanted,
    pub(crate) error: ErrorCode,
    pub(crate) high_watermark: Offset,
    pub(crate) last_stable: Offset,
    pub(crate) log_start: Offset,
    pub(crate) diverging: Option<EpochEnd>,
    pub(crate) aborted: Vec<Aborted>,
    pub(crate) records: Got,
}

/// Records for a reader.
pub(crate) enum Got {
    /// Read.
    Held(Bytes),
    /// Left where they are, for the kernel to send.
    Filed(Filed),
}

impl Got {
    /// How many bytes they are.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::Filed(filed) => filed.len(),
        }
    }
}

/// One look at all partitions.
struct Round {
    looks: Vec<Look>,
    bytes: u64,
    /// Something that the reader should be told at once.
    urgent: bool,
}

/// One look at a partition.
struct Look {
    reading: Result<Reading, Refused>,
    slice: Option<Slice<Handle>>,
}

/// Gathers for a reader. The memory that the records take is counted for as long as `share` lives.
pub(crate) async fn gather(cx: &Context, sources: Vec<Source>, terms: &Terms, share: &mut Share) -> Vec<Gathered> {
    let deadline = cx.clock.instant() + terms.wait_max;
    let mut round = look(cx, &sources, terms).await;
    while !round.is_enough(terms) && cx.clock.instant() < deadline {
        let waited = wait(cx, &sources, &round, deadline).await;
        if let Waited::Long = waited {
            break;
        }
        round = look(cx, &sources, terms).await;
        if let Waited::Changed = waited {
            break;
        }
    }
    share.grow(round.bytes_in_memory()).await;
    // All reads are under way before the first is waited for.
    let begun: Vec<_> =
        sources.into_iter().zip(round.looks).map(|(source, look)| look.begin(cx, source, terms)).collect();
    let mut gathered = Vec::with_capacity(begun.len());
    for begun in begun {
        gathered.push(begun.finish().await);
    }
    gathered
}

impl Round {
    fn is_enough(&self, terms: &Terms) -> bool {
        self.urgent || self.looks.is_empty() || self.bytes >= terms.bytes_min
    }

    /// How much of it has to be read.
    fn bytes_in_memory(&self) -> u64 {
        let slices = self.looks.iter().filter_map(|look| look.slice.as_ref());
        slices.filter(|slice| !is_sent_unread(slice)).map(Slice::len).sum()
    }
}

async fn look(cx: &Context, sources: &[Source], terms: &Terms) -> Round {
    let mut round = Round { looks: Vec::with_capacity(sources.len()), bytes: 0, urgent: false };
    for source in sources {
        let left = terms.bytes_max.saturating_sub(round.bytes);
        let want = Want {
            offset: source.wanted.offset,
            bytes_max: left.min(u64::try_from(source.wanted.bytes_max).unwrap_or(0)),
            minimum_one: round.bytes == 0,
            isolation: terms.isolation,
            current_epoch: source.wanted.current_leader_epoch,
            last_fetched_epoch: source.wanted.last_fetched_epoch,
        };
        let look = look_at(cx, source, &want).await;
        round.bytes += look.slice.as_ref().map_or(0, Slice::len);
        round.urgent |= look.is_urgent();
        round.looks.push(look);
    }
    round
}

async fn look_at(cx: &Context, source: &Source, want: &Want) -> Look {
    let partition = match &source.partition {
        Ok(partition) => partition,
        Err(refused) => return Look { reading: Err(*refused), slice: None },
    };
    let mut looks = 0;
    loop {
        looks += 1;
        let mut reading = match partition.read(want) {
            Ok(reading) => reading,
            Err(refused) => return Look { reading: Err(refused), slice: None },
        };
        let slice = match std::mem::replace(&mut reading.found, Found::Nothing) {
            Found::Records(plan) => match resolve(&cx.readers, plan).await {
                Ok(slice) => slice,
                Err(ReadError::Moved) if looks < LOOKS_MAX => continue,
                Err(error) => return Look { reading: Err(reading.refused(&error)), slice: None },
            },
            found @ (Found::Diverging(_) | Found::Nothing) => {
                reading.found = found;
                None
            }
        };
        return Look { reading: Ok(reading), slice };
    }
}

/// Finds the bytes of a plan: in an older segment they may have to be looked for on the disk.
async fn resolve(readers: &Readers, plan: Plan<Files>) -> Result<Option<Slice<Handle>>, ReadError> {
    if plan.is_near() {
        return plan.resolve();
    }
    readers.begin(move || plan.resolve()).await.unwrap_or(Err(ReadError::Moved))
}

impl Look {
    fn is_urgent(&self) -> bool {
        match &self.reading {
            Ok(reading) => matches!(reading.found, Found::Diverging(_)),
            Err(refused) => !refused.code.is_none(),
        }
    }

    /// Begins to read the records that were found.
    fn begin(self, cx: &Context, source: Source, terms: &Terms) -> Begun {
        let wanted = source.wanted;
        let (reading, partition) = match (self.reading, source.partition) {
            (Ok(reading), Ok(partition)) => (reading, partition),
            (Err(refused), _) | (_, Err(refused)) => return Begun { wanted, under_way: Err(refused) },
        };
        let records = match self.slice {
            Some(slice) => {
                let aborts = match terms.isolation {
                    Isolation::ReadUncommitted => None,
                    // A partition that stopped meanwhile has nothing more to say.
                    Isolation::ReadCommitted => {
                        let asked = partition.look(|log, _| log.aborts(wanted.offset, reading.visible, &slice));
                        asked.unwrap_or_default()
                    }
                };
                Records::begin(&cx.readers, slice, aborts)
            }
            None => Records::Here(Ok(Read { records: Got::Held(Bytes::new()), aborted: vec![] })),
        };
        Begun { wanted, under_way: Ok(UnderWay { reading, partition, records }) }
    }
}

/// A partition whose records are being read.
struct Begun {
    wanted: Wanted,
    under_way: Result<UnderWay, Refused>,
}

struct UnderWay {
    reading: Reading,
    partition: Arc<Partition>,
    records: Records,
}

/// Records on their way from the log.
enum Records {
    Here(Result<Read, ReadError>),
    Coming(Pending<Result<Read, ReadError>>),
}

/// Records, and what a reader of committed ones has to leave out.
struct Read {
    records: Got,
    aborted: Vec<Aborted>,
}

/// Whether the kernel takes the records from the log when they are sent: what is small is copied for less than that costs, and what may not
/// be in the page cache would hold the core up.
fn is_sent_unread(slice: &Slice<Handle>) -> bool {
    SENDS_FILES && slice.near && slice.len() >= SENT_UNREAD_FROM
}

impl Records {
    /// Reads at once what was written lately, and lets others wait for the rest.
    fn begin(readers: &Readers, slice: Slice<Handle>, aborts: Option<Aborts<Files>>) -> Self {
        let near = slice.near && aborts.as_ref().is_none_or(Aborts::is_near);
        let read = move || Read::of(slice, aborts.as_ref());
        if near { Self::Here(read()) } else { Self::Coming(readers.begin(read)) }
    }
}

impl Read {
    fn of(slice: Slice<Handle>, aborts: Option<&Aborts<Files>>) -> Result<Self, ReadError> {
        let file = if is_sent_unread(&slice) { slice.file.descriptor() } else { None };
        let records = match file {
            Some(file) => Got::Filed(Filed { file, range: slice.range }),
            None => Got::Held(slice.read()?),
        };
        let aborted = aborts.map(Aborts::find).transpose()?.unwrap_or_default();
        Ok(Self { records, aborted })
    }
}

impl Begun {
    /// Waits for the records.
    async fn finish(self) -> Gathered {
        let Self { wanted, under_way } = self;
        let UnderWay { reading, partition, records } = match under_way {
            Ok(under_way) => under_way,
            Err(refused) => return Gathered::refused(wanted, refused),
        };
        let read = match records {
            Records::Here(read) => read,
            Records::Coming(pending) => pending.await.unwrap_or(Err(ReadError::Moved)),
        };
        let Read { records, aborted } = match read {
            Ok(read) => read,
            Err(error) => return Gathered::refused(wanted, reading.refused(&error)),
        };
        partition.cells.bytes_out.add(records.len());
        let diverging = if let Found::Diverging(end) = reading.found { Some(end) } else { None };
        Gathered {
            wanted,
            error: ErrorCode::None,
            high_watermark: reading.high_watermark,
            last_stable: reading.last_stable,
            log_start: reading.log_start,
            diverging,
            aborted,
            records,
        }
    }
}

impl Gathered {
    fn refused(wanted: Wanted, refused: Refused) -> Self {
        Self {
            wanted,
            error: refused.code,
            high_watermark: refused.high_watermark,
            last_stable: Offset::NONE,
            log_start: refused.log_start,
            diverging: None,
            aborted: vec![],
            records: Got::Held(Bytes::new()),
        }
    }
}

/// What ended the wait for more.
enum Waited {
    /// A partition has more.
    More,
    /// A partition stopped, or too many wait for it: the reader is told what there is.
    Changed,
    /// The deadline came, or the broker stops.
    Long,
}

/// Waits until one of the partitions has more than this round saw.
async fn wait(cx: &Context, sources: &[Source], round: &Round, deadline: Instant) -> Waited {
    let waiter = cx.waiters.admit();
    let mut interests: Vec<Interest> = Vec::with_capacity(sources.len());
    for (source, look) in sources.iter().zip(&round.looks) {
        let (Ok(partition), Ok(reading)) = (&source.partition, &look.reading) else { continue };
        let more = reading.high_watermark.next();
        interests.extend(partition.interest(waiter.token(), more, deadline));
    }
    let mut stop = cx.stop.subscribe();
    // Dropping the interests withdraws the token from all partitions but the one that has told.
    tokio::select! {
        told = waiter => if let Some(Outcome::Safe) = told { Waited::More } else { Waited::Changed },
        () = tokio::time::sleep_until(cx.clock.timer(deadline)) => Waited::Long,
        _ = stop.wait_for(|stopping| *stopping) => Waited::Long,
    }
}
