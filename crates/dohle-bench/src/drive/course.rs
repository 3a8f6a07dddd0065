//! Where the requests of one producer go, one after the other.

use dohle_records::batch::header::sequence_after;

/// A topic's partitions on one broker.
#[derive(Clone, Debug)]
struct Stop {
    topic: Vec<u8>,
    partitions: Vec<i32>,
    /// The sequence of the next batch of each.
    sequences: Vec<i32>,
    next: usize,
}

/// An endless way past all partitions of all topics that one broker leads: each request is for one topic and for as many
/// partitions in a row as it has batches.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    stops: Vec<Stop>,
    next: usize,
}

/// One batch's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) partition: i32,
    pub(crate) sequence: i32,
}

impl Course {
    /// Past these topics and their partitions. Producers with other numbers begin elsewhere.
    pub(crate) fn new(topics: impl Iterator<Item = (Vec<u8>, Vec<i32>)>, number: usize, batches: usize) -> Self {
        let stop = |(topic, partitions): (Vec<u8>, Vec<i32>)| Stop {
            sequences: vec![0; partitions.len()],
            next: number * batches % partitions.len(),
            topic,
            partitions,
        };
        let stops: Vec<Stop> = topics.map(stop).collect();
        let next = number % stops.len();
        Self { stops, next }
    }

    /// The topic of the next request, and a visit to each of its `batches` places. Their sequences go on by `records`.
    pub(crate) fn take(&mut self, batches: usize, records: u64, mut each: impl FnMut(usize, Target)) -> &[u8] {
        let count = self.stops.len();
        let stop = &mut self.stops[self.next];
        self.next = (self.next + 1) % count;
        for batch in 0..batches {
            let place = stop.next;
            stop.next = (place + 1) % stop.partitions.len();
            let sequence = stop.sequences[place];
            stop.sequences[place] = sequence_after(sequence, records as i32);
            each(batch, Target { partition: stop.partitions[place], sequence });
        }
        &stop.topic
    }
}

#[cfg(test)]
mod tests {
    use super::Course;

    #[test]
    fn every_partition_has_its_turn_and_its_own_sequence() {
        let topics = [(b"a".to_vec(), vec![0, 1, 2]), (b"b".to_vec(), vec![5])];
        let mut course = Course::new(topics.into_iter(), 1, 1);
        let mut seen = vec![];
        for _ in 0..8 {
            let mut target = None;
            let topic = course.take(1, 10, |_, it| target = Some((it.partition, it.sequence))).to_vec();
            seen.push((topic[0], target.unwrap()));
        }
        let expected = [
            (b'b', (5, 0)),
            (b'a', (1, 0)),
            (b'b', (5, 10)),
            (b'a', (2, 0)),
            (b'b', (5, 20)),
            (b'a', (0, 0)),
            (b'b', (5, 30)),
            (b'a', (1, 10)),
        ];
        assert_eq!(seen, expected);
    }
}
