//! Scripts: each line is `<ms> <event> => <effects>`, and an empty right side says that nothing is to be done.

use dohle_base::Partition;

use super::*;

struct Script {
    membership: Membership,
}

fn topic() -> TopicName {
    TopicName::parse("t").unwrap()
}

fn partitions(text: &str) -> BTreeSet<TopicPartition> {
    let numbers = text.split(',').filter(|number| !number.is_empty());
    numbers.map(|number| TopicPartition::new(topic(), Partition(number.parse().unwrap()))).collect()
}

fn show(partitions: &BTreeSet<TopicPartition>) -> String {
    let numbers: Vec<String> = partitions.iter().map(|partition| partition.partition.to_string()).collect();
    numbers.join(",")
}

fn failure(text: &str) -> Failure {
    match text {
        "silence" => Failure::Silence,
        name => match name.strip_prefix("id:") {
            Some(id) => Failure::NeedsId(id.to_owned()),
            None => {
                let code = ErrorCode::ALL.iter().find(|code| code.name() == name);
                Failure::Refused(*code.unwrap_or_else(|| panic!("no code {name}")))
            }
        },
    }
}

fn answer<T>(text: &str, good: impl FnOnce(&str) -> T) -> Result<T, Failure> {
    text.strip_prefix('!').map_or_else(|| Ok(good(text)), |text| Err(failure(text)))
}

impl Script {
    fn new(assignor: Assignor) -> Self {
        let settings = Settings {
            group: "g".to_owned(),
            instance: None,
            session_timeout: Duration::from_secs(45),
            poll_interval_max: Duration::from_secs(30),
            heartbeat_interval: Duration::from_secs(3),
            assignors: vec![assignor],
            backoff: Backoff { first: Duration::from_millis(100), most: Duration::from_secs(1) },
        };
        Self { membership: Membership::new(Instant::ZERO, settings, Rng::new(1)) }
    }

    fn event(&self, text: &str) -> Event {
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        let assignor = self.membership.settings.assignors[0];
        match verb {
            "subscribe" => Event::Subscribed([topic()].into()),
            "poll" => Event::Polled,
            "released" => Event::Released,
            "found" => Event::Found(answer(rest, |_| BrokerId(1))),
            "joined" => Event::Joined(answer(rest, |generation| Joined {
                member: "m".to_owned(),
                generation: generation.parse().unwrap(),
                assignor,
                members: None,
            })),
            "leads" => Event::Joined(Ok(Joined {
                member: "m".to_owned(),
                generation: rest.parse().unwrap(),
                assignor,
                members: Some(vec![Member { id: "m".to_owned(), ..Member::default() }]),
            })),
            "planned" => Event::Planned([("m".to_owned(), partitions(rest))].into()),
            "synced" => Event::Synced(answer(rest, partitions)),
            "beaten" => Event::Beaten(answer(rest, |_| ())),
            "changed" => Event::TopicsChanged,
            "close" => Event::Closed,
            "left" => Event::Left,
            "tick" => Event::Tick,
            other => panic!("no event {other}"),
        }
    }

    fn run(&mut self, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (left, expect) = line.split_once("=>").unwrap();
            let (ms, event) = left.trim().split_once(' ').unwrap();
            let now = Instant::ZERO + Duration::from_millis(ms.parse().unwrap());
            let mut effects = vec![];
            self.membership.step(now, self.event(event), &mut effects);
            let shown: Vec<String> = effects.iter().map(show_effect).collect();
            assert_eq!(shown.join("; "), expect.trim(), "{line}");
        }
    }
}

fn show_effect(effect: &Effect) -> String {
    match effect {
        Effect::FindCoordinator => "find".to_owned(),
        Effect::Join { member } => format!("join {member}").trim().to_owned(),
        Effect::Plan { members, .. } => format!("plan {}", members.len()),
        Effect::Sync { plan, .. } => format!("sync {}", plan.get("m").map(show).unwrap_or_default()).trim().to_owned(),
        Effect::Heartbeat => "heartbeat".to_owned(),
        Effect::Leave { member } => format!("leave {member}"),
        Effect::Release { partitions, lost: false } => format!("release {}", show(partitions)),
        Effect::Release { partitions, lost: true } => format!("lose {}", show(partitions)),
        Effect::Assign { partitions } => format!("assign {}", show(partitions)).trim().to_owned(),
        Effect::Fail(code) => format!("fail {code}"),
    }
}

const STABLE: &str = "
    0 subscribe => find
    0 found => join
    0 joined !id:m => join m
    0 leads 1 => plan 1
    0 planned 0,1 => sync 0,1
    0 synced 0,1 => assign 0,1
";

#[test]
fn a_leader_plans_and_lives() {
    let mut script = Script::new(Assignor::Range);
    script.run(STABLE);
    script.run(
        "
        2999 tick =>
        3000 tick => heartbeat
        6500 tick =>
        6500 beaten => heartbeat
    ",
    );
    assert_eq!(script.membership.identity(), Some(("m", 1)));
}

#[test]
fn a_follower_only_waits_for_the_plan() {
    Script::new(Assignor::Range).run(
        "
        0 subscribe => find
        0 found => join
        0 joined 4 => sync
        0 synced 2 => assign 2
    ",
    );
}

#[test]
fn an_eager_member_lets_go_of_all_before_it_joins_again() {
    let mut script = Script::new(Assignor::Range);
    script.run(STABLE);
    script.run(
        "
        3000 tick => heartbeat
        3010 beaten !REBALANCE_IN_PROGRESS => release 0,1
        6000 tick => heartbeat
        6010 beaten !REBALANCE_IN_PROGRESS =>
        7000 released => join m
        7010 joined 2 => sync
        7020 synced 1 => assign 1
    ",
    );
}

#[test]
fn a_cooperative_member_keeps_what_it_may_and_joins_again_after_it_let_go() {
    let mut script = Script::new(Assignor::CooperativeSticky);
    script.run(STABLE);
    script.run(
        "
        3000 tick => heartbeat
        3010 beaten !REBALANCE_IN_PROGRESS => join m
        3020 joined 2 => sync
        3030 synced 0 => assign; release 1
        3040 released => join m
        3050 joined 3 => sync
        3060 synced 0 => assign
    ",
    );
}

#[test]
fn a_forgotten_member_loses_what_it_held_and_comes_back_as_a_stranger() {
    let mut script = Script::new(Assignor::Range);
    script.run(STABLE);
    script.run(
        "
        3000 tick => heartbeat
        3010 beaten !UNKNOWN_MEMBER_ID => lose 0,1; join
        3020 joined !id:m => join m
    ",
    );
}

#[test]
fn a_lost_coordinator_is_sought_and_the_member_stays_a_member() {
    let mut script = Script::new(Assignor::Range);
    script.run(STABLE);
    script.run(
        "
        3000 tick => heartbeat
        3010 beaten !NOT_COORDINATOR =>
        3200 tick => find
        3210 found !COORDINATOR_NOT_AVAILABLE =>
        3500 tick => find
        3510 found =>
        6000 tick => heartbeat
        6010 beaten =>
    ",
    );
    assert_eq!(script.membership.identity(), Some(("m", 1)));
}

#[test]
fn a_join_that_is_not_answered_is_made_again_with_another_coordinator() {
    Script::new(Assignor::Range).run(
        "
        0 subscribe => find
        0 found => join
        0 joined !silence =>
        200 tick => find
        200 found => join
        210 joined !COORDINATOR_LOAD_IN_PROGRESS =>
        400 tick => join
    ",
    );
}

#[test]
fn a_member_whose_caller_does_not_poll_leaves_and_comes_back_when_it_does() {
    let mut script = Script::new(Assignor::Range);
    script.run(STABLE);
    script.run(
        "
        29000 tick => heartbeat
        29001 beaten =>
        30000 tick => lose 0,1; leave m
        30010 left =>
        99000 tick =>
        99000 poll => join
    ",
    );
}

#[test]
fn a_refusal_for_good_reaches_the_caller() {
    let mut script = Script::new(Assignor::Range);
    script.run(STABLE);
    script.run(
        "
        3000 tick => heartbeat
        3010 beaten !FENCED_INSTANCE_ID => lose 0,1; fail FENCED_INSTANCE_ID
        9999 tick =>
    ",
    );
    Script::new(Assignor::Range).run(
        "
        0 subscribe => find
        0 found !GROUP_AUTHORIZATION_FAILED => fail GROUP_AUTHORIZATION_FAILED
    ",
    );
}

#[test]
fn a_dynamic_member_says_goodbye() {
    let mut script = Script::new(Assignor::Range);
    script.run(STABLE);
    script.run(
        "
        10 close => leave m
        20 left =>
        5000 tick =>
    ",
    );
    assert!(script.membership.is_gone());
}

#[test]
fn changed_topics_make_the_group_share_out_anew() {
    let mut script = Script::new(Assignor::Range);
    script.run(STABLE);
    script.run(
        "
        10 changed => release 0,1
        20 released => join m
    ",
    );
}
