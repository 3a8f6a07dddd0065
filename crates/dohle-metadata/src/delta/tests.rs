use super::*;
use crate::controller::Command;
use crate::controller::topics::TopicRef;
use crate::fixture::{SESSION, World};

fn partitions(delta: &Delta) -> Vec<(String, i32, bool)> {
    let told = |change: &PartitionDelta| (change.topic.name.to_string(), change.index.0, change.before.is_none());
    delta.partitions.iter().map(told).collect()
}

fn name(name: &str) -> TopicRef {
    TopicRef::Name(name.to_owned())
}

#[test]
fn nothing_changes_between_an_image_and_itself() {
    let mut world = World::of(1);
    world.make("t", 2, 1);
    assert!(Delta::between(world.image(), &world.image().clone()).is_empty());
}

#[test]
fn a_new_topic_comes_with_its_partitions() {
    let mut world = World::of(1);
    world.make("t", 1, 1);
    let old = world.image().clone();
    world.make("u", 2, 1);
    let delta = Delta::between(&old, world.image());
    assert_eq!(delta.topics_created.len(), 1);
    assert_eq!(partitions(&delta), [("u".to_owned(), 0, true), ("u".to_owned(), 1, true)]);
    let local = delta.local(BrokerId(1));
    assert_eq!((local.lead.len(), local.follow.len(), local.stop.len()), (2, 0, 0));
    assert!(delta.brokers.is_empty() && delta.configs.is_empty());
}

#[test]
fn a_topic_made_anew_under_its_old_name_stops_and_begins() {
    let mut world = World::of(1);
    world.make("t", 1, 1);
    let old = world.image().clone();
    world.ask(Command::DeleteTopics(vec![name("t")]));
    world.make("t", 1, 1);
    let delta = Delta::between(&old, world.image());
    assert_eq!((delta.topics_deleted.len(), delta.topics_created.len()), (1, 1));
    assert_ne!(delta.topics_deleted[0].id, delta.topics_created[0].id);
    let local = delta.local(BrokerId(1));
    assert_eq!((local.stop[0].0.id, local.lead[0].topic.id), (delta.topics_deleted[0].id, delta.topics_created[0].id));
}

#[test]
fn a_broker_that_went_silent_changes_who_leads() {
    let mut world = World::of(2);
    world.make("t", 2, 2);
    let old = world.image().clone();
    world.wait(SESSION / 2);
    world.beat(1);
    world.wait(SESSION / 2);
    let delta = Delta::between(&old, world.image());
    assert_eq!(partitions(&delta), [("t".to_owned(), 0, false), ("t".to_owned(), 1, false)]);
    assert_eq!(delta.local(BrokerId(1)).lead.len(), 2);
    assert_eq!(delta.local(BrokerId(2)).follow.len(), 2);
    let fenced = |broker: &Option<Arc<Broker>>| broker.as_ref().map(|broker| broker.fenced);
    let changed: Vec<_> =
        delta.brokers.iter().map(|change| (change.id, fenced(&change.before), fenced(&change.after))).collect();
    assert_eq!(changed, [(BrokerId(2), Some(false), Some(true))]);
}

#[test]
fn a_topic_that_goes_is_stopped_and_its_configuration_ends() {
    let mut world = World::of(1);
    let mut topic = crate::controller::topics::NewTopic::named("t");
    topic.configs = vec![("retention.ms".to_owned(), Some("5".to_owned()))];
    world.create(vec![topic]);
    let old = world.image().clone();
    world.ask(Command::DeleteTopics(vec![name("t")]));
    let delta = Delta::between(&old, world.image());
    assert_eq!(delta.local(BrokerId(1)).stop.len(), 2);
    assert_eq!(delta.configs.iter().map(ToString::to_string).collect::<Vec<_>>(), ["topic t"]);
}
