//! The cluster as a whole.

use dohle_base::BrokerId;
use dohle_protocol::message::DescribeClusterRequest;

use super::Admin;
use crate::config::Address;
use crate::transport::AskError;

/// A cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Its id.
    pub id: String,
    /// The broker that answers for its metadata.
    pub controller: Option<BrokerId>,
    /// Its brokers, by id.
    pub brokers: Vec<Broker>,
}

/// A broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its id.
    pub id: BrokerId,
    /// Where it listens.
    pub address: Address,
    /// Where it stands, when it says so.
    pub rack: Option<String>,
}

impl Admin {
    /// The cluster's id and brokers.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, AskError> {
        let answer = self
            .cluster
            .persist(|| async {
                let answer = self.cluster.ask_any(&DescribeClusterRequest::default()).await?;
                self.refused(answer.error_code, answer.error_message.as_deref(), || "cluster".to_owned())?;
                Ok(answer)
            })
            .await?;
        let mut brokers: Vec<Broker> = answer
            .brokers
            .iter()
            .map(|broker| Broker {
                id: BrokerId(broker.broker_id),
                address: Address { host: broker.host.to_string(), port: u16::try_from(broker.port).unwrap_or(0) },
                rack: broker.rack.as_ref().map(|rack| rack.to_string()),
            })
            .collect();
        brokers.sort_by_key(|broker| broker.id);
        let controller = Some(BrokerId(answer.controller_id)).filter(|id| *id != BrokerId::NONE);
        Ok(ClusterDescription { id: answer.cluster_id.to_string(), controller, brokers })
    }
}
