//! Gathering what partitions have for a reader: at once what is there, and if that is too little, what comes until the deadline.
//!
//! Owns the patience and the limits of an answer; the bytes are read when it is clear that they are sent.
//! Laws: the first partition with records gives its first batch whole; what all give together keeps to the limit otherwise.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_base::{ErrorCode, Instant, Offset};
use dohle_log::disk::Handle;
use dohle_log::log::{ReadError, Slice};
use dohle_log::{Aborted, epochs::EpochEnd};

use super::session::Wanted;
use crate::context::Context;
use crate::net::budget::Share;
use crate::partition::{Found, Interest, Isolation, Partition, Reading, Refused, Want};

/// How often a reader looks whose segment is rewritten or dropped under it, before it is told to come again.
const LOOKS_MAX: usize = 4;

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
    pub(crate) records: Bytes,
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
    let mut round = look(&sources, terms);
    while !round.is_enough(terms) && cx.clock.instant() < deadline {
        if !wait(cx, &sources, &round, deadline).await {
            break;
        }
        round = look(&sources, terms);
    }
    share.grow(round.bytes).await;
    sources.into_iter().zip(round.looks).map(|(source, look)| look.read(source, terms)).collect()
}

impl Round {
    fn is_enough(&self, terms: &Terms) -> bool {
        self.urgent || self.looks.is_empty() || self.bytes >= terms.bytes_min
    }
}

fn look(sources: &[Source], terms: &Terms) -> Round {
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
        let look = look_at(source, &want);
        round.bytes += look.slice.as_ref().map_or(0, Slice::len);
        round.urgent |= look.is_urgent();
        round.looks.push(look);
    }
    round
}

fn look_at(source: &Source, want: &Want) -> Look {
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
        // A segment that is not the newest may have to be looked for on the disk: without the lock.
        let slice = match std::mem::replace(&mut reading.found, Found::Nothing) {
            Found::Records(plan) => match plan.resolve() {
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

impl Look {
    fn is_urgent(&self) -> bool {
        match &self.reading {
            Ok(reading) => matches!(reading.found, Found::Diverging(_)),
            Err(refused) => !refused.code.is_none(),
        }
    }

    /// Reads the records that were found.
    fn read(self, source: Source, terms: &Terms) -> Gathered {
        let wanted = source.wanted;
        let (reading, partition) = match (self.reading, source.partition) {
            (Ok(reading), Ok(partition)) => (reading, partition),
            (Err(refused), _) | (_, Err(refused)) => return Gathered::refused(wanted, refused),
        };
        let read = match &self.slice {
            Some(slice) => read_slice(&partition, &wanted, &reading, slice, terms.isolation),
            None => Ok((Bytes::new(), vec![])),
        };
        let (records, aborted) = match read {
            Ok(read) => read,
            Err(error) => return Gathered::refused(wanted, reading.refused(&error)),
        };
        partition.cells.bytes_out.add(records.len() as u64);
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

fn read_slice(
    partition: &Arc<Partition>,
    wanted: &Wanted,
    reading: &Reading,
    slice: &Slice<Handle>,
    isolation: Isolation,
) -> Result<(Bytes, Vec<Aborted>), ReadError> {
    let records = slice.read()?;
    let aborted = match isolation {
        Isolation::ReadUncommitted => vec![],
        Isolation::ReadCommitted => {
            let found = partition.look(|log, _| log.aborted(wanted.offset, reading.visible, slice));
            // A partition that stopped meanwhile has nothing more to say.
            found.unwrap_or_else(|_| Ok(vec![]))?
        }
    };
    Ok((records, aborted))
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
            records: Bytes::new(),
        }
    }
}

/// Waits until one of the partitions has more than this round saw; false when the deadline came first.
async fn wait(cx: &Context, sources: &[Source], round: &Round, deadline: Instant) -> bool {
    let waiter = cx.waiters.admit();
    let mut interests: Vec<Interest> = Vec::with_capacity(sources.len());
    for (source, look) in sources.iter().zip(&round.looks) {
        let (Ok(partition), Ok(reading)) = (&source.partition, &look.reading) else { continue };
        let more = reading.high_watermark.next();
        interests.extend(partition.interest(waiter.token(), more, deadline));
    }
    // Dropping the interests withdraws the token from all partitions but the one that has told.
    tokio::select! {
        _ = waiter => true,
        () = tokio::time::sleep_until(cx.clock.timer(deadline)) => false,
    }
}
