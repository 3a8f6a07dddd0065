//! The admin: looks at a cluster and changes it.
//!
//! Every answer is of one thing: that one topic is refused does not hide what became of the others.

mod cluster;
mod configs;
mod groups;
mod offsets;
mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;

use dohle_base::ErrorCode;
use dohle_protocol::Request;

pub use cluster::{Broker, ClusterDescription};
pub use configs::{ConfigChange, ConfigEntry, ConfigSource, Resource};
pub use groups::{GroupDescription, GroupListing, GroupMember};
pub use topics::{Created, NewTopic, PartitionDescription, TopicDescription};

use crate::config::AdminConfig;
use crate::transport::{AskError, Cluster};

/// What became of each of several things.
pub type Each<K, T> = BTreeMap<K, Result<T, AskError>>;

/// Looks at a cluster and changes it. Shared by reference.
#[derive(Debug)]
pub struct Admin {
    cluster: Arc<Cluster>,
}

impl Admin {
    /// An admin, which connects when it is first asked. Runs within a tokio runtime.
    pub fn new(config: AdminConfig) -> Self {
        Self { cluster: Cluster::new(config.common, false) }
    }

    /// Connects to any broker, without trying again: for those who want to know at once that none is there.
    pub async fn reach(&self) -> Result<(), AskError> {
        self.cluster.any().await?;
        Ok(())
    }

    /// Asks the broker that answers for the cluster's metadata; any broker passes it on, but old ones do not.
    async fn ask_controller<R: Request>(&self, request: &R) -> Result<R::Response, AskError> {
        self.cluster.meet().await?;
        let controller = self.cluster.routing().controller();
        match controller {
            Some(broker) => self.cluster.ask(broker, request).await,
            None => self.cluster.ask_any(request).await,
        }
    }

    /// As long as an operation may take on the broker's side, in its terms.
    fn timeout_ms(&self) -> i32 {
        self.cluster.common.request_timeout.as_millis() as i32
    }

    /// An answer's error, which makes its caller ask elsewhere next time if that would help.
    fn refused(&self, code: i16, message: Option<&str>, what: impl FnOnce() -> String) -> Result<(), AskError> {
        if ErrorCode::from_code(code) == ErrorCode::NotController {
            self.cluster.routing().invalidate();
        }
        crate::transport::refuse_unless_none(code, message, what)
    }
}
