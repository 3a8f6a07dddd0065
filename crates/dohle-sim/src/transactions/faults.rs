//! What goes wrong in the world of transactions, when the weather has it.
//!
//! The weather is that of all worlds; here its consumers are producers. One that leaves finds that another has taken its name, and whoever
//! meddles lets a request come once more that was sent before.

use std::collections::VecDeque;
use std::time::Duration;

use super::broker::{Out, Stop};
use super::edge::Edge;
use super::world::{Event, World};
use crate::network::ClientId;
use crate::weather::Fault;

impl World {
    pub(super) fn meet(&mut self, fault: Fault, mean: Duration) {
        if !self.weather.has(fault) {
            return;
        }
        let wait = self.around(mean);
        self.after(wait, Event::FaultComes { fault, mean });
        if self.strike(fault) {
            self.coverage.fault(fault);
        }
    }

    /// Lets a fault come; false when there is nothing that it could hit.
    fn strike(&mut self, fault: Fault) -> bool {
        let away = Duration::from_millis(100 + self.rng.below(3_000));
        let up = !self.broker.is_down();
        match fault {
            Fault::Kill if up => self.stop_broker(Stop::Kill, away),
            Fault::PowerCut if up => self.stop_broker(Stop::PowerCut, away),
            Fault::CleanRestart if up => self.stop_broker(Stop::Clean, away),
            Fault::Pause if up && self.standstill.is_none() => {
                self.standstill = Some(VecDeque::new());
                let wait = Duration::from_millis(500 + self.rng.below(8_000));
                self.after(wait, Event::BrokerResumes { life: self.life });
            }
            Fault::PowerCutInOperation | Fault::WriteError | Fault::SyncError | Fault::ShortWrite => {
                return self.broker.spoil(fault, &mut self.rng);
            }
            Fault::ClockForward => {
                self.broker.skew_ms += self.rng.below(3_600_000) as i64;
                self.skew_max_ms = self.skew_max_ms.max(self.broker.skew_ms);
            }
            Fault::ClockBack => self.broker.skew_ms -= self.rng.below(3_600_000) as i64,
            Fault::Cut => {
                let client = self.any_client();
                let until = self.now + Duration::from_millis(500 + self.rng.below(8_000));
                self.network.cut(ClientId(client), until);
            }
            Fault::ConsumerCrash | Fault::ConsumerLeave | Fault::ConsumerPause => return self.strike_client(fault),
            Fault::Meddling => return self.repeat_request(),
            Fault::Compaction => return self.compact(),
            Fault::Kill
            | Fault::PowerCut
            | Fault::CleanRestart
            | Fault::Pause
            | Fault::Delay
            | Fault::Reset
            | Fault::LateDelivery
            | Fault::StallUp
            | Fault::StallDown
            | Fault::SlowSync
            | Fault::SlowLoad => return false,
        }
        true
    }

    fn any_client(&mut self) -> usize {
        self.rng.below(self.clients.len() as u64) as usize
    }

    fn compact(&mut self) -> bool {
        let mut out = Out::default();
        let compacted = self.standstill.is_none() && self.broker.compact(self.now, &mut out);
        if compacted {
            self.watch.pass(Edge::Compacted);
        }
        self.carry_out(out);
        compacted
    }

    /// A process dies, stands still, or finds that another has its name.
    fn strike_client(&mut self, fault: Fault) -> bool {
        let client = self.any_client();
        if self.clients[client].is_off() {
            return false;
        }
        match fault {
            Fault::ConsumerPause => {
                let until = self.now + Duration::from_millis(500 + self.rng.below(12_000));
                self.frozen.insert(client, until);
            }
            Fault::ConsumerLeave => {
                let other = client ^ 1;
                if !self.clients[other].is_off() {
                    return false;
                }
                self.watch.pass(Edge::Takeover);
                self.clients[other].start();
            }
            _ => {
                self.clients[client].die();
                self.frozen.remove(&client);
            }
        }
        true
    }
}
