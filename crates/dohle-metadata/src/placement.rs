//! Which brokers hold the partitions of a new topic: in stripes over racks and brokers, so that leaders and replicas
//! are spread evenly and the replicas of one partition stand in as many racks as there are.
//!
//! Owns the choice, repeatable by its seed; knows nothing of topics. Follows Kafka's `StripedReplicaPlacer`
//! (KIP-631), but that a rack goes on to its next broker when it has led and not with every partition: there, with as
//! many racks as brokers in each, one broker of a rack leads for all.
//! Laws: a partition's replicas are distinct; its first is not fenced; while any rack is unused, no rack is used
//! twice.

use std::collections::BTreeMap;

use dohle_base::{BrokerId, Rng};

/// A broker that could hold a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub id: BrokerId,
    /// Where it stands. Those that do not say stand together.
    pub rack: Option<String>,
    /// A fenced broker holds replicas, after those that are not, and never the first.
    pub fenced: bool,
}

/// Why nothing can be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unplaceable {
    /// A partition needs at least one replica.
    #[error("the replication factor must be positive, it is {0}")]
    NoReplicas(i16),
    /// Nobody could lead.
    #[error("no broker is ready to lead: all are fenced, leaving or take no new partitions")]
    NobodyLeads,
    /// There are more replicas than brokers.
    #[error("replication factor {wanted} needs as many brokers, and {available} can take partitions")]
    TooFewBrokers {
        /// The replication factor.
        wanted: i16,
        /// How many brokers could hold a replica.
        available: usize,
    },
}

/// The replicas of `partitions` new partitions, the preferred leader first.
pub fn place(
    candidates: &[Candidate],
    partitions: usize,
    replication_factor: i16,
    rng: &mut Rng,
) -> Result<Vec<Vec<BrokerId>>, Unplaceable> {
    let wanted = usize::try_from(replication_factor).unwrap_or(0);
    if wanted == 0 {
        return Err(Unplaceable::NoReplicas(replication_factor));
    }
    if candidates.iter().all(|candidate| candidate.fenced) {
        return Err(Unplaceable::NobodyLeads);
    }
    if wanted > candidates.len() {
        return Err(Unplaceable::TooFewBrokers { wanted: replication_factor, available: candidates.len() });
    }
    let mut racks = Racks::new(candidates, rng);
    Ok((0..partitions).map(|_| racks.next_partition(wanted, rng)).collect())
}

/// All racks, and the one with which the next partition begins.
struct Racks {
    racks: Vec<Rack>,
    first: usize,
    /// How many partitions were placed since the last shuffle.
    round: usize,
    ready: usize,
}

impl Racks {
    fn new(candidates: &[Candidate], rng: &mut Rng) -> Self {
        let mut by_name: BTreeMap<Option<&str>, Rack> = BTreeMap::new();
        for candidate in candidates {
            let rack = by_name.entry(candidate.rack.as_deref()).or_default();
            if candidate.fenced { &mut rack.fenced } else { &mut rack.ready }.brokers.push(candidate.id);
        }
        let mut racks: Vec<Rack> = by_name.into_values().collect();
        racks.iter_mut().for_each(|rack| rack.begin(rng));
        let first = rng.below(racks.len() as u64) as usize;
        let ready = racks.iter().map(|rack| rack.ready.brokers.len()).sum();
        Self { racks, first, round: 0, ready }
    }

    fn next_partition(&mut self, replicas: usize, rng: &mut Rng) -> Vec<BrokerId> {
        if self.round == self.ready && self.ready > 1 {
            self.shuffle(rng);
        }
        let round = self.round;
        let (leader, leaders_rack) = self.leader(round);
        let mut chosen = vec![leader];
        let mut unused = Some(leaders_rack);
        let mut place = self.first;
        while chosen.len() < replicas {
            // The leader's rack has had its turn in the first lap.
            if unused == Some(place) {
                unused = None;
            } else {
                chosen.extend(self.racks[place].next(round));
            }
            place = (place + 1) % self.racks.len();
        }
        self.round += 1;
        self.first = (self.first + 1) % self.racks.len();
        chosen
    }

    /// The first broker that may lead, and its rack.
    fn leader(&mut self, round: usize) -> (BrokerId, usize) {
        let count = self.racks.len();
        for step in 0..count {
            let place = (self.first + step) % count;
            if let Some(broker) = self.racks[place].ready.lead(round) {
                return (broker, place);
            }
        }
        unreachable!("somebody is ready, and nobody was taken in this round yet")
    }

    fn shuffle(&mut self, rng: &mut Rng) {
        shuffle(&mut self.racks, rng);
        self.racks.iter_mut().for_each(|rack| rack.shuffle(rng));
        self.round = 0;
    }
}

/// The brokers of one rack.
#[derive(Default)]
struct Rack {
    ready: Stripe,
    fenced: Stripe,
}

impl Rack {
    fn begin(&mut self, rng: &mut Rng) {
        self.ready.begin(rng);
        self.fenced.begin(rng);
    }

    fn next(&mut self, round: usize) -> Option<BrokerId> {
        self.ready.next(round).or_else(|| self.fenced.lead(round))
    }

    fn shuffle(&mut self, rng: &mut Rng) {
        self.ready.shuffle(rng);
        self.fenced.shuffle(rng);
    }
}

/// Brokers in a ring. For one partition each broker is taken once, from the start on.
#[derive(Default)]
struct Stripe {
    brokers: Vec<BrokerId>,
    start: usize,
    taken: usize,
    /// The partition for which it was asked last.
    round: Option<usize>,
    /// Whether the next partition begins one further on.
    moves_on: bool,
}

impl Stripe {
    fn begin(&mut self, rng: &mut Rng) {
        self.brokers.sort_unstable();
        if !self.brokers.is_empty() {
            self.start = rng.below(self.brokers.len() as u64) as usize;
        }
    }

    /// The next broker, after which another one is to have its turn.
    fn lead(&mut self, round: usize) -> Option<BrokerId> {
        let broker = self.next(round);
        self.moves_on |= broker.is_some();
        broker
    }

    fn next(&mut self, round: usize) -> Option<BrokerId> {
        if self.round != Some(round) {
            self.round = Some(round);
            self.taken = 0;
            self.start += usize::from(std::mem::take(&mut self.moves_on));
        }
        if self.taken == self.brokers.len() {
            return None;
        }
        let broker = self.brokers[(self.start + self.taken) % self.brokers.len()];
        self.taken += 1;
        Some(broker)
    }

    /// Rounds are counted anew, so what was taken in one of the same number must be forgotten.
    fn shuffle(&mut self, rng: &mut Rng) {
        shuffle(&mut self.brokers, rng);
        self.round = None;
    }
}

/// Fisher and Yates.
fn shuffle<T>(items: &mut [T], rng: &mut Rng) {
    for place in (1..items.len()).rev() {
        items.swap(place, rng.below(place as u64 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn candidate(id: i32, rack: &str, fenced: bool) -> Candidate {
        Candidate { id: BrokerId(id), rack: (!rack.is_empty()).then(|| rack.to_owned()), fenced }
    }

    fn in_three_racks() -> Vec<Candidate> {
        (0..9).map(|id| candidate(id, ["a", "b", "c"][id as usize % 3], false)).collect()
    }

    #[test]
    fn what_cannot_be_placed_is_refused() {
        let (two, rng) = ([candidate(0, "", false), candidate(1, "", true)], &mut Rng::new(1));
        assert_eq!(place(&two, 1, 0, rng), Err(Unplaceable::NoReplicas(0)));
        assert_eq!(place(&two, 1, 3, rng), Err(Unplaceable::TooFewBrokers { wanted: 3, available: 2 }));
        assert_eq!(place(&two[1..], 1, 1, rng), Err(Unplaceable::NobodyLeads));
        assert_eq!(place(&[], 1, 1, rng), Err(Unplaceable::NobodyLeads));
    }

    #[test]
    fn one_broker_holds_everything() {
        let placed = place(&[candidate(7, "", false)], 3, 1, &mut Rng::new(1)).unwrap();
        assert_eq!(placed, vec![vec![BrokerId(7)]; 3]);
    }

    #[test]
    fn replicas_are_distinct_and_spread_over_the_racks() {
        for seed in 0..200 {
            let placed = place(&in_three_racks(), 30, 3, &mut Rng::new(seed)).unwrap();
            for replicas in placed {
                let racks: BTreeSet<i32> = replicas.iter().map(|broker| broker.0 % 3).collect();
                assert_eq!(racks.len(), 3, "seed {seed}: {replicas:?}");
            }
        }
    }

    #[test]
    fn everybody_leads_as_much_as_the_others() {
        for seed in 0..200 {
            let placed = place(&in_three_racks(), 9, 3, &mut Rng::new(seed)).unwrap();
            let leaders: BTreeSet<BrokerId> = placed.iter().map(|replicas| replicas[0]).collect();
            assert_eq!(leaders.len(), 9, "seed {seed}");
        }
    }

    #[test]
    fn everybody_holds_as_much_as_the_others() {
        for seed in 0..200 {
            let placed = place(&in_three_racks(), 18, 2, &mut Rng::new(seed)).unwrap();
            for broker in 0..9 {
                let held = placed.iter().filter(|replicas| replicas.contains(&BrokerId(broker))).count();
                assert_eq!(held, 4, "seed {seed}: broker {broker} of {placed:?}");
            }
        }
    }

    #[test]
    fn a_fenced_broker_never_leads_and_is_taken_last() {
        let four = [candidate(0, "", true), candidate(1, "", false), candidate(2, "", false), candidate(3, "", false)];
        for seed in 0..50 {
            for replicas in place(&four, 12, 3, &mut Rng::new(seed)).unwrap() {
                assert!(!replicas.contains(&BrokerId(0)), "seed {seed}: {replicas:?}");
            }
            for replicas in place(&four, 12, 4, &mut Rng::new(seed)).unwrap() {
                assert_ne!(replicas[0], BrokerId(0), "seed {seed}: {replicas:?}");
            }
        }
    }

    #[test]
    fn any_shape_of_cluster_gives_distinct_replicas() {
        for seed in 0..500 {
            let rng = &mut Rng::new(seed);
            let count = 1 + rng.below(12) as i32;
            let racks = ["", "a", "b", "c", "d"];
            let brokers: Vec<Candidate> =
                (0..count).map(|id| candidate(id, racks[rng.below(5) as usize], id > 0 && rng.chance(300))).collect();
            let factor = 1 + rng.below(count as u64) as i16;
            for replicas in place(&brokers, 40, factor, rng).unwrap() {
                let distinct: BTreeSet<BrokerId> = replicas.iter().copied().collect();
                assert_eq!(distinct.len(), factor as usize, "seed {seed}: {replicas:?}");
                assert!(brokers.iter().any(|broker| broker.id == replicas[0] && !broker.fenced));
            }
        }
    }
}
