//! As even as the subscriptions allow, and every member keeps what it may keep (`CooperativeStickyAssignor`, KIP-429).
//!
//! A partition never changes hands within one generation: it is first taken from its owner, and given away only in the
//! rebalance that follows, when its owner has let go.

use std::collections::{BTreeMap, BTreeSet};

use super::{Counts, Member, Plan, in_order, nothing_for_all, partitions_of};
use crate::core::TopicPartition;

pub(super) fn plan(members: &[Member], counts: &Counts) -> Plan {
    let members = in_order(members);
    let owners = owners(&members, counts);
    let mut plan = balance(&members, counts, &owners);
    for (member, partitions) in &mut plan {
        partitions.retain(|partition| owners.get(partition).is_none_or(|owner| owner == member));
    }
    plan
}

/// Who holds which partition rightfully: of two that claim one, the claim of the later generation stands; of two claims of
/// one generation, neither.
fn owners(members: &[&Member], counts: &Counts) -> BTreeMap<TopicPartition, String> {
    let mut claims: BTreeMap<TopicPartition, (i32, Option<String>)> = BTreeMap::new();
    for member in members {
        for partition in member.owned.iter().filter(|partition| wants(member, partition, counts)) {
            let claim = (member.generation, Some(member.id.clone()));
            match claims.get_mut(partition) {
                None => drop(claims.insert(partition.clone(), claim)),
                Some(standing) if standing.0 < claim.0 => *standing = claim,
                Some(standing) if standing.0 == claim.0 => standing.1 = None,
                Some(_) => {}
            }
        }
    }
    claims.into_iter().filter_map(|(partition, (_, owner))| Some((partition, owner?))).collect()
}

fn wants(member: &Member, partition: &TopicPartition, counts: &Counts) -> bool {
    let count = counts.get(&partition.topic).copied().unwrap_or(0);
    member.topics.contains(&partition.topic) && (0..count as i32).contains(&partition.partition.0)
}

/// The even plan: what is owned stays, the rest goes to whoever has least, then the fullest give to the emptiest.
fn balance(members: &[&Member], counts: &Counts, owners: &BTreeMap<TopicPartition, String>) -> Plan {
    let mut plan = nothing_for_all(&members.iter().copied().cloned().collect::<Vec<_>>());
    for (partition, owner) in owners {
        plan.entry(owner.clone()).or_default().insert(partition.clone());
    }
    let all = counts.iter().flat_map(|(topic, count)| partitions_of(topic, *count));
    for partition in all.filter(|partition| !owners.contains_key(partition)) {
        let readers = members.iter().filter(|member| member.topics.contains(&partition.topic));
        if let Some(reader) = readers.min_by_key(|member| plan[&member.id].len()) {
            plan.entry(reader.id.clone()).or_default().insert(partition);
        }
    }
    while let Some((from, to, partition)) = unfair(members, &plan) {
        plan.entry(from).or_default().remove(&partition);
        plan.entry(to).or_default().insert(partition);
    }
    plan
}

/// A partition whose move makes the plan more even. Each move shrinks the sum of the squares, so moving ends.
fn unfair(members: &[&Member], plan: &Plan) -> Option<(String, String, TopicPartition)> {
    let mut by_load: Vec<&&Member> = members.iter().collect();
    by_load.sort_by_key(|member| plan[&member.id].len());
    for to in &by_load {
        for from in by_load.iter().rev().take_while(|from| plan[&from.id].len() > plan[&to.id].len() + 1) {
            // The last one, so that what stays is what was first.
            let partitions: &BTreeSet<TopicPartition> = &plan[&from.id];
            if let Some(partition) = partitions.iter().rev().find(|partition| to.topics.contains(&partition.topic)) {
                return Some((from.id.clone(), to.id.clone(), partition.clone()));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use dohle_base::{Partition, TopicName};

    use super::*;

    fn name(text: &str) -> TopicName {
        TopicName::parse(text).unwrap()
    }

    fn partition(text: &str) -> TopicPartition {
        let (topic, number) = text.rsplit_once('-').unwrap();
        TopicPartition::new(name(topic), Partition(number.parse().unwrap()))
    }

    /// `id topic[,topic] owned…` is one member.
    fn members(lines: &[&str]) -> Vec<Member> {
        let member = |line: &&str| {
            let mut words = line.split_whitespace();
            Member {
                id: words.next().unwrap().to_owned(),
                topics: words.next().unwrap().split(',').map(name).collect(),
                owned: words.map(partition).collect(),
                ..Member::default()
            }
        };
        lines.iter().map(member).collect()
    }

    fn check(lines: &[&str], counts: &[(&str, usize)], expect: &str) {
        let counts = counts.iter().map(|(topic, count)| (name(topic), *count)).collect();
        let shown: Vec<String> = plan(&members(lines), &counts)
            .iter()
            .map(|(id, partitions)| {
                let partitions: Vec<String> = partitions.iter().map(ToString::to_string).collect();
                format!("{id}: {}", partitions.join(" "))
            })
            .collect();
        assert_eq!(shown.join("; "), expect);
    }

    #[test]
    fn a_fresh_group_is_shared_out_evenly() {
        check(&["a t", "b t"], &[("t", 4)], "a: t-0 t-2; b: t-1 t-3");
        check(&["a t,u", "b u"], &[("t", 2), ("u", 2)], "a: t-0 t-1; b: u-0 u-1");
    }

    #[test]
    fn a_newcomer_gets_nothing_before_the_owner_let_go() {
        check(&["a t t-0 t-1 t-2 t-3", "b t"], &[("t", 4)], "a: t-0 t-1; b: ");
        check(&["a t t-0 t-1", "b t"], &[("t", 4)], "a: t-0 t-1; b: t-2 t-3");
    }

    #[test]
    fn what_a_lost_member_held_goes_to_the_others_and_nothing_else_moves() {
        check(&["a t t-0 t-1", "b t t-2 t-3"], &[("t", 6)], "a: t-0 t-1 t-4; b: t-2 t-3 t-5");
    }

    #[test]
    fn a_claim_that_two_members_make_is_nobodys() {
        check(&["a t t-0 t-1", "b t t-0"], &[("t", 2)], "a: t-1; b: t-0");
    }
}
