//! Where tasks go: pure.
//!
//! Laws: new tasks gather on the first core that has time to spare, because a core that sleeps is woken slowly, and who works for each other there
//! wakes nobody; a core that has not hands over, to the idlest, half of what sets them apart.

/// A core that is busy for less than this part of the time takes new tasks.
const SPARE: f64 = 0.25;
/// One that is busy for more hands over,
const CROWDED: f64 = 0.5;
/// to one that is busy for so much less.
const APART: f64 = 0.25;

/// What a core has done since the last look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    /// The part of the time in which it did not sleep.
    pub(super) busy: f64,
    /// How many tasks that can be moved have done something.
    pub(super) stirred: usize,
}

/// So many tasks are to go on on another core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handover {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) count: usize,
}

/// Which core takes a new task; 0 where there is none.
pub(super) fn place(busy: impl Iterator<Item = f64> + Clone) -> usize {
    let spare = busy.clone().position(|busy| busy < SPARE);
    let idlest = || busy.enumerate().min_by(|(_, one), (_, other)| one.total_cmp(other));
    spare.or_else(|| idlest().map(|(core, _)| core)).unwrap_or(0)
}

/// Who hands over to whom: the busiest to the idlest, the second to the second, so that many cores are at work after a few looks.
pub(super) fn handovers(loads: &[Load]) -> Vec<Handover> {
    let mut cores: Vec<usize> = (0..loads.len()).collect();
    cores.sort_by(|one, other| loads[*other].busy.total_cmp(&loads[*one].busy));
    let pairs = cores.iter().zip(cores.iter().rev()).take(cores.len() / 2);
    pairs.filter_map(|(from, to)| handover(loads, *from, *to)).collect()
}

fn handover(loads: &[Load], from: usize, to: usize) -> Option<Handover> {
    let (Load { busy, stirred }, apart) = (loads[from], loads[from].busy - loads[to].busy);
    // One alone would only be somewhere else.
    if busy < CROWDED || apart < APART || stirred < 2 {
        return None;
    }
    let count = (stirred as f64 * apart / busy / 2.0).round() as usize;
    Some(Handover { from, to, count: count.clamp(1, stirred - 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loads<const N: usize>(loads: [(f64, usize); N]) -> [Load; N] {
        loads.map(|(busy, stirred)| Load { busy, stirred })
    }

    #[test]
    fn tasks_gather_where_there_is_time_to_spare_and_go_to_the_idlest_where_there_is_none() {
        assert_eq!(place([0.1, 0.0].into_iter()), 0);
        assert_eq!(place([0.3, 0.2, 0.0].into_iter()), 1);
        assert_eq!(place([0.5, 0.3, 0.4].into_iter()), 1);
        assert_eq!(place([].into_iter()), 0);
    }

    #[test]
    fn a_crowded_core_hands_over_half_of_what_sets_it_apart() {
        assert_eq!(handovers(&loads([(0.9, 50), (0.0, 0)])), [Handover { from: 0, to: 1, count: 25 }]);
        assert_eq!(handovers(&loads([(0.4, 10), (0.8, 40)])), [Handover { from: 1, to: 0, count: 10 }]);
        for calm in [[(0.49, 50), (0.0, 0)], [(0.9, 50), (0.7, 1)], [(1.0, 1), (0.0, 0)]] {
            assert_eq!(handovers(&loads(calm)), []);
        }
    }

    #[test]
    fn some_always_stay() {
        assert_eq!(handovers(&loads([(1.0, 2), (0.0, 0)])), [Handover { from: 0, to: 1, count: 1 }]);
    }

    #[test]
    fn many_cores_are_at_work_after_a_few_looks() {
        // Every task is as much work as every other.
        let mut tasks = [0; 16];
        tasks[0] = 1_600;
        for _look in 0..8 {
            let busy = |tasks: usize| (tasks as f64 / 150.0).min(1.0);
            for Handover { from, to, count } in
                handovers(&tasks.map(|tasks| Load { busy: busy(tasks), stirred: tasks }))
            {
                tasks[from] -= count;
                tasks[to] += count;
            }
        }
        assert!(tasks.iter().all(|tasks| (50..=220).contains(tasks)), "{tasks:?}");
    }
}
