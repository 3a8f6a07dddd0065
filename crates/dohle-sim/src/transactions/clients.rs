//! The clients' side of the world: two processes for each name, of which usually one is there.

use std::time::Duration;

use dohle_base::{ProducerEpoch, ProducerId, Rng, Timestamp};
use dohle_coordinator::transaction::{State, Transaction, Version};
use dohle_coordinator::{Producer as Identity, TransactionalId};

use super::fact::Fact;
use super::producer::{Act, Kind, Producer};
use super::request::{Answer, Request, What};
use super::world::{Event, World};
use crate::fact::RequestId;
use crate::network::{ClientId, LinkId, Passage};

/// How often a client gets a moment in which it may act.
pub(super) const TICK: Duration = Duration::from_millis(20);
/// How many past requests may come once more.
const HISTORY_MAX: usize = 24;

impl World {
    pub(super) fn tick_client(&mut self, client: usize) {
        self.after(TICK, Event::ClientTicks { client });
        if self.frozen.get(&client).is_some_and(|until| *until > self.now) {
            return;
        }
        let nobody = self.clients[client].is_off() && self.clients[client ^ 1].is_off();
        if nobody && self.rng.chance(20) {
            self.clients[client].start();
        }
        let acts = self.clients[client].tick(self.now, &mut self.rng, &mut self.labels);
        self.act(client, acts);
    }

    fn act(&mut self, client: usize, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Tell(fact) => self.judge(&fact),
                Act::Send(asked) => match self.send(ClientId(client), asked) {
                    Some(request) => self.clients[client].sent(request, self.now),
                    None => self.clients[client].disconnected(self.now),
                },
                Act::Disconnect => {
                    if let Some(link) = self.links.remove(&ClientId(client)) {
                        self.network.close(link, &self.weather, &mut self.rng, &mut self.coverage);
                    }
                }
            }
        }
    }

    /// Sends a request; none when the client has no connection and gets none.
    fn send(&mut self, client: ClientId, asked: Request) -> Option<RequestId> {
        let link = match self.links.get(&client) {
            Some(link) => *link,
            None if self.broker.is_down() => return None,
            None => {
                let link = self.network.connect(client, self.now)?;
                self.links.insert(client, link);
                link
            }
        };
        let request = self.ask(&asked);
        self.remember(&asked);
        match self.network.send_up(link, self.now, &self.weather, &mut self.rng, &mut self.coverage) {
            Passage::Arrives(at) => {
                self.queue.push(at, Event::ToBroker { link: Some(link), request, asked: Box::new(asked) });
            }
            Passage::Vanishes => {}
            Passage::Breaks => {
                self.network.close(link, &self.weather, &mut self.rng, &mut self.coverage);
                let wait = Duration::from_micros(self.rng.below(50_000));
                self.after(wait, Event::Broken { link, client });
            }
        }
        Some(request)
    }

    /// Numbers a request and tells the observer of it.
    fn ask(&mut self, asked: &Request) -> RequestId {
        let request = RequestId(self.requests);
        self.requests += 1;
        self.watch.asked(request, asked);
        if let What::End(outcome) = asked.what {
            let (label, producer) = (asked.label, asked.producer);
            self.judge(&Fact::EndAsked { request, label, producer, outcome });
        }
        request
    }

    fn remember(&mut self, asked: &Request) {
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back(asked.clone());
    }

    /// A request that was sent before comes once more, from nowhere: the network had kept it.
    pub(super) fn repeat_request(&mut self) -> bool {
        // The newest one may meet itself, an older one what came after it.
        let newest = self.history.len().saturating_sub(1);
        let place = if self.rng.chance(500) { newest } else { self.rng.below(HISTORY_MAX as u64) as usize };
        let Some(asked) = self.history.get(place).cloned() else { return false };
        let request = self.ask(&asked);
        self.after(Duration::ZERO, Event::ToBroker { link: None, request, asked: Box::new(asked) });
        true
    }

    pub(super) fn reach_client(&mut self, link: LinkId, request: RequestId, answer: Answer) {
        let Some(ClientId(client)) = self.network.client(link) else { return };
        if let Some(until) = self.frozen.get(&client).copied().filter(|until| *until > self.now) {
            // It reads what came in when it goes on.
            return self.queue.push(until, Event::ToClient { link, request, answer });
        }
        if self.links.get(&ClientId(client)) == Some(&link) {
            self.clients[client].receive(request, answer, self.now, &mut self.rng);
        }
    }

    pub(super) fn lose_link(&mut self, link: LinkId, client: ClientId) {
        if self.links.get(&client) == Some(&link) {
            self.links.remove(&client);
            self.clients[client.0].disconnected(self.now);
        }
    }

    /// How many transactions were ended in each name.
    pub(super) fn ended_by_name(&self) -> Vec<u64> {
        self.clients.chunks(2).map(|pair| pair.iter().map(|client| client.ended).sum()).collect()
    }

    /// Whoever is there ends its transaction and begins no other.
    pub(super) fn rest(&mut self) {
        self.clients.iter_mut().for_each(|client| client.is_resting = true);
    }
}

/// Who lives in the world of a seed where the cluster has agreed on this version: two or three names, of both protocols if it knows both.
pub(super) fn population(version: Version, rng: &mut Rng) -> Vec<Producer> {
    let mut clients = vec![];
    for place in 0..2 + rng.below(2) {
        let old = !version.raises_epoch() || rng.chance(350);
        let kind = Kind {
            name: format!("app-{place}").as_str().into(),
            version: if old { Version::Zero } else { Version::Two },
            timeout_ms: 2_000 + rng.below(8_000) as i32,
        };
        clients.extend([Producer::new(kind.clone()), Producer::new(kind)]);
    }
    clients
}

/// Those of them that were there before, for so long that their epochs are nearly used up.
pub(super) fn aged(clients: &[Producer], rng: &mut Rng) -> Vec<(TransactionalId, Transaction)> {
    let names = clients.chunks(2).map(|pair| pair[0].kind.name.clone());
    let old: Vec<_> = names.filter(|_| rng.chance(400)).collect();
    let age = |(place, name)| {
        let id = ProducerId(place as i64);
        let transaction = Transaction {
            producer: Identity { id, epoch: ProducerEpoch(32_757 + rng.below(8) as i16) },
            previous_id: id,
            next_id: None,
            timeout_ms: 10_000,
            state: State::Empty,
            partitions: Default::default(),
            started_at: None,
            updated_at: Timestamp(1_700_000_000_000),
            version: Version::Zero,
        };
        (name, transaction)
    };
    old.into_iter().enumerate().map(age).collect()
}
