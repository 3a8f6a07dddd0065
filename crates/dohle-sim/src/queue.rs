//! What will happen, in order: by time, and by lot where times are equal.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use dohle_base::{Instant, Rng};

/// Events that wait for their time.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    order: BinaryHeap<Reverse<(Instant, u64, u64)>>,
    events: BTreeMap<u64, E>,
    next: u64,
    lots: Rng,
}

impl<E> Queue<E> {
    pub(crate) fn new(seed: u64) -> Self {
        Self { order: BinaryHeap::new(), events: BTreeMap::new(), next: 0, lots: Rng::new(seed) }
    }

    pub(crate) fn push(&mut self, at: Instant, event: E) {
        let id = self.next;
        self.next += 1;
        self.order.push(Reverse((at, self.lots.next_u64(), id)));
        self.events.insert(id, event);
    }

    /// The next event and its time.
    pub(crate) fn pop(&mut self) -> Option<(Instant, E)> {
        let Reverse((at, _, id)) = self.order.pop()?;
        let event = self.events.remove(&id).expect("an event happens once");
        Some((at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(seed: u64) -> Vec<u32> {
        let mut queue = Queue::new(seed);
        for event in 0..20 {
            queue.push(Instant(u64::from(event % 2)), event);
        }
        std::iter::from_fn(|| queue.pop()).map(|(_, event)| event).collect()
    }

    #[test]
    fn time_decides_and_then_the_seed() {
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        assert!(order(3)[..10].iter().all(|event| event % 2 == 0));
    }
}
