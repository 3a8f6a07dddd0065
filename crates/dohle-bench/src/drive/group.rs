//! Many members of one group, each on a connection of its own, driven by one loop.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use bytes::Bytes;
use dohle_base::ErrorCode;
use dohle_protocol::header::{Head, decode_answer};
use dohle_protocol::message::{FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, SyncGroupRequest};
use dohle_protocol::{ApiKey, Message, Reader, Request};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::watch::{Watch, raise_file_limit};
use super::{Clock, News};
use crate::failure::Failure;
use crate::group::member::Next;
use crate::group::{Ask, Member, Terms};
use crate::plan::Group;
use crate::report::{Results, Settled};
use crate::request::produce::CLIENT_ID;
use crate::tally::{Flow, Tally, Window};
use crate::wire::call::Call;
use crate::wire::cluster::Cluster;
use crate::wire::link::Link;

/// How long a group may take beyond the session of a dead member.
const SETTLE_MAX: Duration = Duration::from_secs(120);
/// A coordinator that cannot now is asked again after so long.
const RETRY: Duration = Duration::from_millis(100);
const COORDINATOR_MAX: Duration = Duration::from_secs(60);
const REBALANCE_TIMEOUT_MS: i32 = 60_000;
const WAIT: Duration = Duration::from_millis(10);
const EVENTS_MAX: usize = 256;
/// FindCoordinator names several groups since then.
const KEYS_SINCE: i16 = 4;

/// Lets a group gather, one member leave and one die, and tells how long each took to settle.
pub fn run_group(plan: &Group, tell: &mut dyn FnMut(News)) -> Result<Results, Failure> {
    raise_file_limit();
    let mut party = Party::gather(plan, tell)?;
    let window = Window { begin: 0, end: u64::MAX };
    let mut watch = Watch::new(party.clock, window, plan.pid);
    watch.look()?;
    let limit = SETTLE_MAX + plan.session_timeout;
    let began = party.clock.now();
    for place in 0..party.members.len() {
        party.join(place)?;
    }
    let join = party.settle(began, limit)?;
    let left = party.clock.now();
    party.leave()?;
    watch.look()?;
    let leave = party.settle(left, limit)?;
    let died = party.clock.now();
    party.die();
    watch.look()?;
    let death = party.settle(died, limit)?;
    watch.end()?;
    let seconds = (party.clock.now() - began) as f64 / 1e9;
    let mut results = Results::of("groups", seconds, party.tally, &watch.spent());
    results.report.settle_ms = Some(Settled { join, leave, death });
    Ok(results)
}

struct Party<'a> {
    terms: Terms,
    heartbeat: u64,
    members: Vec<Attendant>,
    clock: Clock,
    epoll: OwnedFd,
    tally: Tally,
    tell: &'a mut dyn FnMut(News),
    address: String,
}

/// A member and its connection.
struct Attendant {
    member: Member,
    /// None once it has died.
    link: Option<Link>,
    versions: Versions,
    correlation: i32,
    out: Bytes,
    sent: usize,
    /// What is to be answered.
    asked: Option<ApiKey>,
    /// When it speaks again by itself.
    due: u64,
    /// Whether it is still to be of the group.
    stays: bool,
}

#[derive(Clone, Copy)]
struct Versions {
    join: i16,
    sync: i16,
    heartbeat: i16,
    leave: i16,
}

impl<'a> Party<'a> {
    /// Connections for all, and the topic's partitions; nobody has joined.
    fn gather(plan: &Group, tell: &'a mut dyn FnMut(News)) -> Result<Self, Failure> {
        let cluster = Cluster::ask(&plan.bootstrap, std::slice::from_ref(&plan.topic))?;
        let partitions = cluster.topics.iter().flat_map(|topic| topic.led.values()).map(Vec::len).sum::<usize>();
        let address = find_coordinator(&plan.bootstrap, &plan.group)?;
        let machine = |errno: rustix::io::Errno| Failure::Machine { what: "make an epoll", source: errno.into() };
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(machine)?;
        let mut members = vec![];
        for token in 0..plan.members {
            let attendant = Attendant::dial(&address)?;
            if let Some(link) = &attendant.link {
                let edges = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
                epoll::add(&epoll, link.as_fd(), EventData::new_u64(token as u64), edges).map_err(machine)?;
            }
            members.push(attendant);
        }
        let terms = Terms {
            group: (&plan.group).into(),
            topic: (&plan.topic).into(),
            partitions: partitions as i32,
            session_timeout_ms: plan.session_timeout.as_millis() as i32,
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
        };
        let heartbeat = plan.heartbeat.as_nanos() as u64;
        let clock = Clock::start();
        Ok(Self { terms, heartbeat, members, clock, epoll, tally: Tally::default(), tell, address })
    }

    fn join(&mut self, place: usize) -> Result<(), Failure> {
        let ask = self.members[place].member.join(&self.terms);
        self.ask(place, &ask)
    }

    /// One that does not lead says that it goes.
    fn leave(&mut self) -> Result<(), Failure> {
        let Some(place) = self.any_follower() else { return Ok(()) };
        let attendant = &mut self.members[place];
        attendant.stays = false;
        let ask = attendant.member.leave(&self.terms, attendant.versions.leave);
        self.ask(place, &ask)
    }

    /// One that does not lead is gone without a word.
    fn die(&mut self) {
        if let Some(place) = self.any_follower() {
            self.members[place].stays = false;
            self.members[place].link = None;
        }
    }

    /// Whose request is not being answered, so that the connection is free.
    fn any_follower(&self) -> Option<usize> {
        self.members.iter().position(|it| it.stays && !it.member.leads() && it.asked.is_none())
    }

    /// Goes on until all that stay are of one generation, in which nobody else is. In milliseconds since `since`.
    fn settle(&mut self, since: u64, limit: Duration) -> Result<f64, Failure> {
        let before = self.members.iter().filter_map(|it| it.member.settled_in()).max().unwrap_or(-1);
        let deadline = since + limit.as_nanos() as u64;
        loop {
            self.turn()?;
            let now = self.clock.now();
            let mut generations = self.members.iter().filter(|it| it.stays).map(|it| it.member.settled_in());
            let first = generations.next().flatten();
            if first.is_some_and(|first| first > before) && generations.all(|generation| generation == first) {
                return Ok(((now - since) as f64 / 1e5).round() / 10.0);
            }
            if now > deadline {
                return Err(Failure::Senseless("the group does not settle"));
            }
        }
    }

    /// One turn of the loop: what is due is said, what was said is heard.
    fn turn(&mut self) -> Result<(), Failure> {
        let now = self.clock.now();
        for place in 0..self.members.len() {
            let attendant = &mut self.members[place];
            if !attendant.stays || attendant.asked.is_some() || now < attendant.due {
                continue;
            }
            match attendant.member.settled_in() {
                Some(_) => {
                    let ask = attendant.member.heartbeat(&self.terms);
                    self.ask(place, &ask)?;
                }
                None => self.join(place)?,
            }
        }
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS_MAX);
        let wait = Timespec { tv_sec: 0, tv_nsec: WAIT.as_nanos() as _ };
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Failure::Machine { what: "wait for connections", source: errno.into() }),
        }
        events.iter().try_for_each(|event| self.serve(event.data.u64() as usize))
    }

    fn serve(&mut self, place: usize) -> Result<(), Failure> {
        let lost = |address: &str, source| Failure::Lost { address: address.to_owned(), source };
        self.members[place].flush().map_err(|source| lost(&self.address, source))?;
        loop {
            let Some(link) = &mut self.members[place].link else { return Ok(()) };
            let more = link.fill().map_err(|source| lost(&self.address, source))?;
            while let Some(link) = &mut self.members[place].link
                && let Some(frame) = link.frame().map_err(|source| lost(&self.address, source))?
            {
                let frame = Bytes::copy_from_slice(frame);
                self.take_answer(place, frame)?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    fn take_answer(&mut self, place: usize, frame: Bytes) -> Result<(), Failure> {
        let attendant = &mut self.members[place];
        let Versions { join, sync, heartbeat, .. } = attendant.versions;
        let (terms, member) = (&self.terms, &mut attendant.member);
        let next = match attendant.asked.take() {
            Some(ApiKey::JoinGroup) => read::<JoinGroupRequest>(frame, join).map(|it| member.joined(terms, &it)),
            Some(ApiKey::SyncGroup) => read::<SyncGroupRequest>(frame, sync).map(|it| member.synced(terms, &it)),
            Some(ApiKey::Heartbeat) => read::<HeartbeatRequest>(frame, heartbeat).map(|it| member.beaten(terms, &it)),
            // A farewell is not waited for.
            _ => Some(Next::Rest),
        };
        let next = next.ok_or_else(|| Failure::Unreadable { address: self.address.clone() })?;
        self.tally.consumed += Flow { requests: 1, ..Flow::default() };
        let now = self.clock.now();
        match next {
            Next::Ask(ask) => return self.ask(place, &ask),
            Next::Rest => self.members[place].due = now + self.heartbeat,
            Next::Retry(code) => {
                self.members[place].due = now + RETRY.as_nanos() as u64;
                if self.tally.refuse(code) {
                    (self.tell)(News::Error(&format!("group {} at {}: {code}", self.terms.group, self.address)));
                }
            }
        }
        Ok(())
    }

    fn ask(&mut self, place: usize, ask: &Ask) -> Result<(), Failure> {
        let attendant = &mut self.members[place];
        let said = attendant.say(ask).and_then(|()| attendant.flush());
        said.map_err(|source| Failure::Lost { address: self.address.clone(), source })
    }
}

impl Attendant {
    fn dial(address: &str) -> Result<Self, Failure> {
        let call = Call::dial(address)?;
        let versions = Versions {
            join: call.newest(ApiKey::JoinGroup)?,
            sync: call.newest(ApiKey::SyncGroup)?,
            heartbeat: call.newest(ApiKey::Heartbeat)?,
            leave: call.newest(ApiKey::LeaveGroup)?,
        };
        let link = Link::over(call.into_socket());
        let link = link.map_err(|source| Failure::Lost { address: address.to_owned(), source })?;
        Ok(Self {
            member: Member::default(),
            link: Some(link),
            versions,
            correlation: 0,
            out: Bytes::new(),
            sent: 0,
            asked: None,
            due: u64::MAX,
            stays: true,
        })
    }

    fn say(&mut self, ask: &Ask) -> std::io::Result<()> {
        let Versions { join, sync, heartbeat, leave } = self.versions;
        self.correlation = self.correlation.wrapping_add(1);
        let correlation = self.correlation;
        let (api, frame) = match ask {
            Ask::Join(request) => written(request, join, correlation),
            Ask::Sync(request) => written(request, sync, correlation),
            Ask::Heartbeat(request) => written(request, heartbeat, correlation),
            Ask::Leave(request) => written(request, leave, correlation),
        }?;
        (self.out, self.sent, self.asked) = (frame, 0, Some(api));
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let Some(link) = &mut self.link else { return Ok(()) };
        while self.sent < self.out.len() {
            match link.write(&[IoSlice::new(&self.out[self.sent..])])? {
                0 => break,
                written => self.sent += written,
            }
        }
        Ok(())
    }
}

fn written<R: Request>(request: &R, version: i16, correlation_id: i32) -> std::io::Result<(ApiKey, Bytes)> {
    let head = Head { api: R::KEY, version, correlation_id, client_id: Some(CLIENT_ID.into()) };
    let frame = head.frame(request).map_err(std::io::Error::other)?;
    Ok((R::KEY, frame.into_bytes()))
}

fn read<R: Request>(frame: Bytes, version: i16) -> Option<R::Response> {
    let mut reader = Reader::new(frame);
    decode_answer(&mut reader, R::KEY, version).ok()?;
    R::Response::decode(&mut reader, version).ok()
}

/// The address of the group's coordinator. The first group of a cluster makes it create a topic first.
fn find_coordinator(bootstrap: &[String], group: &str) -> Result<String, Failure> {
    let address = bootstrap.first().ok_or(Failure::NoBootstrap)?;
    let mut call = Call::dial(address)?;
    let mut request = FindCoordinatorRequest::default();
    if call.newest(ApiKey::FindCoordinator)? >= KEYS_SINCE {
        request.coordinator_keys = vec![group.into()];
    } else {
        request.key = group.into();
    }
    let began = Clock::start();
    loop {
        let answer = call.ask(&request)?;
        let several = answer.coordinators.first();
        let (code, host, port) = several.map_or((answer.error_code, &answer.host, answer.port), |found| {
            (found.error_code, &found.host, found.port)
        });
        let retriable = ErrorCode::from_code(code).is_retriable();
        if !retriable || began.now() > COORDINATOR_MAX.as_nanos() as u64 {
            call.refuse_unless_none(code, "to name the group's coordinator")?;
            return Ok(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") });
        }
        std::thread::park_timeout(RETRY);
    }
}

/// Refuses unless a broker serves the newer protocol of groups (KIP-848).
pub fn require_consumer_protocol(bootstrap: &[String]) -> Result<(), Failure> {
    let address = bootstrap.first().ok_or(Failure::NoBootstrap)?;
    Call::dial(address)?.newest(ApiKey::ConsumerGroupHeartbeat).map(drop)
}
