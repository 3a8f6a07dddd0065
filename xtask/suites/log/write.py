"""Writes everything that a log can hold: every codec, nulls and headers, transactions of both fates, a topic that is compacted.

No text holds a blank, so that a line of a dump tool can be taken apart.
"""

import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
COMPACTED_KEYS = 50
COMPACTION_LIMIT_S = 60


def create(bootstrap, names, config):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topics = [NewTopic(name, num_partitions=2, replication_factor=1, config=config) for name in names]
    for created in admin.create_topics(topics).values():
        created.result(30)


def rows(count):
    for number in range(count):
        key = None if number % 5 == 0 else f"key-{number % 17}"
        value = None if number % 13 == 0 else f"value-{number}-" + "again-and-" * (number % 9)
        headers = [("n", str(number)), ("none", None)][: number % 3]
        yield number, key, value, headers


def write(bootstrap, topic, codec, count):
    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 5,
                         "batch.num.messages": 50, "enable.idempotence": True})
    for number, key, value, headers in rows(count):
        producer.produce(topic, key=key, value=value, headers=headers, partition=number % 2,
                         timestamp=1_700_000_000_000 + number)
        if number % 200 == 0:
            producer.flush(30)
    assert producer.flush(30) == 0


def transactions(bootstrap, topic, count):
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": topic, "linger.ms": 2})
    producer.init_transactions(30)
    for number in range(count):
        producer.begin_transaction()
        for place in range(4):
            producer.produce(topic, key=f"key-{place}", value=f"value-{number}-{place}", partition=place % 2)
        producer.flush(30)
        if number % 3 == 0:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)


def compacted(bootstrap, topic):
    """Rounds of the same keys until the broker has removed some of the first."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "compression.type": "lz4"})
    deadline = time.time() + COMPACTION_LIMIT_S
    number = 0
    while time.time() < deadline:
        for place in range(COMPACTED_KEYS * 10):
            value = None if place % 11 == 0 else f"{number}-" + f"{number * 7919 % 100003}-" * 200
            producer.produce(topic, key=f"key-{number % COMPACTED_KEYS}", value=value, partition=0)
            number += 1
        assert producer.flush(30) == 0
        if first_offsets_have_a_gap(bootstrap, topic):
            return
        time.sleep(0.5)
    sys.exit("nothing was compacted")


def first_offsets_have_a_gap(bootstrap, topic):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "nobody", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    offsets = [message.offset() for message in consumer.consume(20, timeout=5) if not message.error()]
    consumer.close()
    return len(offsets) == 20 and offsets != list(range(20))


def read_as_group(bootstrap, topic):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "readers", "auto.offset.reset": "earliest",
                         "enable.auto.commit": False})
    consumer.subscribe([topic])
    for _ in range(20):
        if consumer.consume(50, timeout=3):
            consumer.commit(asynchronous=False)
    consumer.close()


def main():
    bootstrap = sys.argv[1]
    create(bootstrap, [f"log-{codec}" for codec in CODECS], {"segment.bytes": "1048576"})
    for codec in CODECS:
        write(bootstrap, f"log-{codec}", codec, 8_000)
    read_as_group(bootstrap, "log-zstd")
    create(bootstrap, ["log-transactions"], {})
    transactions(bootstrap, "log-transactions", 30)
    create(bootstrap, ["log-compacted"], {"cleanup.policy": "compact", "segment.bytes": "1048576",
                                          "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "100"})
    compacted(bootstrap, "log-compacted")


main()
