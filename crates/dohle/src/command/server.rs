//! `dohle server`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use dohle_broker::Running;
use serde::Serialize;

use super::Common;
use crate::compose::Said;
use crate::interrupt;
use crate::text::pair;

const EXAMPLES: &str = "\
Examples:
  dohle server                                          data in ./dohle-data, clients on 127.0.0.1:9092
  dohle server --data-dir /var/lib/dohle --http 127.0.0.1:8080
  dohle server --listen PLAINTEXT://127.0.0.1:0         a port that the system chooses
  dohle server --config server.properties --set num.partitions=3
  dohle server --listen PLAINTEXT://0.0.0.0:9092 --insecure

An empty data directory needs no preparation. One line with the addresses says that the broker serves; SIGTERM or Ctrl-C
stops it cleanly. Keys of Kafka's server.properties are obeyed where they are known; the others are named once.
JSON (with --json): {\"listeners\": [ADDRESS], \"http\", \"cluster_id\"}";

/// Whether the disks still do is looked at so often.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// A file of properties, as Kafka's brokers read it
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A property, which wins over the file
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair::parse)]
    set: Vec<(String, String)>,
    /// Where the data is
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where clients may call, several times for several listeners
    #[arg(long, value_name = "NAME://HOST:PORT")]
    listen: Vec<String>,
    /// Where /metrics and /health are served
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<String>,
    /// Allow unencrypted listeners that other machines can reach
    #[arg(long)]
    insecure: bool,
}

#[derive(Serialize)]
struct Serving {
    listeners: Vec<String>,
    http: Option<String>,
    cluster_id: String,
}

pub(super) fn run(common: &Common, arguments: Arguments) -> anyhow::Result<()> {
    let said = Said {
        file: arguments.config,
        set: arguments.set,
        data_dir: arguments.data_dir,
        listen: arguments.listen,
        http: arguments.http,
        insecure: arguments.insecure,
    };
    let settings = said.settings()?;
    if !settings.unknown().is_empty() {
        eprintln!("warning: properties that are not known here are ignored: {}", settings.unknown().join(", "));
    }
    if !settings.unmet_security().is_empty() {
        let keys = settings.unmet_security().join(", ");
        eprintln!("warning: nobody is asked for a login or kept out: these properties have no effect yet: {keys}");
    }
    super::wait_for(async {
        let interrupted = interrupt::wait();
        tokio::pin!(interrupted);
        let running = dohle_broker::start(settings)?;
        say(common, &running)?;
        let failed = loop {
            tokio::select! {
                interrupted = &mut interrupted => break interrupted.map(|()| false)?,
                () = tokio::time::sleep(HEALTH_INTERVAL) => if running.has_failed() { break true },
            }
        };
        running.stop();
        if failed {
            bail!("the data directory cannot be written to any more; see above, replace the disk, then start again");
        }
        Ok(())
    })
}

fn say(common: &Common, running: &Running) -> anyhow::Result<()> {
    let serving = Serving {
        listeners: running.listeners().iter().map(|listener| listener.bind.to_string()).collect(),
        http: running.http().map(|address| format!("http://{address}")),
        cluster_id: running.cluster_id().to_owned(),
    };
    common.output().one(&serving, |serving| {
        let http = serving.http.as_ref().map(|http| format!(", metrics at {http}/metrics")).unwrap_or_default();
        format!("dohle serves {}{http}, cluster {}", serving.listeners.join(" "), serving.cluster_id)
    })
}
