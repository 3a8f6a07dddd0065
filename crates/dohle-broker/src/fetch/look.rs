//! Looking at partitions for a reader: what is there is found at once, its bytes are read when it is clear that they are sent.
//!
//! Owns the limits of an answer. What may have to wait for the disk is read by other threads, so that a reader of old records holds nobody
//! up.
//! Laws: the first partition with records gives its first batch whole; what all give together keeps to the limit otherwise.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_base::{ErrorCode, Offset};
use dohle_log::disk::{File, Files, Handle};
use dohle_log::log::{Aborts, Plan, ReadError, Slice};
use dohle_log::{Aborted, epochs::EpochEnd};

use super::readers::{Pending, Readers};
use super::session::{Seen, Source, Told, Turn, Wanted};
use crate::context::Context;
use crate::net::answers::Filed;
use crate::net::outbox::SENDS_FILES;
use crate::partition::{Found, Isolation, LOOKS_MAX, Partition, Reading, Refused, Want};

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

/// What a partition has for a reader.
pub(crate) struct Gathered {
    pub(super) turn: Turn,
    pub(crate) wanted: Wanted,
    pub(crate) error: ErrorCode,
    pub(crate) high_watermark: Offset,
    pub(crate) last_stable: Offset,
    pub(crate) log_start: Offset,
    pub(crate) diverging: Option<EpochEnd>,
    pub(crate) aborted: Vec<Aborted>,
    pub(crate) records: Got,
    caught_up: bool,
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

/// What was found at one pass over partitions.
#[derive(Default)]
pub(super) struct Looks {
    found: Vec<(Source, Look)>,
    bytes: u64,
    /// Something that the reader should be told at once.
    urgent: bool,
}

/// One look at a partition.
struct Look {
    reading: Result<Reading, Refused>,
    slice: Option<Slice<Handle>>,
}

impl Looks {
    /// Looks at further partitions, until the answer is full.
    pub(super) async fn look(&mut self, cx: &Context, sources: Vec<Source>, terms: &Terms) {
        self.found.reserve(sources.len());
        for source in sources {
            if self.is_full(terms) {
                return;
            }
            self.look_at(cx, source, terms).await;
        }
    }

    /// Looks at all of them, though a full answer has no room for their records.
    pub(super) async fn look_at_all(&mut self, cx: &Context, sources: Vec<Source>, terms: &Terms) {
        self.found.reserve(sources.len());
        for source in sources {
            self.look_at(cx, source, terms).await;
        }
    }

    async fn look_at(&mut self, cx: &Context, source: Source, terms: &Terms) {
        let left = terms.bytes_max.saturating_sub(self.bytes);
        let want = Want {
            offset: source.wanted.offset,
            bytes_max: left.min(u64::try_from(source.wanted.bytes_max).unwrap_or(0)),
            minimum_one: self.bytes == 0,
            isolation: terms.isolation,
            current_epoch: source.wanted.current_leader_epoch,
            last_fetched_epoch: source.wanted.last_fetched_epoch,
        };
        let look = look_at(&cx.readers, &source, &want).await;
        self.bytes += look.slice.as_ref().map_or(0, Slice::len);
        self.urgent |= look.is_urgent();
        self.found.push((source, look));
    }

    fn is_full(&self, terms: &Terms) -> bool {
        self.bytes > 0 && self.bytes >= terms.bytes_max
    }

    /// Whether the reader need not wait for more.
    pub(super) fn are_enough(&self, terms: &Terms) -> bool {
        self.urgent || self.bytes >= terms.bytes_min
    }

    /// What was seen of the partitions that can be read.
    pub(super) fn seen(&self) -> impl Iterator<Item = Seen> {
        self.found.iter().filter_map(|(source, look)| {
            let reading = look.reading.as_ref().ok()?;
            Some(Seen {
                turn: source.turn,
                high_watermark: reading.high_watermark,
                log_start: reading.log_start,
                caught_up: is_caught_up(&source.wanted, reading),
            })
        })
    }

    /// How much has to be read.
    pub(super) fn bytes_in_memory(&self) -> u64 {
        let slices = self.found.iter().filter_map(|(_, look)| look.slice.as_ref());
        slices.filter(|slice| !is_sent_unread(slice)).map(Slice::len).sum()
    }

    /// Reads the records that were found, in the order of turns.
    pub(super) async fn read(mut self, cx: &Context, terms: &Terms) -> Vec<Gathered> {
        self.found.sort_by_key(|(source, _)| source.turn);
        // All reads are under way before the first is waited for.
        let begun: Vec<_> =
            self.found.into_iter().map(|(source, look)| look.begin(&cx.readers, source, terms)).collect();
        let mut gathered = Vec::with_capacity(begun.len());
        for begun in begun {
            gathered.push(begun.finish().await);
        }
        gathered
    }
}

fn is_caught_up(wanted: &Wanted, reading: &Reading) -> bool {
    let diverges = matches!(reading.found, Found::Diverging(_));
    !diverges && wanted.offset >= reading.visible
}

async fn look_at(readers: &Readers, source: &Source, want: &Want) -> Look {
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
            Found::Records(plan) => match resolve(readers, plan).await {
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
    fn begin(self, readers: &Readers, source: Source, terms: &Terms) -> Begun {
        let Source { turn, wanted, partition } = source;
        let (reading, partition) = match (self.reading, partition) {
            (Ok(reading), Ok(partition)) => (reading, partition),
            (Err(refused), _) | (_, Err(refused)) => return Begun { turn, wanted, under_way: Err(refused) },
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
                Records::begin(readers, slice, aborts)
            }
            None => Records::Here(Ok(Read { records: Got::Held(Bytes::new()), aborted: vec![] })),
        };
        Begun { turn, wanted, under_way: Ok(UnderWay { reading, partition, records }) }
    }
}

/// A partition whose records are being read.
struct Begun {
    turn: Turn,
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

/// Whether the kernel takes the records from the log when they are sent: what is small is copied for less than that costs.
fn is_sent_unread(slice: &Slice<Handle>) -> bool {
    SENDS_FILES && slice.len() >= SENT_UNREAD_FROM
}

/// Whether the records can be had without waiting for the disk. What is copied was appended lately, and is so little that asking first would cost each reader
/// more than one that finds it gone.
fn is_at_hand(slice: &Slice<Handle>) -> bool {
    slice.near && (!is_sent_unread(slice) || slice.is_in_memory())
}

impl Records {
    /// Reads at once what was written lately, and lets others wait for the rest.
    fn begin(readers: &Readers, slice: Slice<Handle>, aborts: Option<Aborts<Files>>) -> Self {
        let at_hand = is_at_hand(&slice);
        let at_once = at_hand && aborts.as_ref().is_none_or(Aborts::is_near);
        let read = move || Read::of(slice, at_hand, aborts.as_ref());
        if at_once { Self::Here(read()) } else { Self::Coming(readers.begin(read)) }
    }
}

impl Read {
    fn of(slice: Slice<Handle>, at_hand: bool, aborts: Option<&Aborts<Files>>) -> Result<Self, ReadError> {
        let file = if is_sent_unread(&slice) { slice.file.descriptor() } else { None };
        if file.is_some() && !at_hand {
            // What is not in the page cache would hold the core up when it is sent.
            slice.warm()?;
        }
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
        let Self { turn, wanted, under_way } = self;
        let UnderWay { reading, partition, records } = match under_way {
            Ok(under_way) => under_way,
            Err(refused) => return Gathered::refused(turn, wanted, refused),
        };
        let read = match records {
            Records::Here(read) => read,
            Records::Coming(pending) => pending.await.unwrap_or(Err(ReadError::Moved)),
        };
        let Read { records, aborted } = match read {
            Ok(read) => read,
            Err(error) => return Gathered::refused(turn, wanted, reading.refused(&error)),
        };
        partition.cells.bytes_out.add(records.len());
        let caught_up = is_caught_up(&wanted, &reading);
        let diverging = if let Found::Diverging(end) = reading.found { Some(end) } else { None };
        Gathered {
            turn,
            wanted,
            error: ErrorCode::None,
            high_watermark: reading.high_watermark,
            last_stable: reading.last_stable,
            log_start: reading.log_start,
            diverging,
            aborted,
            records,
            caught_up,
        }
    }
}

impl Gathered {
    fn refused(turn: Turn, wanted: Wanted, refused: Refused) -> Self {
        Self {
            turn,
            wanted,
            error: refused.code,
            high_watermark: refused.high_watermark,
            last_stable: Offset::NONE,
            log_start: refused.log_start,
            diverging: None,
            aborted: vec![],
            records: Got::Held(Bytes::new()),
            caught_up: false,
        }
    }

    /// The same, for the session to remember.
    pub(super) fn told(&self) -> Told {
        Told {
            error: self.error,
            high_watermark: self.high_watermark.0,
            log_start: self.log_start.0,
            records: self.records.len() > 0,
            diverging: self.diverging.is_some(),
            caught_up: self.caught_up,
        }
    }
}
