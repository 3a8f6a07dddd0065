//! The brokers that have registered, and the controllers.
//!
//! Owns who they are and whether they may lead; knows nothing of sessions, which live only as long as a leadership.
//! Laws: a log directory belongs to one broker.

use std::collections::BTreeSet;
use std::sync::Arc;

use dohle_base::{BrokerId, Uuid};
use dohle_protocol::record::metadata::{
    BrokerRegistrationChangeRecord, RegisterBrokerRecord, RegisterControllerRecord, UnregisterBrokerRecord,
    UnregisterControllerRecord, register_broker, register_controller,
};
use imbl::OrdMap;

use super::Contradiction;
use crate::directory;

/// The life of a broker: the offset of the record that began it. Whoever carries an older one is fenced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrokerEpoch(pub i64);

impl std::fmt::Display for BrokerEpoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a node can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The listener's name, such as `PLAINTEXT`.
    pub name: String,
    /// The advertised host.
    pub host: String,
    /// The advertised port.
    pub port: u16,
    /// Kafka's number: 0 plaintext, 1 TLS, 2 SASL in the clear, 3 SASL over TLS.
    pub security_protocol: i16,
}

/// The levels of a feature that a node supports, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supported {
    /// The feature's name.
    pub name: String,
    /// The lowest level.
    pub least: i16,
    /// The highest level.
    pub most: i16,
}

/// A registered broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its number.
    pub id: BrokerId,
    /// Its life.
    pub epoch: BrokerEpoch,
    /// Its process.
    pub incarnation: Uuid,
    /// Where it can be reached.
    pub listeners: Vec<Listener>,
    /// What it could run with.
    pub features: Vec<Supported>,
    /// Where it stands, for placement.
    pub rack: Option<String>,
    /// May neither lead nor be in sync, and is not shown to clients.
    pub fenced: bool,
    /// Is about to leave and leads nothing new.
    pub in_controlled_shutdown: bool,
    /// Its log directories that work.
    pub directories: Vec<Uuid>,
    /// Those that take no new partitions (KIP-1066); none until the broker has said so.
    pub cordoned: Option<Vec<Uuid>>,
}

impl Broker {
    /// Whether it may lead and be in sync.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// Its address on the listener of this name.
    pub fn listener(&self, name: &str) -> Option<&Listener> {
        self.listeners.iter().find(|listener| listener.name == name)
    }

    /// Whether a replica in this directory is served.
    pub fn serves(&self, directory: Uuid) -> bool {
        directory::is_online(directory, &self.directories)
    }

    /// Whether any directory takes new partitions.
    pub fn takes_partitions(&self) -> bool {
        let Some(cordoned) = &self.cordoned else { return true };
        self.directories.is_empty() || self.directories.iter().any(|id| !cordoned.contains(id))
    }

    /// The directory of a new replica: the only one there is, or the broker's later choice.
    pub(crate) fn default_directory(&self) -> Uuid {
        match self.directories.as_slice() {
            [] => directory::MIGRATING,
            [only] => *only,
            [_, ..] => directory::UNASSIGNED,
        }
    }

    fn read(record: &RegisterBrokerRecord) -> Self {
        let listener = |end: &register_broker::BrokerEndpoint| Listener {
            name: end.name.to_string(),
            host: end.host.to_string(),
            port: end.port,
            security_protocol: end.security_protocol,
        };
        let feature = |feature: &register_broker::BrokerFeature| Supported {
            name: feature.name.to_string(),
            least: feature.min_supported_version,
            most: feature.max_supported_version,
        };
        Self {
            id: BrokerId(record.broker_id),
            epoch: BrokerEpoch(record.broker_epoch),
            incarnation: record.incarnation_id,
            listeners: record.end_points.iter().map(listener).collect(),
            features: record.features.iter().map(feature).collect(),
            rack: record.rack.as_ref().map(ToString::to_string),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            directories: record.log_dirs.clone(),
            cordoned: record.cordoned_log_dirs.clone(),
        }
    }

    /// The record that registers this broker as it is.
    pub(crate) fn record(&self) -> RegisterBrokerRecord {
        let end_point = |listener: &Listener| register_broker::BrokerEndpoint {
            name: listener.name.as_str().into(),
            host: listener.host.as_str().into(),
            port: listener.port,
            security_protocol: listener.security_protocol,
            ..Default::default()
        };
        let feature = |feature: &Supported| register_broker::BrokerFeature {
            name: feature.name.as_str().into(),
            min_supported_version: feature.least,
            max_supported_version: feature.most,
            ..Default::default()
        };
        RegisterBrokerRecord {
            broker_id: self.id.0,
            incarnation_id: self.incarnation,
            broker_epoch: self.epoch.0,
            end_points: self.listeners.iter().map(end_point).collect(),
            features: self.features.iter().map(feature).collect(),
            rack: self.rack.as_deref().map(Into::into),
            fenced: self.fenced,
            in_controlled_shutdown: self.in_controlled_shutdown,
            log_dirs: self.directories.clone(),
            cordoned_log_dirs: self.cordoned.clone(),
            ..Default::default()
        }
    }
}

/// A registered controller (KIP-919).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// Its number.
    pub id: BrokerId,
    /// Its process.
    pub incarnation: Uuid,
    /// Where it can be reached.
    pub listeners: Vec<Listener>,
    /// What it could run with.
    pub features: Vec<Supported>,
}

impl Controller {
    fn read(record: &RegisterControllerRecord) -> Self {
        let listener = |end: &register_controller::ControllerEndpoint| Listener {
            name: end.name.to_string(),
            host: end.host.to_string(),
            port: end.port,
            security_protocol: end.security_protocol,
        };
        let feature = |feature: &register_controller::ControllerFeature| Supported {
            name: feature.name.to_string(),
            least: feature.min_supported_version,
            most: feature.max_supported_version,
        };
        Self {
            id: BrokerId(record.controller_id),
            incarnation: record.incarnation_id,
            listeners: record.end_points.iter().map(listener).collect(),
            features: record.features.iter().map(feature).collect(),
        }
    }

    /// The record that registers this controller.
    pub(crate) fn record(&self) -> RegisterControllerRecord {
        let end_point = |listener: &Listener| register_controller::ControllerEndpoint {
            name: listener.name.as_str().into(),
            host: listener.host.as_str().into(),
            port: listener.port,
            security_protocol: listener.security_protocol,
            ..Default::default()
        };
        let feature = |feature: &Supported| register_controller::ControllerFeature {
            name: feature.name.as_str().into(),
            min_supported_version: feature.least,
            max_supported_version: feature.most,
            ..Default::default()
        };
        RegisterControllerRecord {
            controller_id: self.id.0,
            incarnation_id: self.incarnation,
            end_points: self.listeners.iter().map(end_point).collect(),
            features: self.features.iter().map(feature).collect(),
            ..Default::default()
        }
    }
}

/// All nodes. Cloning shares them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brokers {
    brokers: OrdMap<BrokerId, Arc<Broker>>,
    controllers: OrdMap<BrokerId, Arc<Controller>>,
}

impl Brokers {
    /// The broker of this number, fenced or not.
    pub fn get(&self, id: BrokerId) -> Option<&Arc<Broker>> {
        self.brokers.get(&id)
    }

    /// All brokers, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Broker>> {
        self.brokers.values()
    }

    /// The brokers that clients may see: those not fenced.
    pub fn live(&self) -> impl Iterator<Item = &Arc<Broker>> {
        self.brokers.values().filter(|broker| !broker.fenced)
    }

    /// Whether this broker is registered, not fenced and not about to leave.
    pub fn is_active(&self, id: BrokerId) -> bool {
        self.get(id).is_some_and(|broker| broker.is_active())
    }

    /// All controllers, by number.
    pub fn controllers(&self) -> impl Iterator<Item = &Arc<Controller>> {
        self.controllers.values()
    }

    pub(crate) fn by_id(&self) -> &OrdMap<BrokerId, Arc<Broker>> {
        &self.brokers
    }

    pub(super) fn register(&mut self, record: &RegisterBrokerRecord) {
        let broker = Broker::read(record);
        self.brokers.insert(broker.id, Arc::new(broker));
    }

    pub(super) fn unregister(&mut self, record: &UnregisterBrokerRecord) -> Result<(), Contradiction> {
        self.living(BrokerId(record.broker_id), record.broker_epoch)?;
        self.brokers.remove(&BrokerId(record.broker_id));
        Ok(())
    }

    pub(super) fn fence(&mut self, id: i32, epoch: i64, fenced: bool) -> Result<(), Contradiction> {
        self.living(BrokerId(id), epoch)?.fenced = fenced;
        Ok(())
    }

    pub(super) fn change(&mut self, record: &BrokerRegistrationChangeRecord) -> Result<(), Contradiction> {
        let fenced = switch(record.fenced)?;
        let leaving = switch(record.in_controlled_shutdown)?;
        let broker = self.living(BrokerId(record.broker_id), record.broker_epoch)?;
        broker.fenced = fenced.unwrap_or(broker.fenced);
        broker.in_controlled_shutdown = leaving.unwrap_or(broker.in_controlled_shutdown);
        if !record.log_dirs.is_empty() {
            broker.directories.clone_from(&record.log_dirs);
        }
        if record.cordoned_log_dirs.is_some() {
            broker.cordoned.clone_from(&record.cordoned_log_dirs);
        }
        Ok(())
    }

    pub(super) fn register_controller(&mut self, record: &RegisterControllerRecord) {
        let controller = Controller::read(record);
        self.controllers.insert(controller.id, Arc::new(controller));
    }

    pub(super) fn unregister_controller(&mut self, record: &UnregisterControllerRecord) {
        self.controllers.remove(&BrokerId(record.controller_id));
    }

    fn living(&mut self, id: BrokerId, epoch: i64) -> Result<&mut Broker, Contradiction> {
        let broker = self.brokers.get_mut(&id).ok_or(Contradiction::NoBroker(id))?;
        if broker.epoch != BrokerEpoch(epoch) {
            return Err(Contradiction::BrokerEpoch { broker: id, found: broker.epoch, named: BrokerEpoch(epoch) });
        }
        Ok(Arc::make_mut(broker))
    }

    pub(super) fn check(&self) {
        let directories: Vec<Uuid> = self.iter().flat_map(|broker| broker.directories.iter().copied()).collect();
        let distinct: BTreeSet<Uuid> = directories.iter().copied().collect();
        assert!(distinct.len() == directories.len());
        assert!(self.brokers.iter().all(|(id, broker)| *id == broker.id));
    }
}

/// Kafka writes a switch as -1 off, 0 unchanged, 1 on.
fn switch(value: i8) -> Result<Option<bool>, Contradiction> {
    match value {
        -1 => Ok(Some(false)),
        0 => Ok(None),
        1 => Ok(Some(true)),
        other => Err(Contradiction::Switch(other)),
    }
}
