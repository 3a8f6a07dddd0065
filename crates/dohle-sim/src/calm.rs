//! What must be true a minute after the last fault: groups are stable, every partition has its one reader, everybody gets
//! through with commits, and nobody waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dohle_coordinator::GroupId;

use crate::consumer::{Consumer, PARTITIONS};
use crate::world::World;

/// How long everything may take to come to rest.
pub(crate) const REST: Duration = Duration::from_secs(60);
/// How long ago a consumer's last good commit may be.
const COMMIT_AGE_MAX: Duration = Duration::from_secs(5);

/// Says what has not come to rest.
pub(crate) fn at_rest(world: &World) -> Result<(), String> {
    if !world.broker.is_leading() {
        return Err("the broker does not lead".to_owned());
    }
    if world.broker.waiting() > 2 * world.consumers.len() {
        return Err(format!("{} callers wait", world.broker.waiting()));
    }
    let mut groups: BTreeMap<&GroupId, Vec<&Consumer>> = BTreeMap::new();
    for consumer in &world.consumers {
        groups.entry(&consumer.kind.group).or_default().push(consumer);
    }
    groups.iter().try_for_each(|(group, consumers)| group_at_rest(world, group, consumers))
}

fn group_at_rest(world: &World, group: &GroupId, consumers: &[&Consumer]) -> Result<(), String> {
    let view = world.broker.view(group).ok_or_else(|| format!("{group} is unknown"))?;
    let state = if consumers.iter().all(|consumer| consumer.kind.alone) { "Empty" } else { "Stable" };
    if view.state != state {
        return Err(format!("{group} is {}: {:?}", view.state, view.members));
    }
    let members: BTreeSet<_> = view.members.iter().map(|member| &member.member).collect();
    let mut owned = BTreeMap::<i32, usize>::new();
    for consumer in consumers {
        let name = &consumer.kind.name;
        if !consumer.is_working() {
            return Err(format!("{name} does not work: {consumer:?}"));
        }
        if !consumer.kind.alone && !consumer.member().is_some_and(|member| members.contains(member)) {
            return Err(format!("{name} is no member of {group}"));
        }
        let committed = consumer.committed_at.map(|at| world.now.saturating_since(at));
        if consumer.owned().next().is_some() && committed.is_none_or(|age| age > COMMIT_AGE_MAX) {
            return Err(format!("{name} does not get through with its commits: {consumer:?}"));
        }
        consumer.owned().for_each(|partition| *owned.entry(partition).or_default() += 1);
    }
    let whole = (0..PARTITIONS).all(|partition| owned.get(&partition) == Some(&1));
    if whole { Ok(()) } else { Err(format!("{group}: partitions and the number of their readers: {owned:?}")) }
}
