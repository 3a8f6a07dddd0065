//! The table of workloads: each a value, with the targets that the project has set itself. Numbers of rows are never given to others.

use std::time::Duration;

use super::entrant::Entrant::{Dohle, DohleRelaxed, Kafka, KafkaFsync, KafkaTuned};
use super::floor::{Floor, Segments};
use super::row::Step::{Beside, Forget, Measure, Run};
use super::row::Target::{AtMost, Part, Shown, Times};
use super::row::{Cores, Figure, Kept, Program, Row, Topic, Work};

/// About four segments of a partition: for a few partitions.
const FEW: Kept = Kept::Recent { segment_mib: 64, retention_mib: 192 };
/// The same page cache over a hundred partitions.
const HUNDRED: Kept = Kept::Recent { segment_mib: 16, retention_mib: 16 };

const fn partitions(partitions: u32) -> Topic {
    Topic { topics: 1, partitions, config: &[] }
}

/// The floor of batches of 16 KiB over a hundred partitions.
const FLOOR_16_KIB: Option<Floor> = Some(Floor::Produce {
    frame_bytes: 16 << 10,
    connections: 4,
    in_flight: 5,
    files: 100,
    kept: Segments { bytes: 16 << 20, closed: 1 },
});

/// The floor of 50 producers that wait for each acknowledgement. It does not sync.
const fn floor_one_at_a_time(files: usize) -> Option<Floor> {
    let kept = Segments { bytes: 64 << 20, closed: 3 };
    Some(Floor::Produce { frame_bytes: 16 << 10, connections: 50, in_flight: 1, files, kept })
}

/// 10,000 partitions.
const MANY: Topic = Topic { topics: 10, partitions: 1000, config: &[] };

const PINNED: Row = Row {
    id: "",
    workload: "",
    cores: Cores::Pinned,
    topic: partitions(1),
    kept: FEW,
    pair: [Kafka, DohleRelaxed],
    beside: &[],
    floor: None,
    hours: None,
    work: Work::Load(&[]),
    figures: &[],
};
const FREE: Row = Row { cores: Cores::Free, ..PINNED };
/// Both as they come out of the box: Kafka without syncs, Dohle with them.
const BY_DEFAULT: Row = Row { topic: partitions(100), kept: HUNDRED, pair: [Kafka, Dohle], ..FREE };

const LATENCY: &[Figure] =
    &[Figure::end_to_end_p50(Part(0.4)), Figure::end_to_end_p99(Part(0.3)), Figure::end_to_end_p99_9(Part(0.25))];
const CONNECTIONS: &[Figure] =
    &[Figure::cpu_per_request(Part(0.35)).floor(10.0), Figure::memory_per_connection(AtMost(8.0))];
const FIXED_RATE: &[Figure] = &[Figure::cpu_per_gb(Shown)];

/// All of them, in the order of the page.
pub(super) const ROWS: &[Row] = &[
    Row {
        id: "1a",
        workload: "produce records of 1 KiB in batches of 1 MB, 1 partition, as fast as it goes",
        beside: &[Dohle],
        floor: Some(Floor::Produce {
            frame_bytes: 1_000_000,
            connections: 1,
            in_flight: 5,
            files: 1,
            kept: Segments { bytes: 64 << 20, closed: 3 },
        }),
        work: Work::Load(&[Measure(
            "run",
            "produce --record-size 1024 --batch-size 1000000 --connections 1 --in-flight 5 \
             --rate max --warm-up {warm} --for {for}",
        )]),
        figures: &[Figure::cpu_per_gb(Part(0.5)).floor(0.39), Figure::mb_per_second(Shown)],
        ..PINNED
    },
    Row {
        id: "1b.1k",
        workload: "produce records of 1 KiB in batches of 16 KiB, one in a request, 100 partitions, as fast as it goes",
        topic: partitions(100),
        kept: HUNDRED,
        beside: &[Dohle, KafkaTuned],
        floor: FLOOR_16_KIB,
        work: Work::Load(&[Measure(
            "run",
            "produce --record-size 1024 --batch-size 16384 --connections 4 --in-flight 5 \
             --rate max --warm-up {warm} --for {for}",
        )]),
        figures: &[Figure::cpu_per_request(Part(0.35)).floor(19.0), Figure::mb_per_second(Shown)],
        ..PINNED
    },
    Row {
        id: "1b.100",
        workload: "the same with records of 100 bytes",
        topic: partitions(100),
        kept: HUNDRED,
        beside: &[Dohle],
        floor: FLOOR_16_KIB,
        work: Work::Load(&[Measure(
            "run",
            "produce --record-size 100 --batch-size 16384 --connections 4 --in-flight 5 \
             --rate max --warm-up {warm} --for {for}",
        )]),
        figures: &[Figure::cpu_per_request(Part(0.35)).floor(19.0), Figure::mb_per_second(Shown)],
        ..PINNED
    },
    Row {
        id: "1c",
        workload: "produce batches of 4 KiB, ten in a request, over 10,000 partitions, 1,000 batches/s",
        topic: MANY,
        work: Work::Load(&[Measure(
            "run",
            "produce --record-size 1024 --batch-size 4096 --batches-per-request 10 \
             --connections 4 --in-flight 5 --rate 3000 --warm-up {warm} --for {for}",
        )]),
        figures: &[Figure::cpu_per_gb(Part(0.4))],
        ..PINNED
    },
    Row {
        id: "2.1k",
        workload: "end to end, records of 100 bytes, 1,000 records/s, one in a request",
        beside: &[Dohle],
        floor: Some(Floor::Latency { frame_bytes: 250, per_second: 1_000 }),
        work: Work::Load(&[Measure(
            "run",
            "latency --record-size 100 --batch-size 1 --consumers 1 --rate 1000 --warm-up {warm} --for {for}",
        )]),
        figures: &[
            Figure::end_to_end_p50(Part(0.4)).floor(0.052),
            Figure::end_to_end_p99(Part(0.3)).floor(0.129),
            Figure::end_to_end_p99_9(Part(0.25)),
        ],
        ..FREE
    },
    Row {
        id: "2.10k",
        workload: "end to end, records of 100 bytes, 10,000 records/s in batches of 1 KiB over 10 partitions",
        topic: partitions(10),
        beside: &[Dohle, KafkaTuned],
        work: Work::Load(&[Measure(
            "run",
            "latency --record-size 100 --batch-size 1024 --connections 4 --consumers 1 --rate 10000 \
             --warm-up {warm} --for {for}",
        )]),
        figures: LATENCY,
        ..FREE
    },
    Row {
        id: "2.50k",
        workload: "end to end, records of 100 bytes, 50,000 records/s in batches of 4 KiB over 10 partitions",
        topic: partitions(10),
        beside: &[Dohle],
        work: Work::Load(&[Measure(
            "run",
            "latency --record-size 100 --batch-size 4096 --connections 4 --consumers 1 --rate 50000 \
             --warm-up {warm} --for {for}",
        )]),
        figures: LATENCY,
        ..FREE
    },
    Row {
        id: "3.1",
        workload: "one consumer at the tail of 50 MB/s in batches of 64 KiB; what the producer costs is in it",
        topic: partitions(10),
        work: Work::Load(&[
            Beside("produce --record-size 1024 --batch-size 65536 --rate 50000 --warm-up 0s --for {all}"),
            Measure("run", "consume --consumers 1 --from latest --warm-up {warm} --for {for}"),
        ]),
        figures: &[Figure::cpu_per_gb(Part(0.6))],
        ..PINNED
    },
    Row {
        id: "3.5",
        workload: "five consumers, each of all, at the tail of 30 MB/s in batches of 64 KiB; likewise",
        topic: partitions(10),
        work: Work::Load(&[
            Beside("produce --record-size 1024 --batch-size 65536 --rate 30000 --warm-up 0s --for {all}"),
            Measure("run", "consume --consumers 5 --from latest --warm-up {warm} --for {for}"),
        ]),
        figures: &[Figure::cpu_per_gb(Part(0.7))],
        ..PINNED
    },
    Row {
        id: "4.catch-up",
        workload: "one consumer reads 4 GB that are cold, after it has read them warm",
        topic: partitions(4),
        kept: Kept::All,
        work: Work::Load(&[
            Run("produce --record-size 1024 --batch-size 65536 --rate 200000 --warm-up 0s --for 20s"),
            Run("consume --consumers 1 --from earliest --until-end --for 300s"),
            Forget,
            Measure("run", "consume --consumers 1 --from earliest --until-end --for 300s"),
        ]),
        figures: &[Figure::cpu_per_gb(Part(0.4)), Figure::mb_per_second(Shown)],
        ..PINNED
    },
    Row {
        id: "4.beside",
        workload: "a producer of 5,000 records/s, one in a request, while another reads 4 GB that are cold",
        topic: partitions(4),
        kept: Kept::All,
        work: Work::Load(&[
            Run("produce --record-size 1024 --batch-size 65536 --rate 200000 --warm-up 0s --for 20s"),
            Run("consume --consumers 1 --from earliest --until-end --for 300s"),
            Run("produce --record-size 100 --batch-size 1 --rate 5000 --warm-up 0s --for {warm}"),
            Forget,
            Beside("consume --consumers 1 --from earliest --warm-up 0s --for {all}"),
            Measure("run", "produce --record-size 100 --batch-size 1 --rate 5000 --warm-up 0s --for 4s"),
        ]),
        figures: &[Figure::acknowledged_p99(Part(0.1))],
        ..FREE
    },
    Row {
        id: "5.50",
        workload: "50 connections, one record of 100 bytes in a request, 5,000 requests/s together",
        work: Work::Load(&[
            Measure("idle", "connections --connections 50 --for 5s"),
            Measure("run", "connections --connections 50 --rate 5000 --record-size 100 --warm-up {warm} --for {for}"),
        ]),
        figures: &[Figure::cpu_per_request(Part(0.35)).floor(10.0), Figure::memory_per_connection(Shown)],
        ..PINNED
    },
    Row {
        id: "5.1000",
        workload: "1,000 connections, one record of 100 bytes in a request, 5,000 requests/s together",
        work: Work::Load(&[
            Measure("idle", "connections --connections 1000 --for 5s"),
            Measure("run", "connections --connections 1000 --rate 5000 --record-size 100 --warm-up {warm} --for {for}"),
        ]),
        figures: CONNECTIONS,
        ..PINNED
    },
    Row {
        id: "5.5000",
        workload: "5,000 connections, one record of 100 bytes in a request, 5,000 requests/s together",
        work: Work::Load(&[
            Measure("idle", "connections --connections 5000 --for 5s"),
            Measure("run", "connections --connections 5000 --rate 5000 --record-size 100 --warm-up {warm} --for {for}"),
        ]),
        figures: CONNECTIONS,
        ..PINNED
    },
    Row {
        id: "5.neighbours",
        workload: "5,000 connections as before, alone and beside one consumer that reads 64 KiB/s of a backlog, one that \
                   takes nothing, and 200 connections a second that are given up",
        work: Work::Load(&[
            Run("produce --record-size 1024 --batch-size 65536 --rate 100000 --warm-up 0s --for 10s"),
            Measure(
                "calm",
                "connections --connections 5000 --rate 5000 --record-size 100 --warm-up {warm} --for {for}",
            ),
            Beside("disturb --slow 1 --stalled 1 --storm 200 --for {all}"),
            Measure("run", "connections --connections 5000 --rate 5000 --record-size 100 --warm-up {warm} --for {for}"),
        ]),
        figures: &[
            Figure::acknowledged_p99(Shown),
            Figure::new("acknowledged, p99", "× alone", "run/latency_us/p99", 1.0, AtMost(2.0))
                .per("calm/latency_us/p99"),
        ],
        ..FREE
    },
    Row {
        id: "8",
        workload: "from the start of the process to the first acknowledged record, files in the page cache",
        pair: [Kafka, Dohle],
        work: Work::Start,
        figures: &[
            Figure::seconds("empty folder", "start/empty_seconds", AtMost(0.1)),
            Figure::seconds("10,000 partitions, clean stop", "start/clean_seconds", AtMost(0.5)),
            Figure::seconds("10,000 partitions, kill -9", "start/killed_seconds", AtMost(2.0)),
        ],
        ..FREE
    },
    Row {
        id: "8b",
        workload: "idle",
        pair: [Kafka, Dohle],
        work: Work::Idle,
        figures: &[
            Figure::megabytes("resident memory", "idle/resident_bytes", AtMost(20.0)),
            Figure::megabytes("more with 10,000 partitions", "idle/partitions_added_bytes", AtMost(40.0)),
            Figure::percent("of a core", "idle/cpu", AtMost(0.2)),
            Figure::percent("of a core with 10,000 partitions", "idle/partitions_cpu", Shown),
        ],
        ..FREE
    },
    Row {
        id: "10.through",
        workload: "produce text that is compressed with zstd into a topic that keeps it so",
        topic: Topic { topics: 1, partitions: 10, config: &["compression.type=producer"] },
        work: Work::Load(&[Measure(
            "run",
            "produce --compression zstd --payload text \
             --record-size 1000 --batch-size 65536 --connections 2 --in-flight 5 --rate max --warm-up {warm} --for {for}",
        )]),
        figures: &[Figure::cpu_per_gb(Part(0.3)), Figure::mb_per_second(Shown)],
        ..PINNED
    },
    Row {
        id: "10.recompress",
        workload: "produce text that is compressed with lz4 into a topic with compression.type=zstd",
        topic: Topic { topics: 1, partitions: 10, config: &["compression.type=zstd"] },
        work: Work::Load(&[Measure(
            "run",
            "produce --compression lz4 --payload text \
             --record-size 1000 --batch-size 65536 --connections 2 --in-flight 5 --rate max --warm-up {warm} --for {for}",
        )]),
        figures: &[Figure::cpu_per_gb(Part(0.8)), Figure::mb_per_second(Shown)],
        ..PINNED
    },
    Row {
        id: "12.100",
        workload: "50 producers with one request under way each, batches of 16 KiB, 100 partitions; all is synced",
        topic: partitions(100),
        pair: [KafkaFsync, Dohle],
        floor: floor_one_at_a_time(100),
        work: Work::Load(&[Measure(
            "run",
            "produce --record-size 1024 --batch-size 16384 --connections 50 --in-flight 1 \
             --rate max --warm-up {warm} --for {for}",
        )]),
        figures: &[Figure::mb_per_second(Times(3.0)), Figure::acknowledged_p99(Part(0.3))],
        ..FREE
    },
    Row {
        id: "12.10000",
        workload: "the same over 10,000 partitions; more is better, for MB/s",
        topic: MANY,
        pair: [KafkaFsync, Dohle],
        floor: floor_one_at_a_time(10_000),
        work: Work::Load(&[Measure(
            "run",
            "produce --record-size 1024 --batch-size 16384 --connections 50 --in-flight 1 \
             --rate max --warm-up {warm} --for {for}",
        )]),
        figures: &[Figure::mb_per_second(Times(10.0)), Figure::acknowledged_p99(Part(0.3))],
        ..FREE
    },
    Row {
        id: "12.default",
        workload: "both by their defaults, only Dohle syncs: 50 producers that always have more to send, with ten batches of 16 KiB \
                   in a request, 100 partitions",
        work: Work::Load(&[Measure(
            "run",
            "produce --record-size 1024 --batch-size 16384 --batches-per-request 10 --connections 50 --in-flight 5 \
             --rate max --warm-up {warm} --for {for}",
        )]),
        figures: &[Figure::mb_per_second(Times(1.0)), Figure::acknowledged_p99(Shown)],
        ..BY_DEFAULT
    },
    Row {
        id: "12.small",
        workload: "the same with one batch in a request",
        work: Work::Load(&[Measure(
            "run",
            "produce --record-size 1024 --batch-size 16384 --connections 50 --in-flight 5 \
             --rate max --warm-up {warm} --for {for}",
        )]),
        figures: &[Figure::mb_per_second(Shown), Figure::acknowledged_p99(Shown)],
        ..BY_DEFAULT
    },
    Row {
        id: "14",
        workload: "one hour of 20 MB/s in batches of 16 KiB, 10 partitions, one consumer; retention begins after five minutes",
        hours: Some(Duration::from_secs(3600)),
        topic: partitions(10),
        kept: Kept::Recent { segment_mib: 64, retention_mib: 512 },
        work: Work::Load(&[Measure(
            "run",
            "latency --record-size 1024 --batch-size 16384 --connections 4 --consumers 1 --rate 20000 \
             --warm-up {warm} --for {for}",
        )]),
        figures: &[
            Figure::end_to_end_p99(Shown),
            Figure::percent("p99 of a minute, furthest from their median", "flat/p99_apart", Shown),
            Figure::percent("of that, what a bare relay does not have too", "flat/p99_apart_by_itself", AtMost(20.0)),
            Figure::percent("the same, minutes 6 to 10 above 1 to 4", "flat/retention_step", AtMost(20.0)),
            Figure::percent("resident memory, slope an hour after 20 minutes", "flat/resident_slope", AtMost(1.0)),
        ],
        ..FREE
    },
    Row {
        id: "cross.rdkafka",
        workload: "rdkafka_performance produces records of 1,000 bytes at a fixed rate",
        work: Work::Foreign(Program::Librdkafka),
        figures: FIXED_RATE,
        ..PINNED
    },
    Row {
        id: "cross.producer",
        workload: "Kafka's ProducerPerformance produces records of 1,000 bytes at a fixed rate",
        work: Work::Foreign(Program::JavaProducer),
        figures: FIXED_RATE,
        ..PINNED
    },
    Row {
        id: "cross.consumer",
        workload: "Kafka's ConsumerPerformance reads records of 1,000 bytes from the beginning",
        kept: Kept::All,
        work: Work::Foreign(Program::JavaConsumer),
        figures: FIXED_RATE,
        ..PINNED
    },
];
