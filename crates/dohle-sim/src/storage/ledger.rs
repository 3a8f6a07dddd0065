//! What producers wrote, what they were told, and what of it must be found again.

use bytes::Bytes;
use dohle_base::{Offset, ProducerEpoch, ProducerId, Rng};
use dohle_records::Batch;
use dohle_records::batch::encode::{Builder, Entry, Producer, Settings};

/// How many producers write.
const PRODUCERS: usize = 3;

/// A batch that a producer wants to be written.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    producer: usize,
    sequence: i32,
    is_retry: bool,
    pub(super) batch: Batch,
}

/// A batch as it should be in the log.
#[derive(Clone, Debug)]
struct Written {
    producer: usize,
    sequence: i32,
    records: i32,
    offset: Offset,
    batch: Batch,
    acknowledged: bool,
    /// False where the disk failed during the write.
    sure: bool,
}

impl Written {
    fn end(&self) -> Offset {
        self.offset + i64::from(self.records)
    }
}

/// A batch as it was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) offset: Offset,
    pub(super) producer: ProducerId,
    pub(super) sequence: i32,
    pub(super) body: Bytes,
}

/// What was found of a log until a batch was rotten, if one was.
#[derive(Clone, Debug)]
pub(super) struct Rotten {
    pub(super) sound: Vec<Found>,
    pub(super) ended_in_rot: bool,
}

/// What was acknowledged and is gone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lost {
    pub(super) batches: u64,
    pub(super) records: u64,
}

/// What was written, in order.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    written: Vec<Written>,
    drawn: u64,
}

impl Ledger {
    /// The next batch of a producer, or now and then its last one again.
    pub(super) fn next(&mut self, rng: &mut Rng) -> Wanted {
        self.drawn += 1;
        let producer = rng.below(PRODUCERS as u64) as usize;
        let last = self.written.iter().rev().find(|written| written.producer == producer);
        if let Some(last) = last.filter(|_| rng.chance(150)) {
            return Wanted { producer, sequence: last.sequence, is_retry: true, batch: last.batch.clone() };
        }
        let sequence = last.map_or(0, |last| last.sequence + last.records);
        let records = 1 + rng.below(3) as i32;
        Wanted { producer, sequence, is_retry: false, batch: fresh(producer, sequence, records, self.drawn) }
    }

    /// The batch is in the log.
    pub(super) fn written(&mut self, wanted: &Wanted, offset: Offset) -> Result<(), String> {
        if wanted.is_retry {
            return Err(format!("a retry of producer {} was written twice, at {offset}", wanted.producer));
        }
        self.note(wanted, offset, true);
        Ok(())
    }

    /// The batch was there already.
    pub(super) fn repeated(&self, wanted: &Wanted, offset: Offset) -> Result<(), String> {
        let same = |written: &&Written| written.producer == wanted.producer && written.sequence == wanted.sequence;
        match self.written.iter().find(same) {
            Some(written) if wanted.is_retry && written.offset == offset => Ok(()),
            Some(_) | None => Err(format!("{wanted:?} is said to have been written at {offset}")),
        }
    }

    /// The disk failed while the batch was written at `end`.
    pub(super) fn unsure(&mut self, wanted: &Wanted, end: Offset) {
        if !wanted.is_retry {
            self.note(wanted, end, false);
        }
    }

    fn note(&mut self, wanted: &Wanted, offset: Offset, sure: bool) {
        self.written.push(Written {
            producer: wanted.producer,
            sequence: wanted.sequence,
            records: wanted.batch.header().record_count,
            offset,
            batch: wanted.batch.clone(),
            acknowledged: false,
            sure,
        });
    }

    /// Everything below the high watermark is acknowledged; says how many batches that makes.
    pub(super) fn acknowledge(&mut self, high_watermark: Offset) -> u64 {
        let waiting = |written: &&mut Written| written.sure && !written.acknowledged && written.end() <= high_watermark;
        let mut count = 0;
        for written in self.written.iter_mut().filter(waiting) {
            written.acknowledged = true;
            count += 1;
        }
        count
    }

    /// Holds what was found to what was written: a beginning of it, nothing twice, nothing in another order, nothing changed, and all
    /// below `keep`. Only where it `may_lose` may something be gone that was acknowledged. What is gone is forgotten.
    pub(super) fn compare(&mut self, found: &[Found], keep: Offset, may_lose: bool) -> Result<Lost, String> {
        if found.len() > self.written.len() {
            return Err(format!("{} batches are there, {} were written", found.len(), self.written.len()));
        }
        found.iter().zip(&self.written).try_for_each(|(found, written)| agree(found, written))?;
        let gone = self.written.split_off(found.len());
        let mut lost = Lost::default();
        for gone in gone {
            if gone.sure && gone.end() <= keep {
                return Err(format!("the batch at {} is gone, and all below {keep} was to be kept", gone.offset));
            }
            if gone.acknowledged && !may_lose {
                return Err(format!("the acknowledged batch at {} is gone", gone.offset));
            }
            if gone.acknowledged {
                lost.batches += 1;
                lost.records += gone.records as u64;
            }
        }
        // What is there after all counts from now on.
        self.written.iter_mut().for_each(|written| written.sure = true);
        Ok(lost)
    }

    /// Holds what was read of a log with a rotten byte to what was written: the rot is found, and what lies before it is right.
    pub(super) fn find_rot(&self, read: &Rotten) -> Result<u64, String> {
        read.sound.iter().zip(&self.written).try_for_each(|(found, written)| agree(found, written))?;
        if read.ended_in_rot { Ok(1) } else { Err("a rotten byte was read as if nothing were wrong".to_owned()) }
    }
}

fn agree(found: &Found, written: &Written) -> Result<(), String> {
    let same = found.offset == written.offset
        && found.producer == ProducerId(written.producer as i64)
        && found.sequence == written.sequence
        && found.body == written.batch.body();
    if same { Ok(()) } else { Err(format!("{found:?} is there, {written:?} was written")) }
}

fn settings(producer: usize, sequence: i32) -> Settings {
    let producer = Producer { id: ProducerId(producer as i64), epoch: ProducerEpoch(0), base_sequence: sequence };
    Settings { producer: Some(producer), ..Settings::default() }
}

fn fresh(producer: usize, sequence: i32, records: i32, draw: u64) -> Batch {
    let mut builder = Builder::new(settings(producer, sequence));
    for record in 0..records {
        let value = format!("{producer}/{}/{draw}", sequence + record);
        let entry = Entry { timestamp: super::shelf::BEGUN, value: Some(value.as_bytes()), ..Entry::default() };
        builder.append(&entry).expect("a few small records fit a batch");
    }
    builder.finish()
}
