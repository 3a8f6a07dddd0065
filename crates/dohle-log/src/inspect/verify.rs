//! Reads everything in a partition's directory and compares it with the batches, in one pass from the oldest segment to the newest.

use std::io;
use std::path::Path;

use dohle_base::{LeaderEpoch, Offset, Timestamp};
use dohle_records::control::EndTransaction;
use dohle_records::{Batch, Budget};

use super::compare::{Facts, Passed};
use super::finding::{Finding, Flaw};
use super::walk::{Broken, Placed, Walk};
use super::{SegmentFile, contents};
use crate::disk::{Disk, read_whole};
use crate::epochs::{Epochs, FILE_NAME as EPOCHS_FILE_NAME};
use crate::failure::Failure;
use crate::log::marker_of;
use crate::producers::{Producer, Producers, snapshot};
use crate::segment::Aborted;
use crate::segment::name::{Content, Name};
use crate::segment::scan::Damage;

/// What a partition's directory holds, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Oldest first.
    pub segments: Vec<SegmentFile>,
    /// The first offset that there is.
    pub start: Offset,
    /// The offset behind the last sound batch. Exclusive.
    pub end: Offset,
    /// Sound batches.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// In the order of the files.
    pub findings: Vec<Finding>,
    /// Where the log would have to be cut, if anywhere.
    pub tear: Option<Tear>,
    pub(super) snapshots: Vec<Offset>,
}

/// The first batch that is not sound, and what lies behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tear {
    /// The first offset of its segment.
    pub segment: Offset,
    /// Where it begins.
    pub position: u64,
    /// What is wrong with it.
    pub damage: Damage,
    /// The offset at which a log that is cut there ends.
    pub end: Offset,
    /// Bytes from there to the end of its segment.
    pub bytes: u64,
    /// Sound batches behind it, in its segment and in later ones: a torn tail has none.
    pub batches_behind: u64,
    /// Records in them.
    pub records_behind: u64,
}

/// Judges the directory `dir`. After a clean stop the last segment has its indexes too. Changes nothing; damage is a finding, and only
/// a disk that cannot be read is a failure.
pub fn verify<D: Disk>(disk: &D, dir: &Path, is_clean: bool) -> Result<Report, Failure> {
    let contents = contents(disk, dir)?;
    let mut pass = Pass::begin(disk, dir)?;
    let first = contents.segments.first().map_or(Offset::ZERO, |segment| segment.base);
    pass.producers = Producers::starting_at(first);
    pass.next = first;
    pass.report.start = first;
    pass.read_snapshots(&contents.snapshots)?;
    let ends = contents.segments.iter().skip(1).map(|next| Some(next.base)).chain([None]);
    for (segment, end) in contents.segments.iter().zip(ends) {
        let facts = pass.read_segment(segment, end)?;
        // A segment that nothing was written to yet gets its indexes with its first batches.
        let needs_indexes = end.is_some() || (is_clean && segment.size > 0);
        pass.report.findings.extend(facts.compare_indexes(disk, dir, segment, end.is_some(), needs_indexes)?);
    }
    pass.end();
    let mut report = pass.report;
    let strays = contents.leftovers.iter().map(|name| (name, Flaw::Leftover));
    let strays = strays.chain(contents.orphans.iter().map(|name| (name, Flaw::Orphan)));
    report.findings.extend(strays.map(|(name, flaw)| Finding { file: name.to_string(), position: None, flaw }));
    report.segments = contents.segments;
    report.snapshots = contents.snapshots;
    Ok(report)
}

/// What is known while the batches pass.
struct Pass<'a, D> {
    disk: &'a D,
    dir: &'a Path,
    report: Report,
    /// As the file has them; none when there is none.
    epochs: Option<Epochs>,
    epochs_flawed: bool,
    latest_epoch: LeaderEpoch,
    producers: Producers,
    /// Those that were not compared yet, the newest first.
    snapshots: Vec<(Offset, Vec<Producer>)>,
    next: Offset,
    before: Option<Before>,
}

/// The batch that passed last, and what was expected there.
#[derive(Clone, Copy)]
struct Before {
    position: u64,
    base: Offset,
    next: Offset,
    records: u64,
}

impl Before {
    /// Whether this batch is the one that is out of order, when another behind it is at `found`: offsets are under no checksum, and what
    /// comes next goes on from before it.
    fn explains(&self, found: Offset, next: Offset) -> bool {
        self.base > self.next && found >= self.next && found < next
    }
}

impl<'a, D: Disk> Pass<'a, D> {
    fn begin(disk: &'a D, dir: &'a Path) -> Result<Self, Failure> {
        let mut pass = Self {
            disk,
            dir,
            report: Report::default(),
            epochs: None,
            epochs_flawed: false,
            latest_epoch: LeaderEpoch::NONE,
            producers: Producers::default(),
            snapshots: Vec::new(),
            next: Offset::ZERO,
            before: None,
        };
        match pass.read(EPOCHS_FILE_NAME)?.map(|bytes| Epochs::parse(&bytes)) {
            Some(Ok(epochs)) => pass.epochs = Some(epochs),
            Some(Err(corrupt)) => pass.flaw_of_epochs(Flaw::Checkpoint(corrupt)),
            None => {}
        }
        Ok(pass)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let path = self.dir.join(name);
        match read_whole(self.disk, &path) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Some(Vec::new())),
            read => read.map_err(Failure::of("read", &path)),
        }
    }

    fn find(&mut self, file: String, position: Option<u64>, flaw: Flaw) {
        self.report.findings.push(Finding { file, position, flaw });
    }

    fn flaw_of_epochs(&mut self, flaw: Flaw) {
        if !self.epochs_flawed {
            self.epochs_flawed = true;
            self.find(EPOCHS_FILE_NAME.to_owned(), None, flaw);
        }
    }

    fn read_snapshots(&mut self, at: &[Offset]) -> Result<(), Failure> {
        for at in at.iter().rev() {
            let name = snapshot_name(*at);
            let Some(bytes) = self.read(&name)? else { continue };
            match snapshot::parse(&bytes) {
                Ok(producers) => self.snapshots.push((*at, producers)),
                Err(corrupt) => self.find(name, None, Flaw::Snapshot(corrupt)),
            }
        }
        Ok(())
    }

    /// Passes the batches of one segment, which ends before `end`.
    fn read_segment(&mut self, segment: &SegmentFile, end: Option<Offset>) -> Result<Facts, Failure> {
        let mut facts = Facts { is_behind_tear: self.report.tear.is_some(), ..Facts::default() };
        let mut walk = Walk::over(self.disk, self.dir, segment)?;
        self.next = self.next.max(segment.base);
        self.before = None;
        loop {
            match walk.step() {
                Ok(None) => return Ok(facts),
                Ok(Some(placed)) => self.pass(segment, end, &placed, &mut facts),
                Err(Broken::Storage(failure)) => return Err(failure),
                Err(Broken::Damaged { position, damage }) => {
                    self.damaged(segment, position, damage, &mut facts);
                    return Ok(facts);
                }
            }
        }
    }

    fn pass(&mut self, segment: &SegmentFile, end: Option<Offset>, placed: &Placed, facts: &mut Facts) {
        let header = placed.batch.header();
        if let Err(damage) = self.judge(segment.base, end, &placed.batch) {
            return self.damaged(segment, placed.position, damage, facts);
        }
        if let Some(flaw) = flaw_of_records(&placed.batch) {
            self.find(segment.name(), Some(placed.position), flaw);
        }
        self.compare_epoch(&placed.batch);
        self.compare_snapshots(header.base_offset);
        facts.batches.push(Passed {
            position: placed.position,
            base: header.base_offset,
            last: header.last_offset(),
            time: header.max_timestamp,
            has_records: header.record_count > 0,
        });
        let aborted = self.tell_producers(&placed.batch, facts);
        facts.aborted.extend(aborted);
        let records = u64::try_from(header.record_count).unwrap_or(0);
        let (position, base, next) = (placed.position, header.base_offset, self.next);
        self.before = Some(Before { position, base, next, records });
        self.next = header.next_offset();
        match &mut self.report.tear {
            None => self.report.end = self.next,
            Some(tear) => {
                tear.batches_behind += 1;
                tear.records_behind += records;
            }
        }
        self.report.batches += 1;
        self.report.records += records;
    }

    fn judge(&self, base: Offset, end: Option<Offset>, batch: &Batch) -> Result<(), Damage> {
        let header = batch.header();
        let (first, last) = (header.base_offset, header.last_offset());
        let in_reach = last - base.0 <= Offset(i64::from(i32::MAX)) && end.is_none_or(|end| last < end);
        if first < self.next || last < first || !in_reach {
            return Err(Damage::Order(first));
        }
        if header.leader_epoch >= LeaderEpoch(0) && header.leader_epoch < self.latest_epoch {
            return Err(Damage::Epoch(header.leader_epoch.0));
        }
        if batch.is_intact() { Ok(()) } else { Err(Damage::Checksum) }
    }

    fn damaged(&mut self, segment: &SegmentFile, position: u64, damage: Damage, facts: &mut Facts) {
        facts.is_damaged = true;
        let (position, damage) = self.blame(position, damage);
        self.find(segment.name(), Some(position), Flaw::Batch(damage));
        let end = self.next;
        self.report.tear.get_or_insert(Tear {
            segment: segment.base,
            position,
            damage,
            end,
            bytes: segment.size - position,
            batches_behind: 0,
            records_behind: 0,
        });
    }

    /// Which batch is the damaged one: the one that was found, or the one before it, which is then taken back.
    fn blame(&mut self, position: u64, damage: Damage) -> (u64, Damage) {
        let Damage::Order(found) = damage else { return (position, damage) };
        let Some(before) = self.before.take().filter(|before| before.explains(found, self.next)) else {
            return (position, damage);
        };
        self.next = before.next;
        self.report.batches -= 1;
        self.report.records -= before.records;
        if self.report.tear.is_none() {
            self.report.end = self.next;
        }
        (before.position, Damage::Order(before.base))
    }

    fn compare_epoch(&mut self, batch: &Batch) {
        let (offset, found) = (batch.header().base_offset, batch.header().leader_epoch);
        if found < LeaderEpoch(0) {
            return;
        }
        self.latest_epoch = found;
        let Some(epochs) = &self.epochs else { return self.flaw_of_epochs(Flaw::Missing) };
        // Below the first start the log may have been cut, and the batch waits to be removed.
        let is_cut = epochs.starts().first().is_some_and(|first| offset < first.start);
        let told = epochs.at(offset).unwrap_or(LeaderEpoch::NONE);
        if told != found && !is_cut {
            self.flaw_of_epochs(Flaw::Epoch { offset, told, found });
        }
    }

    /// Compares the snapshots of offsets that the log has come to.
    fn compare_snapshots(&mut self, offset: Offset) {
        while self.snapshots.last().is_some_and(|(at, _)| *at <= offset) {
            let Some((at, told)) = self.snapshots.pop() else { return };
            if self.report.tear.is_some() {
                continue;
            }
            let differs = told.iter().find(|told| !self.agrees(told));
            if let Some(producer) = differs.map(|producer| producer.id) {
                self.find(snapshot_name(at), None, Flaw::SnapshotProducer(producer));
            }
        }
    }

    /// Whether a producer is as the batches tell, where they can: what it wrote may be removed, and a snapshot need not know all.
    fn agrees(&self, told: &Producer) -> bool {
        if told.last_offset() < self.report.start {
            return true;
        }
        self.producers.get(told.id).is_some_and(|known| {
            let last = |producer: &Producer| (producer.epoch, producer.last_sequence(), producer.last_offset());
            let open = |producer: &Producer| producer.transaction_start.filter(|first| *first >= self.report.start);
            last(known) == last(told) && open(known) == open(told)
        })
    }

    fn tell_producers(&mut self, batch: &Batch, facts: &mut Facts) -> Option<Aborted> {
        let header = batch.header();
        // Behind a tear nothing can be relied on.
        if self.report.tear.is_some() {
            return None;
        }
        let marker: Option<EndTransaction> = marker_of(batch).ok().flatten();
        if marker.is_some_and(|marker| !marker.committed) {
            facts.abort_markers.push((header.producer_id, header.last_offset()));
        }
        let ended = self.producers.apply(header, marker, Timestamp::NONE)?;
        ended.aborted.then(|| Aborted::from(ended))
    }

    fn end(&mut self) {
        let end = self.next;
        self.compare_snapshots(end);
        if self.report.batches == 0 {
            self.report.end = end;
        }
        for (at, _) in std::mem::take(&mut self.snapshots) {
            self.find(snapshot_name(at), None, Flaw::Ahead { end });
        }
    }
}

fn snapshot_name(at: Offset) -> String {
    Name::live(at, Content::Producers).to_string()
}

/// Whether the records can be read, and lie within their batch.
fn flaw_of_records(batch: &Batch) -> Option<Flaw> {
    let header = batch.header();
    let malformed = |malformed| Flaw::Records { offset: header.base_offset, malformed };
    let records = match batch.records(Budget::default()) {
        Ok(records) => records,
        Err(error) => return Some(malformed(error)),
    };
    let mut least = header.base_offset;
    for record in records {
        match record {
            Err(error) => return Some(malformed(error)),
            Ok(record) if record.offset < least || record.offset > header.last_offset() => {
                return Some(Flaw::RecordOffset(header.base_offset));
            }
            Ok(record) => least = record.offset.next(),
        }
    }
    None
}
