//! Everything that is counted, by name: our own names, and those that dashboards for Kafka already ask for (`kafka_exporter`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dohle_base::Partition as Index;
use dohle_base::metric::Gauge;
use dohle_log::producers::Producer;

use super::exposition::{Exposition, Kind};
use crate::catalog::View;
use crate::context::Context;
use crate::ledgers::transactions::Transactor;
use crate::partition::{Log, Partition};

/// How long a transaction may be overdue before it counts as late.
const LATE_AFTER: Duration = Duration::from_secs(5 * 60);
/// The limits of the time histogram, in microseconds.
const TIME_LIMITS_US: [u64; 12] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000];

/// The page of all metrics.
pub(crate) fn text(context: &Context) -> String {
    let view = context.catalog.view();
    let mut page = Exposition::default();
    broker(&mut page, context, &view);
    disks(&mut page, context);
    recovery(&mut page, context);
    requests(&mut page, context);
    topics(&mut page, &view);
    partitions(&mut page, &view);
    cleaning(&mut page, context, &view);
    groups(&mut page, context, &view);
    page.into_text()
}

fn broker(page: &mut Exposition, context: &Context, view: &View) {
    let mut one = |name, kind, help, value| page.single(name, kind, help, value);
    one("dohle_connections", Kind::Gauge, "Open connections.", context.crowd.open() as u64);
    one("dohle_connections_accepted_total", Kind::Counter, "Connections accepted.", context.crowd.accepted.get());
    one(
        "dohle_connections_refused_total",
        Kind::Counter,
        "Connections above a limit.",
        context.crowd.turned_away.get(),
    );
    one(
        "dohle_connections_moved_total",
        Kind::Counter,
        "Connections that went to another core.",
        context.crowd.moved.get(),
    );
    one("dohle_request_memory_bytes", Kind::Gauge, "Memory that requests take.", context.requests_budget.used());
    one(
        "dohle_answer_memory_bytes",
        Kind::Gauge,
        "Memory that records on their way out take.",
        context.answers_budget.used(),
    );
    one("dohle_fetch_sessions", Kind::Gauge, "Incremental fetch sessions.", context.sessions.len() as u64);
    one(
        "dohle_transactions_open",
        Kind::Gauge,
        "Transactions that are open with this broker's coordinators.",
        context.transactions.all().iter().map(|host| open_transactions(host)).sum(),
    );
    one(
        "dohle_partitions_with_late_transactions",
        Kind::Gauge,
        "Partitions with a transaction that should have been over for five minutes at least.",
        late_transactions(context, view),
    );
    one("dohle_partitions_led", Kind::Gauge, "Partitions that this broker leads.", view.led.len() as u64);
    one("kafka_brokers", Kind::Gauge, "Brokers in the cluster.", view.image.brokers.live().count() as u64);
}

/// A coordinator that is still loading has nothing to tell yet.
fn open_transactions(host: &Transactor) -> u64 {
    host.committed(|state| state.ongoing_count() as u64).unwrap_or(0)
}

/// Partitions of this broker in which an open transaction has been silent for longer than any may take
/// (`PartitionsWithLateTransactionsCount`).
fn late_transactions(context: &Context, view: &View) -> u64 {
    let (now, allowed) = (context.clock.wall(), context.transactions.settings.timeout_max + LATE_AFTER);
    let is_late = |producer: &Producer| {
        producer.transaction_start.is_some() && now.saturating_since(producer.last_timestamp) > allowed
    };
    let has_late = |partition: &&Arc<Partition>| {
        let look = |log: &Log| log.producers().first_open().is_some() && log.producers().iter().any(is_late);
        partition.look(|log, _| look(log)).unwrap_or(false)
    };
    view.led.values().filter(has_late).count() as u64
}

fn disks(page: &mut Exposition, context: &Context) {
    let storage = &context.storage;
    page.begin("dohle_disk_free_bytes", Kind::Gauge, "Room on the disk of a log directory.");
    for volume in storage.all() {
        if let Ok(space) = volume.space() {
            page.sample("dohle_disk_free_bytes", &[("dir", &volume.root().display())], space.usable);
        }
    }
    page.begin("dohle_disk_low", Kind::Gauge, "1 while batches are refused because the disk is nearly full.");
    for volume in storage.all() {
        page.sample("dohle_disk_low", &[("dir", &volume.root().display())], u64::from(volume.room.is_low()));
    }
    page.begin("dohle_disk_offline", Kind::Gauge, "1 once a log directory has failed.");
    for volume in storage.all() {
        page.sample("dohle_disk_offline", &[("dir", &volume.root().display())], u64::from(volume.is_offline()));
    }
    for dir in storage.dead() {
        page.sample("dohle_disk_offline", &[("dir", &dir.display())], 1u64);
    }
}

fn recovery(page: &mut Exposition, context: &Context) {
    let recovery = &context.storage.recovery;
    let mut one = |name, kind, help, value| page.single(name, kind, help, value);
    one("dohle_recovery_logs_left", Kind::Gauge, "Logs that are still to be opened.", recovery.logs_left());
    let progress = &recovery.progress;
    one("dohle_recovery_segments_left", Kind::Gauge, "Segments still to be read.", progress.segments_left());
    one("dohle_recovery_bytes_left", Kind::Gauge, "Bytes still to be read.", progress.bytes_left());
    one("dohle_recovery_bytes_total", Kind::Counter, "Bytes read and checked.", progress.bytes_read());
    one("dohle_recovery_torn_total", Kind::Counter, "Logs whose torn tail was cut.", recovery.torn.get());
    one("dohle_recovery_restored_total", Kind::Counter, "Batches given back from a journal.", recovery.restored.get());
    one("dohle_recovery_quarantined_total", Kind::Counter, "Segments put aside.", recovery.quarantined.get());
    one("dohle_recovery_missing_records_total", Kind::Counter, "Acknowledged records lost.", recovery.missing.get());
}

fn requests(page: &mut Exposition, context: &Context) {
    page.begin("dohle_request_outcomes_total", Kind::Counter, "Outcomes of requests by API and error.");
    for served in context.apis.iter() {
        for (error, count) in served.cells.outcomes() {
            page.sample("dohle_request_outcomes_total", &[("api", &served.api.key), ("error", &error)], count);
        }
    }
    page.begin("dohle_request_seconds", Kind::Histogram, "Time from a request to its answer by API.");
    for served in context.apis.iter() {
        let (api, times) = (&served.api.key, served.cells.time_us.snapshot());
        if times.count == 0 {
            continue;
        }
        for limit in TIME_LIMITS_US {
            let labels: [(&str, &dyn std::fmt::Display); 2] = [("api", api), ("le", &(limit as f64 / 1e6))];
            page.sample("dohle_request_seconds_bucket", &labels, times.at_most(limit));
        }
        page.sample("dohle_request_seconds_bucket", &[("api", api), ("le", &"+Inf")], times.count);
        page.sample("dohle_request_seconds_sum", &[("api", api)], times.sum as f64 / 1e6);
        page.sample("dohle_request_seconds_count", &[("api", api)], times.count);
    }
}

/// What is summed up over the partitions of a topic that are led here.
#[derive(Default)]
struct Flow {
    bytes_in: u64,
    bytes_out: u64,
    messages_in: u64,
}

fn topics(page: &mut Exposition, view: &View) {
    let mut flows: BTreeMap<&str, Flow> = BTreeMap::new();
    for partition in view.led.values() {
        let flow = flows.entry(partition.topic.as_str()).or_default();
        flow.bytes_in += partition.cells.bytes_in.get();
        flow.bytes_out += partition.cells.bytes_out.get();
        flow.messages_in += partition.cells.messages_in.get();
    }
    let mut each = |name: &str, help: &str, count: fn(&Flow) -> u64| {
        page.begin(name, Kind::Counter, help);
        for (topic, flow) in &flows {
            page.sample(name, &[("topic", topic)], count(flow));
        }
    };
    each("dohle_topic_bytes_in_total", "Bytes of batches appended.", |flow| flow.bytes_in);
    each("dohle_topic_bytes_out_total", "Bytes of batches fetched.", |flow| flow.bytes_out);
    each("dohle_topic_messages_in_total", "Records appended.", |flow| flow.messages_in);
    page.begin("kafka_topic_partitions", Kind::Gauge, "Partitions of a topic.");
    for topic in view.image.topics.iter() {
        page.sample("kafka_topic_partitions", &[("topic", &topic.name)], topic.partition_count());
    }
}

fn partitions(page: &mut Exposition, view: &View) {
    let mut each = |name: &str, help: &str, value: &dyn Fn(&Arc<Partition>) -> Option<u64>| {
        page.begin(name, Kind::Gauge, help);
        for partition in view.led.values() {
            if let Some(value) = value(partition) {
                page.sample(name, &[("topic", &partition.topic), ("partition", &partition.index)], value);
            }
        }
    };
    each("dohle_partition_log_bytes", "Bytes of a partition's log.", &|partition| {
        partition.look(|log, _| log.size()).ok()
    });
    each("dohle_partition_log_segments", "Segments of a partition's log.", &|partition| {
        partition.look(|log, _| log.segments().len() as u64).ok()
    });
    each("kafka_topic_partition_current_offset", "The end of what may be read.", &|partition| {
        u64::try_from(partition.high_watermark().0).ok()
    });
    each("kafka_topic_partition_oldest_offset", "The start of the log.", &|partition| {
        partition.look(|log, _| log.start().0 as u64).ok()
    });
    each("kafka_topic_partition_in_sync_replica", "Members of the in-sync set.", &|partition| {
        Some(partition.cells.in_sync.load(std::sync::atomic::Ordering::Relaxed) as u64)
    });
}

fn cleaning(page: &mut Exposition, context: &Context, view: &View) {
    let mut one = |name, kind, help, value| page.single(name, kind, help, value);
    let (cleaner, scrub) = (&context.cleaner, &context.scrub);
    let level = |gauge: &Gauge| gauge.get().max(0) as u64;
    one("dohle_cleaner_passes_total", Kind::Counter, "Passes of compaction over a log.", cleaner.passes.get());
    one("dohle_cleaner_bytes_read_total", Kind::Counter, "Bytes that compaction has read.", cleaner.bytes_read.get());
    one("dohle_cleaner_bytes_removed_total", Kind::Counter, "Bytes less after it.", cleaner.bytes_removed.get());
    one("dohle_cleaner_records_removed_total", Kind::Counter, "Records less after it.", cleaner.records_removed.get());
    one("dohle_cleaner_deaths_total", Kind::Counter, "Threads of compaction that died.", cleaner.deaths.get());
    one("dohle_cleaner_uncleanable", Kind::Gauge, "Logs that cannot be compacted.", level(&cleaner.uncleanable));
    one("dohle_cleaner_dirtiest_percent", Kind::Gauge, "How dirty the dirtiest is.", level(&cleaner.dirtiest_percent));
    one("dohle_scrub_bytes_total", Kind::Counter, "Bytes of closed segments that were scrubbed.", scrub.bytes.get());
    one("dohle_scrub_rounds_total", Kind::Counter, "Rounds over all closed segments.", scrub.rounds.get());
    one("dohle_scrub_damages_total", Kind::Counter, "Damaged places that were found.", scrub.damaged.get());
    one("dohle_scrub_deaths_total", Kind::Counter, "Threads of scrubbing that died.", scrub.deaths.get());
    let damaged = view.led.values().filter_map(|partition| partition.look(|log, _| log.damaged() as u64).ok()).sum();
    one("dohle_damaged_places", Kind::Gauge, "Damaged places that are not served.", damaged);
}

fn groups(page: &mut Exposition, context: &Context, view: &View) {
    let mut lags: Vec<(String, String, Index, i64, i64)> = vec![];
    for host in context.groups.all() {
        // A coordinator that is still loading has nothing to tell yet. The copy shares its memory, and holds up nobody.
        let Ok(coordinator) = host.committed(Clone::clone) else { continue };
        for group in coordinator.group_ids() {
            for (key, value) in coordinator.offsets_of(group) {
                let Some(end) = end_of(view, &key.topic, key.partition) else { continue };
                let lag = (end - value.offset.0).max(0);
                lags.push((group.to_string(), key.topic.to_string(), key.partition, value.offset.0, lag));
            }
        }
    }
    let mut each = |name: &str, help: &str, value: fn(&(String, String, Index, i64, i64)) -> i64| {
        page.begin(name, Kind::Gauge, help);
        for lag in &lags {
            let (group, topic, partition, ..) = lag;
            page.sample(name, &[("consumergroup", group), ("topic", topic), ("partition", partition)], value(lag));
        }
    };
    each("kafka_consumergroup_current_offset", "Where a group will read next.", |lag| lag.3);
    each("kafka_consumergroup_lag", "Records that a group has not read.", |lag| lag.4);
}

fn end_of(view: &View, topic: &str, partition: Index) -> Option<i64> {
    let id = view.topic(topic)?.id;
    Some(view.partition(id, partition)?.high_watermark().0)
}
