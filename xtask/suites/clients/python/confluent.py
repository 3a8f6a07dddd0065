"""The program of confluent-kafka (librdkafka)."""

from confluent_kafka import (
    Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicCollection, TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec,
)

import program


def create(arguments):
    admin = AdminClient({"bootstrap.servers": arguments.bootstrap})
    topic = NewTopic(arguments.topic, num_partitions=arguments.partitions, replication_factor=1)
    for future in admin.create_topics([topic]).values():
        future.result(timeout=30)


def write(arguments):
    producer = Producer({
        "bootstrap.servers": arguments.bootstrap,
        "compression.type": arguments.codec,
        "enable.idempotence": True,
        "linger.ms": 20,
        # Much less than the default: so that a topic has many batches, as it would in use.
        "batch.size": 65536,
    })
    failures = []

    def delivered(error, _):
        if error:
            failures.append(error)

    for row in program.rows(arguments.rows):
        message = {
            "key": row["key"],
            "value": row["value"],
            "partition": row["partition"],
            "timestamp": row["timestamp"],
            "headers": program.headers_of(row),
            "on_delivery": delivered,
        }
        while True:
            try:
                producer.produce(arguments.topic, **message)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    left = producer.flush(60)
    if failures or left:
        raise SystemExit(f"{len(failures)} failed ({failures[:1]}), {left} without an answer")


def read(arguments):
    consumer = Consumer({
        "bootstrap.servers": arguments.bootstrap,
        "group.id": "reads-without-a-group",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "enable.partition.eof": True,
        "check.crcs": True,
    })
    partitions = consumer.list_topics(arguments.topic, timeout=30).topics[arguments.topic].partitions
    consumer.assign([TopicPartition(arguments.topic, p, 0) for p in partitions])
    at_end = set()
    while len(at_end) < len(partitions):
        for message in consumer.consume(1000, timeout=1.0):
            error = message.error()
            if error is None:
                _, timestamp = message.timestamp()
                program.print_record(message.partition(), message.offset(), timestamp, message.key(), message.value(),
                                     message.headers())
            elif error.code() == KafkaError._PARTITION_EOF:
                at_end.add(message.partition())
            else:
                raise KafkaException(error)
    consumer.close()


def member(arguments):
    consumer = Consumer({
        "bootstrap.servers": arguments.bootstrap,
        "group.id": arguments.group,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 500,
        "partition.assignment.strategy": "cooperative-sticky",
    })

    def commit(offsets):
        consumer.commit(offsets=[TopicPartition(arguments.topic, p, o) for p, o in offsets.items()], asynchronous=False)

    work = program.Member(commit)
    consumer.subscribe(
        [arguments.topic],
        on_assign=lambda _, added: work.assigned(p.partition for p in consumer.assignment() + added),
        on_revoke=lambda _, removed: work.revoked({p.partition for p in removed}),
    )
    while work.running:
        messages = consumer.consume(program.CHUNK_RECORDS, timeout=0.2)
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
        work.processed([(m.partition(), m.offset()) for m in messages])
    work.processed([])
    consumer.close()


def transact(arguments):
    producer = Producer({"bootstrap.servers": arguments.bootstrap, "transactional.id": f"{arguments.topic}-transact"})
    consumer = Consumer({"bootstrap.servers": arguments.bootstrap, "group.id": arguments.group})
    group, offsets = consumer.consumer_group_metadata(), [TopicPartition(arguments.topic, 0, 1)]
    producer.init_transactions()
    for end in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        producer.produce(arguments.topic, "in a transaction", partition=0)
        # Before an abort, which forgets what was not sent.
        producer.flush(30)
        producer.send_offsets_to_transaction(offsets, group)
        end()
    consumer.close()


def admin(arguments):
    client = AdminClient({"bootstrap.servers": arguments.bootstrap})
    spare = f"{arguments.topic}-spare"
    await_all(client.create_topics([NewTopic(spare, 1, 1)]))
    await_all(client.create_partitions([NewPartitions(spare, 2)]))
    await_all(client.alter_configs([ConfigResource("topic", spare, set_config={"retention.ms": "1000"})]))
    change = ConfigEntry("retention.ms", "2000", incremental_operation=AlterConfigOpType.SET)
    await_all(client.incremental_alter_configs([ConfigResource("topic", spare, incremental_configs=[change])]))
    await_all(client.describe_configs([ConfigResource("topic", spare)]))
    client.describe_cluster().result()
    await_all(client.describe_topics(TopicCollection([spare])))
    first = TopicPartition(arguments.topic, 0)
    for spec in (OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.max_timestamp()):
        await_all(client.list_offsets({first: spec}))
    client.list_consumer_groups().result()
    await_all(client.describe_consumer_groups([arguments.group]))
    await_all(client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(arguments.group)]))
    start = ConsumerGroupTopicPartitions(arguments.group, [TopicPartition(arguments.topic, 0, 0)])
    await_all(client.alter_consumer_group_offsets([start]))
    await_all(client.delete_consumer_groups([arguments.group]))
    await_all(client.delete_records([TopicPartition(arguments.topic, 0, 1)]))
    await_all(client.delete_topics([spare]))


def await_all(answers):
    for answer in answers.values():
        answer.result()


program.run(create, write, read, member, transact, admin)
