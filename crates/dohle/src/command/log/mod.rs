//! `dohle log`: a directory of logs, ours or Apache Kafka's, looked at while no broker has it.

mod dump;
mod internal;
mod place;
mod record;
mod repair;
mod verify;

use clap::Subcommand;

use super::Common;

const DUMP_HELP: &str = "\
Examples:
  dohle log dump data                                        every segment of every partition, batch by batch
  dohle log dump data/orders-0 --records
  dohle log dump data/__consumer_offsets-3 --records         groups, members and offsets, decoded
  dohle log dump data/orders-0 --records --from 1000 --until 1100 --json | jq -r .value

DIR is a directory of logs, or of one partition. Nothing is changed.
JSON: {\"type\": \"batch\", \"partition\", \"segment\", \"position\", \"bytes\", \"base_offset\", \"last_offset\", \"records\", \"leader_epoch\",
\"codec\", \"timestamp_type\", \"max_timestamp\", \"producer_id\", \"producer_epoch\", \"base_sequence\", \"transactional\", \"control\",
\"delete_horizon\", \"sound\"}, a line for each batch; with --records {\"type\": \"record\", \"partition\", \"offset\", \"timestamp\",
\"key\" or \"key_base64\", \"value\" or \"value_base64\", \"headers\": [[NAME, VALUE]], \"control\", \"decoded\"} behind it;
{\"type\": \"damage\", \"partition\", \"segment\", \"position\", \"damage\"} where there is no batch";

const VERIFY_HELP: &str = "\
Examples:
  dohle log verify data
  dohle log verify data/orders-0 data/orders-1
  dohle log verify /var/lib/kafka/data --json | jq -r 'select(.type == \"finding\") | .file'

Batches count: checksums, offsets, epochs and records are read, and everything else is compared with them: offset, time and
abort indexes, producer snapshots, leader epochs, the checkpoints of the directory. Nothing is changed.
A line for each finding; exit code 1 when there is any.
JSON: {\"type\": \"finding\", \"partition\", \"file\", \"position\", \"finding\"}, a line for each; at the end
{\"type\": \"summary\", \"partitions\", \"segments\", \"batches\", \"records\", \"findings\"}";

const REPAIR_HELP: &str = "\
Examples:
  dohle log repair data                                      show what would be done
  dohle log repair data/orders-0 --yes                       and do it
  dohle log repair data/orders-0 --yes --lose-records        also where sound records lie behind the damage

The log is cut before the first batch that is not sound; indexes, snapshots and epochs that disagree with the batches are
made anew; a checkpoint that is ahead of a log is lowered to its end. What is cut or replaced is kept beside it as .quarantine.
No broker may have the directory.
JSON: {\"partition\", \"action\", \"file\", \"position\", \"bytes\", \"records_lost\", \"done\"}, a line for each step";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show segments, batches and records
    #[command(after_help = DUMP_HELP)]
    Dump(dump::Arguments),
    /// Look for damage
    #[command(after_help = VERIFY_HELP)]
    Verify(verify::Arguments),
    /// Show what would mend the damage, and do it with --yes
    #[command(after_help = REPAIR_HELP)]
    Repair(repair::Arguments),
}

pub(super) fn run(common: &Common, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Dump(arguments) => dump::run(common, arguments),
        Command::Verify(arguments) => verify::run(common, arguments),
        Command::Repair(arguments) => repair::run(common, arguments),
    }
}
