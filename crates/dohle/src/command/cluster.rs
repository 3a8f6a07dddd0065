//! `dohle cluster`.

use clap::Subcommand;
use dohle_client::admin::ClusterDescription;
use serde::Serialize;

use super::Common;
use crate::output::table;
use crate::text::number::or_dash;

const DESCRIBE_HELP: &str = "\
Examples:
  dohle cluster describe
  dohle cluster describe --bootstrap broker-1:9092,broker-2:9092

JSON: {\"id\", \"controller\", \"brokers\": [{\"id\", \"host\", \"port\", \"rack\", \"controller\"}]}";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show the cluster's id and its brokers
    #[command(after_help = DESCRIBE_HELP)]
    Describe,
}

#[derive(Serialize)]
struct Cluster {
    id: String,
    controller: Option<i32>,
    brokers: Vec<Broker>,
}

#[derive(Serialize)]
struct Broker {
    id: i32,
    host: String,
    port: u16,
    rack: Option<String>,
    controller: bool,
}

pub(super) async fn run(common: &Common, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Describe => {
            let cluster = Cluster::from(common.admin().await?.describe_cluster().await?);
            common.output().one(&cluster, text)
        }
    }
}

impl From<ClusterDescription> for Cluster {
    fn from(cluster: ClusterDescription) -> Self {
        let controller = cluster.controller;
        let broker = |broker: dohle_client::admin::Broker| Broker {
            id: broker.id.0,
            host: broker.address.host,
            port: broker.address.port,
            rack: broker.rack,
            controller: controller == Some(broker.id),
        };
        Self {
            id: cluster.id,
            controller: controller.map(|id| id.0),
            brokers: cluster.brokers.into_iter().map(broker).collect(),
        }
    }
}

fn text(cluster: &Cluster) -> String {
    let row = |broker: &Broker| {
        let address = format!("{}:{}", broker.host, broker.port);
        let role = if broker.controller { "yes" } else { "" };
        [broker.id.to_string(), address, or_dash(broker.rack.as_ref()), role.to_owned()]
    };
    let brokers = table(["BROKER", "ADDRESS", "RACK", "CONTROLLER"], cluster.brokers.iter().map(row));
    format!("cluster {}\n{brokers}", cluster.id)
}
