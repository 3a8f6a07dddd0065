//! Each topic is cut into neighbouring pieces, the first members getting the longer ones (`RangeAssignor`).

use super::{Counts, Member, Plan, in_order, nothing_for_all, partitions_of};

pub(super) fn plan(members: &[Member], counts: &Counts) -> Plan {
    let mut plan = nothing_for_all(members);
    for (topic, count) in counts {
        let readers = in_order(members.iter().filter(|member| member.topics.contains(topic)));
        if readers.is_empty() {
            continue;
        }
        let (share, longer) = (count / readers.len(), count % readers.len());
        let mut partitions = partitions_of(topic, *count);
        for (place, reader) in readers.iter().enumerate() {
            let piece = partitions.by_ref().take(share + usize::from(place < longer));
            plan.entry(reader.id.clone()).or_default().extend(piece);
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use dohle_base::TopicName;

    use super::*;

    fn check(members: &[(&str, &str)], counts: &[(&str, usize)], expect: &str) {
        let name = |text: &str| TopicName::parse(text).unwrap();
        let members: Vec<Member> = members
            .iter()
            .map(|(id, topics)| Member {
                id: (*id).to_owned(),
                topics: topics.split_whitespace().map(name).collect(),
                ..Member::default()
            })
            .collect();
        let counts = counts.iter().map(|(topic, count)| (name(topic), *count)).collect();
        let shown: Vec<String> = plan(&members, &counts)
            .iter()
            .map(|(id, partitions)| {
                let partitions: BTreeSet<String> = partitions.iter().map(ToString::to_string).collect();
                format!("{id}: {}", partitions.into_iter().collect::<Vec<_>>().join(" "))
            })
            .collect();
        assert_eq!(shown.join("; "), expect);
    }

    #[test]
    fn topics_are_cut_into_neighbouring_pieces() {
        check(&[("a", "t")], &[("t", 2)], "a: t-0 t-1");
        check(&[("a", "t u"), ("b", "t u")], &[("t", 3), ("u", 3)], "a: t-0 t-1 u-0 u-1; b: t-2 u-2");
        check(&[("a", "t"), ("b", "t"), ("c", "t")], &[("t", 2)], "a: t-0; b: t-1; c: ");
        check(&[("a", "t"), ("b", "t u")], &[("t", 3), ("u", 2)], "a: t-0 t-1; b: t-2 u-0 u-1");
        check(&[("a", "gone")], &[], "a: ");
    }
}
