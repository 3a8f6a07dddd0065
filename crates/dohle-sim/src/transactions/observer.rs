//! Who sees everything: notes facts down, lets the laws judge them, and reads what is committed.

use std::time::Duration;

use super::broker::Stop;
use super::edge::Edge;
use super::fact::Fact;
use super::lives::RESTART_DELAY;
use super::place::Place;
use super::world::World;

impl World {
    pub(super) fn read_committed(&mut self) {
        for place in Place::DATA {
            let Some(leading) = self.broker.leading_mut() else { return };
            match leading.see(place) {
                Ok(seen) => self.judge(&seen),
                Err(what) => self.fail("Read", what),
            }
        }
        let names: Vec<_> = self.clients.iter().step_by(2).map(|client| client.kind.name.clone()).collect();
        for name in names {
            let Some(leading) = self.broker.leading() else { return };
            match leading.stands(&name) {
                Ok(value) => self.judge(&Fact::Stands { name, value }),
                Err(_) => self.watch.pass(Edge::OffsetHeld),
            }
        }
    }

    pub(super) fn judge(&mut self, fact: &Fact) {
        self.watch.note(fact);
        self.court.judge(fact, &mut self.coverage);
    }

    pub(super) fn fail(&mut self, invariant: &'static str, what: String) {
        self.court.fail(invariant, what);
    }

    /// The power goes once more, and the broker reads what is left: nothing that was acknowledged may be missing.
    pub(super) fn last_judgement(&mut self) {
        self.stop_broker(Stop::PowerCut, RESTART_DELAY);
        self.run_until(self.now + Duration::from_secs(5));
        if self.court.violation().is_none() && self.broker.leading().is_none() {
            self.fail("Recovery", "the broker does not lead five seconds after its last start".to_owned());
        }
        self.judge(&Fact::Rested);
        self.read_committed();
    }
}
