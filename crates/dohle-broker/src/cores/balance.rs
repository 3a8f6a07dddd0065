//! Where tasks go: pure.
//!
//! Laws: a new task goes to the first core that has time to spare: to wake a core that sleeps takes long, and nobody has to be woken on the same one. A core
//! that is crowded, and not for a moment only, hands over half of what sets it apart from the idlest, and no task that is more than that, which would only be
//! too much elsewhere. Where two cores could long have been one that is not crowded, the tasks of the later go to the earlier: a time in which all was slow
//! leaves nothing behind.

/// A core that is busy for less than this part of the time takes new tasks.
const SPARE: f64 = 0.25;
/// One that is busy for more hands over,
const CROWDED: f64 = 0.5;
/// to one that is busy for so much less.
const APART: f64 = 0.25;

/// So many looks in a row have to find a crowded core before it hands over: a machine that stands still for a moment makes all look busy. What has gone is in
/// the loads by then.
const CROWDED_LOOKS: u32 = 3;

/// Two cores that are together busy for less than this could be one. Alone it has less to do than both had: it is woken less often, and so does not come
/// near to being crowded.
const ENOUGH_FOR_ONE: f64 = 0.4;
/// So many looks in a row have to find that two cores could be one before they become one.
const CALM_LOOKS: u32 = 20;

/// What a core has done since the last look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    /// The part of the time in which it did not sleep.
    pub(super) busy: f64,
    /// What was done there by tasks that can be moved, in a unit of their own.
    pub(super) work: usize,
}

/// Tasks that do so much together are to go on on another core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handover {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) work: usize,
}

/// Which core takes a new task; 0 where there is none.
pub(super) fn place(busy: impl Iterator<Item = f64> + Clone) -> usize {
    let spare = busy.clone().position(|busy| busy < SPARE);
    let idlest = || busy.enumerate().min_by(|(_, one), (_, other)| one.total_cmp(other));
    spare.or_else(|| idlest().map(|(core, _)| core)).unwrap_or(0)
}

/// Looks from time to time who has much to do.
#[derive(Default)]
pub(super) struct Balance {
    /// Looks in a row that found a core that should hand over.
    crowded: u32,
    /// For each core, looks in a row that found that another could do its work too, and none that should hand over.
    calm: Vec<u32>,
}

impl Balance {
    /// Who hands over to whom from now until the next look.
    pub(super) fn look(&mut self, loads: &[Load]) -> Vec<Handover> {
        let relieved = relieve(loads);
        let gathered = if relieved.is_empty() { gather(loads) } else { vec![] };
        self.crowded = if relieved.is_empty() { 0 } else { self.crowded + 1 };
        self.calm.resize(loads.len(), 0);
        for (core, calm) in self.calm.iter_mut().enumerate() {
            let could_give = gathered.iter().any(|handover| handover.from == core);
            *calm = if could_give { calm.saturating_add(1) } else { 0 };
        }
        if self.crowded >= CROWDED_LOOKS {
            self.crowded = 0;
            return relieved;
        }
        // Two cores that become one stay together below what is enough for one, however much of it has gone already: nothing has to be waited for.
        gathered.into_iter().filter(|handover| self.calm[handover.from] >= CALM_LOOKS).collect()
    }
}

/// The busiest hands over to the idlest, the second to the second, so that many cores are at work after a few looks.
fn relieve(loads: &[Load]) -> Vec<Handover> {
    let mut cores: Vec<usize> = (0..loads.len()).collect();
    cores.sort_by(|one, other| loads[*other].busy.total_cmp(&loads[*one].busy));
    let pairs = cores.iter().zip(cores.iter().rev()).take(cores.len() / 2);
    pairs.filter_map(|(from, to)| share(loads, *from, *to)).collect()
}

fn share(loads: &[Load], from: usize, to: usize) -> Option<Handover> {
    let (Load { busy, work }, apart) = (loads[from], loads[from].busy - loads[to].busy);
    let work = (work as f64 * apart / busy / 2.0) as usize;
    (busy >= CROWDED && apart >= APART && work > 0).then_some(Handover { from, to, work })
}

/// The last cores that can give all they have to the first that can take it; who takes gives nothing.
fn gather(loads: &[Load]) -> Vec<Handover> {
    let mut busy: Vec<f64> = loads.iter().map(|load| load.busy).collect();
    let mut handovers: Vec<Handover> = vec![];
    for from in (0..loads.len()).rev() {
        let takes = handovers.iter().any(|handover| handover.to == from);
        let fits = |to: &f64| to + busy[from] < ENOUGH_FOR_ONE;
        let to = busy[..from].iter().position(fits).filter(|_| loads[from].work > 0 && !takes);
        if let Some(to) = to {
            busy[to] += busy[from];
            handovers.push(Handover { from, to, work: usize::MAX });
        }
    }
    handovers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loads<const N: usize>(loads: [(f64, usize); N]) -> [Load; N] {
        loads.map(|(busy, work)| Load { busy, work })
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
        assert_eq!(relieve(&loads([(0.9, 50), (0.0, 0)])), [Handover { from: 0, to: 1, work: 25 }]);
        assert_eq!(relieve(&loads([(0.4, 10), (0.8, 40)])), [Handover { from: 1, to: 0, work: 10 }]);
        for calm in [[(0.49, 50), (0.0, 0)], [(0.9, 50), (0.7, 1)], [(1.0, 1), (0.0, 0)]] {
            assert_eq!(relieve(&loads(calm)), []);
        }
    }

    #[test]
    fn a_moment_moves_nobody_and_what_was_handed_over_is_not_handed_over_twice() {
        let mut balance = Balance::default();
        let (crowded, calm) = (loads([(0.9, 50), (0.0, 0)]), loads([(0.4, 50), (0.0, 0)]));
        let mut looks = |loads: &[Load], count| (0..count).map(|_| balance.look(loads).len()).collect::<Vec<_>>();
        assert_eq!(looks(&crowded, CROWDED_LOOKS - 1), [0, 0]);
        assert_eq!(looks(&calm, 1), [0]);
        assert_eq!(looks(&crowded, 2 * CROWDED_LOOKS), [0, 0, 1, 0, 0, 1]);
    }

    #[test]
    fn two_cores_that_have_long_had_time_to_spare_together_become_one() {
        let calm = loads([(0.1, 10), (0.1, 10)]);
        let mut balance = Balance::default();
        let mut looks = |loads: &[Load], count| (0..count).flat_map(|_| balance.look(loads)).collect::<Vec<_>>();
        assert_eq!(looks(&calm, CALM_LOOKS - 1), []);
        assert_eq!(looks(&loads([(0.3, 10), (0.1, 10)]), 1), [], "a look that finds much to do begins anew");
        assert_eq!(looks(&calm, CALM_LOOKS - 1), []);
        let all = Handover { from: 1, to: 0, work: usize::MAX };
        assert_eq!(looks(&calm, 2), [all; 2], "who does little is told later");
        assert_eq!(looks(&loads([(0.2, 20), (0.0, 0)]), CALM_LOOKS), [], "nobody is left to go");
    }

    #[test]
    fn as_many_cores_stay_as_have_to() {
        let gathers = |cores: &[(f64, usize)]| {
            let loads: Vec<Load> = cores.iter().map(|(busy, work)| Load { busy: *busy, work: *work }).collect();
            gather(&loads).iter().map(|handover| (handover.from, handover.to)).collect::<Vec<_>>()
        };
        assert_eq!(gathers(&[(0.35, 9), (0.1, 5), (0.1, 5)]), [(2, 1)]);
        assert_eq!(gathers(&[(0.35, 9), (0.1, 5), (0.4, 20)]), []);
        assert_eq!(gathers(&[(0.0, 0), (0.1, 5), (0.4, 20)]), [(1, 0)]);
        assert_eq!(gathers(&[(0.1, 5), (0.1, 5), (0.1, 5), (0.1, 5)]), [(3, 0), (2, 0)], "as much as fits");
        assert_eq!(gathers(&[(0.3, 5), (0.3, 5), (0.06, 5), (0.06, 5)]), [(3, 0), (2, 1)]);
        assert_eq!(gathers(&[(0.1, 5)]), []);
    }

    #[test]
    fn each_core_has_been_calm_for_long_by_itself() {
        let mut balance = Balance::default();
        let one = loads([(0.1, 9), (0.35, 9), (0.35, 9), (0.05, 9)]);
        let all = Handover { from: 3, to: 0, work: usize::MAX };
        for look in 1..=CALM_LOOKS {
            assert_eq!(balance.look(&one), if look < CALM_LOOKS { vec![] } else { vec![all] });
        }
        // Who could give so long may not be able to let go; that says nothing of the others.
        let both = loads([(0.1, 9), (0.1, 9), (0.35, 9), (0.05, 9)]);
        assert_eq!(balance.look(&both), [all]);
    }

    /// One look at cores with tasks that do so much each, in hundredths of a core; how many have gone. Who does the most asks first.
    fn look(cores: &mut [Vec<usize>]) -> usize {
        let work = |tasks: &Vec<usize>| tasks.iter().sum::<usize>();
        let loads: Vec<Load> =
            cores.iter().map(|tasks| Load { busy: (work(tasks) as f64 / 100.0).min(1.0), work: work(tasks) }).collect();
        let mut moved = 0;
        for Handover { from, to, work: mut left } in relieve(&loads) {
            cores[from].sort_by(|one, other| other.cmp(one));
            let goes = |task: &mut usize| {
                left.checked_sub(*task).is_some_and(|rest| {
                    left = rest;
                    true
                })
            };
            let gone: Vec<usize> = cores[from].extract_if(.., goes).collect();
            moved += gone.len();
            cores[to].extend(gone);
        }
        moved
    }

    #[test]
    fn many_cores_are_at_work_after_a_few_looks() {
        let mut cores = vec![vec![]; 16];
        cores[0] = vec![1; 1_200];
        for _look in 0..8 {
            look(&mut cores);
        }
        assert!(cores.iter().all(|tasks| (40..=130).contains(&tasks.len())), "{cores:?}");
    }

    #[test]
    fn heavy_tasks_among_light_ones_come_to_rest() {
        for heavy in [vec![60], vec![22; 4], vec![45, 45], vec![90, 30]] {
            let mut cores = vec![vec![1; 12], vec![1]];
            cores[0].extend(&heavy);
            for _look in 0..4 {
                look(&mut cores);
            }
            assert_eq!(look(&mut cores), 0, "{heavy:?}: {cores:?}");
        }
    }
}
