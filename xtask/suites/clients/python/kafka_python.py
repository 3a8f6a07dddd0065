"""The program of kafka-python, a client in Python alone."""

from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec

import program


def create(arguments):
    admin = KafkaAdminClient(bootstrap_servers=arguments.bootstrap)
    admin.create_topics({arguments.topic: {"num_partitions": arguments.partitions, "replication_factor": 1}})
    admin.close()


def write(arguments):
    codec = None if arguments.codec == "none" else arguments.codec
    producer = KafkaProducer(bootstrap_servers=arguments.bootstrap, compression_type=codec, linger_ms=20)
    answers = [
        producer.send(
            arguments.topic,
            key=None if row["key"] is None else row["key"].encode(),
            value=row["value"].encode(),
            partition=row["partition"],
            timestamp_ms=row["timestamp"],
            headers=program.headers_of(row),
        )
        for row in program.rows(arguments.rows)
    ]
    producer.flush(60)
    for answer in answers:
        answer.get(timeout=1)
    producer.close()


def read(arguments):
    consumer = KafkaConsumer(bootstrap_servers=arguments.bootstrap, auto_offset_reset="earliest")
    partitions = [TopicPartition(arguments.topic, p) for p in consumer.partitions_for_topic(arguments.topic)]
    consumer.assign(partitions)
    ends = consumer.end_offsets(partitions)
    while any(consumer.position(p) < ends[p] for p in partitions):
        for records in consumer.poll(timeout_ms=1000).values():
            for r in records:
                program.print_record(r.partition, r.offset, r.timestamp, r.key, r.value, r.headers)
    consumer.close()


def member(arguments):
    consumer = KafkaConsumer(
        bootstrap_servers=arguments.bootstrap,
        group_id=arguments.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=6000,
        heartbeat_interval_ms=500,
    )

    def commit(offsets):
        consumer.commit({TopicPartition(arguments.topic, p): OffsetAndMetadata(o, "", -1) for p, o in offsets.items()})

    work = program.Member(commit)

    class Rebalance(ConsumerRebalanceListener):
        def on_partitions_revoked(self, revoked):
            work.revoked({p.partition for p in revoked})

        def on_partitions_assigned(self, assigned):
            work.assigned(p.partition for p in assigned)

    consumer.subscribe([arguments.topic], listener=Rebalance())
    while work.running:
        polled = consumer.poll(timeout_ms=200, max_records=program.CHUNK_RECORDS)
        work.processed([(r.partition, r.offset) for records in polled.values() for r in records])
    work.processed([])
    consumer.close()


def transact(arguments):
    producer = KafkaProducer(bootstrap_servers=arguments.bootstrap, transactional_id=transactional_id(arguments))
    offsets = {TopicPartition(arguments.topic, 0): OffsetAndMetadata(1, "", -1)}
    producer.init_transactions()
    for end in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        producer.send(arguments.topic, b"in a transaction", partition=0).get(timeout=30)
        producer.send_offsets_to_transaction(offsets, arguments.group)
        end()
    producer.close()


def transactional_id(arguments):
    return f"{arguments.topic}-transact"


def admin(arguments):
    client = KafkaAdminClient(bootstrap_servers=arguments.bootstrap)
    spare, group = f"{arguments.topic}-spare", arguments.group
    client.create_topics({spare: {"num_partitions": 1, "replication_factor": 1}})
    client.create_partitions({spare: 2})
    resource = ConfigResource(ConfigResourceType.TOPIC, spare, {"retention.ms": "1000"})
    for incremental in (False, True):
        client.alter_configs([resource], incremental=incremental)
    client.describe_configs([resource])
    client.list_config_resources()
    client.describe_cluster()
    client.describe_metadata_quorum()
    client.describe_log_dirs()
    client.describe_topics([spare])
    client.describe_topic_partitions([spare])
    first = TopicPartition(arguments.topic, 0)
    for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST, OffsetSpec.MAX_TIMESTAMP):
        client.list_partition_offsets({first: spec})
    client.describe_producers([first])
    client.list_groups()
    client.describe_groups([group])
    client.list_group_offsets({group: None})
    client.alter_group_offsets(group, {first: OffsetAndMetadata(0, "", -1)})
    client.delete_group_offsets(group, [first])
    client.delete_groups([group])
    client.list_transactions()
    client.describe_transactions([transactional_id(arguments)])
    client.delete_records({first: 1})
    client.delete_topics([spare])
    client.close()


program.run(create, write, read, member, transact, admin)
