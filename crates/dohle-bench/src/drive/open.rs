//! Opening what a plan asks for: connections, positions, and loops that share them.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;

use dohle_protocol::ApiKey;
use dohle_protocol::message::InitProducerIdRequest;

use super::consumer::{self, Consumer, Lane, Position};
use super::course::Course;
use super::engine::{Engine, Shared, Told};
use super::producer::{self, Batch, Identity, Producer};
use super::wall;
use crate::failure::Failure;
use crate::plan::{Consume, From, Plan, Produce};
use crate::request::fetch::Terms;
use crate::request::produce::{Frame, Layout, topic_bytes};
use crate::schedule::{Schedule, Turns};
use crate::tally::Window;
use crate::template::Template;
use crate::wire::call::Call;
use crate::wire::cluster::{Cluster, EARLIEST, LATEST, list_offsets};
use crate::wire::link::Link;

/// How long a broker may wait for other brokers before it answers a producer.
const PRODUCE_TIMEOUT_MS: i32 = 30_000;

/// Everything that a plan asks for, ready to run.
pub(super) fn loops(plan: &Plan, window: Window, tell: &Sender<Told>) -> Result<Vec<Engine>, Failure> {
    let cluster = Cluster::ask(&plan.bootstrap, &plan.topics)?;
    let leaders = cluster.leaders()?;
    let shared = Arc::new(Shared::default());
    let batch = plan.produce.as_ref().map(batch).transpose()?;
    let mut engines: Vec<Engine> = (0..plan.threads).map(|_| empty(plan, window, &shared, tell)).collect();
    if let Some((produce, (template, stamps))) = plan.produce.as_ref().zip(batch.as_ref()) {
        produce.check(&cluster)?;
        let mut numbers = vec![vec![]; plan.threads];
        for number in 0..produce.connections {
            let (leader, address) = &leaders[number % leaders.len()];
            let opened = produce.open(number, *leader, address, &cluster, template)?;
            let place = number % plan.threads;
            numbers[place].push(number as u64);
            let shared = Batch { template: template.clone(), stamps: stamps.clone() };
            let engine = &mut engines[place];
            engine.producers.push(Producer::new(opened, engine.batch.get_or_insert(shared)));
        }
        let requests = template.records() * produce.batches_per_request as u64;
        let schedule = produce.rate.map(|rate| Schedule::new(rate, requests));
        for (engine, here) in engines.iter_mut().zip(numbers).filter(|(_, here)| !here.is_empty()) {
            engine.turns = schedule.map(|schedule| Turns::new(schedule, produce.connections as u64, here));
        }
    }
    let stamped = plan.produce.as_ref().is_some_and(|produce| produce.stamped);
    for number in 0..plan.consume.as_ref().map_or(0, |consume| consume.consumers) {
        // From behind, so that two threads divide the two kinds of work.
        let engine = &mut engines[plan.threads - 1 - number % plan.threads];
        engine.copies += u64::from(plan.produce.is_some());
        for (leader, address) in &leaders {
            let Some(consume) = &plan.consume else { continue };
            engine.consumers.push(Consumer::new(consume.open(*leader, address, &cluster, stamped)?));
        }
    }
    // Where connections only idle, one loop keeps the time.
    engines.retain(|engine| !engine.producers.is_empty() || !engine.consumers.is_empty() || plan.idle > 0);
    let producing = engines.iter().filter(|engine| engine.batch.is_some()).count();
    shared.producing.store(producing, Ordering::Relaxed);
    Ok(engines)
}

/// Connections that are greeted and then do nothing, for as long as they are kept.
pub(super) fn idle(plan: &Plan) -> Result<Vec<TcpStream>, Failure> {
    if plan.idle == 0 {
        return Ok(vec![]);
    }
    let brokers = Cluster::ask(&plan.bootstrap, &plan.topics)?.brokers;
    let addresses = brokers.values().cycle().take(plan.idle);
    addresses.map(|address| Ok(Call::dial(address)?.into_socket())).collect()
}

fn empty(plan: &Plan, window: Window, shared: &Arc<Shared>, tell: &Sender<Told>) -> Engine {
    Engine {
        producers: vec![],
        batch: None,
        turns: None,
        consumers: vec![],
        copies: 0,
        until_end: plan.consume.as_ref().is_some_and(|consume| consume.until_end),
        spin: plan.spin,
        window,
        shared: shared.clone(),
        tell: tell.clone(),
    }
}

/// The batch that all producers send, and where it is stamped.
fn batch(produce: &Produce) -> Result<(Template, Option<Vec<usize>>), Failure> {
    let template = Template::build(&produce.shape, wall()).map_err(|_| Failure::Senseless("a batch is too large"))?;
    if !produce.stamped {
        return Ok((template, None));
    }
    let unstampable =
        Failure::Senseless("records carry a time of 8 bytes: they must have room for it, and not be packed");
    let places = template.value_places().ok_or(unstampable)?;
    Ok((template, Some(places)))
}

fn link(socket: TcpStream, address: &str) -> Result<Link, Failure> {
    Link::over(socket).map_err(|source: io::Error| Failure::Lost { address: address.to_owned(), source })
}

impl Produce {
    /// A request cannot name a partition twice.
    fn check(&self, cluster: &Cluster) -> Result<(), Failure> {
        for topic in &cluster.topics {
            for (broker, partitions) in &topic.led {
                if partitions.len() < self.batches_per_request {
                    return Err(Failure::TooFewPartitions {
                        batches: self.batches_per_request,
                        topic: topic.name.clone(),
                        broker: *broker,
                        led: partitions.len(),
                    });
                }
            }
        }
        Ok(())
    }

    fn open(
        &self,
        number: usize,
        leader: i32,
        address: &str,
        cluster: &Cluster,
        template: &Template,
    ) -> Result<producer::Opened, Failure> {
        let mut call = Call::dial(address)?;
        let version = call.newest(ApiKey::Produce)?;
        let identity = if self.idempotent { Some(identity(&mut call)?) } else { None };
        let led = cluster.topics.iter().filter_map(|topic| Some((topic, topic.led.get(&leader)?)));
        let topics = led.clone().map(|(topic, led)| (topic_bytes(version, &topic.name, topic.id), led.clone()));
        let layout = Layout {
            version,
            acks: self.acks,
            timeout_ms: PRODUCE_TIMEOUT_MS,
            batches: self.batches_per_request,
            batch_size: template.size(),
        };
        let course = Course::new(topics, number, self.batches_per_request);
        let any = led.clone().next().ok_or(Failure::NoBroker(leader))?.0;
        if led.clone().any(|(topic, _)| topic.name.len() != any.name.len()) {
            return Err(Failure::Senseless("the names of all topics must be of one length"));
        }
        let frame = Frame::new(&layout, &any.name, any.id)
            .map_err(|_| Failure::Unserved { address: address.to_owned(), api: ApiKey::Produce })?;
        Ok(producer::Opened {
            link: link(call.into_socket(), address)?,
            address: address.into(),
            version,
            identity,
            course,
            frame,
            in_flight: self.in_flight,
            answered: self.acks != 0,
        })
    }
}

fn identity(call: &mut Call) -> Result<Identity, Failure> {
    let request = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: PRODUCE_TIMEOUT_MS,
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdRequest::default()
    };
    let answer = call.ask(&request)?;
    call.refuse_unless_none(answer.error_code, "a producer's id")?;
    Ok(Identity { id: answer.producer_id, epoch: answer.producer_epoch })
}

impl Consume {
    fn open(&self, leader: i32, address: &str, cluster: &Cluster, stamped: bool) -> Result<consumer::Opened, Failure> {
        let mut call = Call::dial(address)?;
        let version = call.newest(ApiKey::Fetch)?;
        let (mut lanes, mut positions) = (vec![], vec![]);
        for topic in &cluster.topics {
            let Some(partitions) = topic.led.get(&leader) else { continue };
            let ends = list_offsets(&mut call, &topic.name, partitions, LATEST)?;
            let begins = match self.from {
                From::Latest => ends.clone(),
                From::Earliest => list_offsets(&mut call, &topic.name, partitions, EARLIEST)?,
            };
            let lane = lanes.len();
            lanes.push(Lane {
                name: topic.name.clone(),
                topic: topic_bytes(version, &topic.name, topic.id),
                first: positions.len(),
                count: partitions.len(),
            });
            let end = |end: i64| if self.until_end { end } else { i64::MAX };
            let offsets = begins.into_iter().zip(ends);
            positions.extend(partitions.iter().zip(offsets).map(|(partition, (next, last))| Position {
                lane,
                partition: *partition,
                next,
                end: end(last),
            }));
        }
        let terms = Terms {
            version,
            max_wait_ms: self.max_wait.as_millis() as i32,
            min_bytes: self.min_bytes,
            max_bytes: self.max_bytes,
            partition_max_bytes: self.partition_max_bytes,
        };
        let link = link(call.into_socket(), address)?;
        Ok(consumer::Opened { link, address: address.into(), terms, lanes, positions, check: self.check, stamped })
    }
}
