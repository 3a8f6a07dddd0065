"""What the Python programs share: the command line, rows and records as lines, and the life of a group member."""

import argparse
import json
import signal
import sys
import time

CHUNK_RECORDS = 200
CHUNKS_PER_COMMIT = 5
# A member works slowly on purpose: so there is something left to do when one of them is killed.
CHUNK_SECONDS = 0.02


def run(create, write, read, member, transact, admin):
    """Reads the command line and calls the function for the command that it names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["create", "write", "read", "member", "transact", "admin"])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--partitions", type=int)
    parser.add_argument("--codec", choices=["none", "gzip", "snappy", "lz4", "zstd"])
    parser.add_argument("--rows")
    parser.add_argument("--count", type=int)
    parser.add_argument("--group")
    arguments = parser.parse_args()
    commands = {
        "create": create, "write": write, "read": read, "member": member, "transact": transact, "admin": admin,
    }
    commands[arguments.command](arguments)


def rows(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def headers_of(row):
    return [(name, value.encode()) for name, value in row["headers"]]


def print_record(partition, offset, timestamp, key, value, headers):
    record = {
        "partition": partition,
        "offset": offset,
        "timestamp": timestamp,
        "key": None if key is None else key.decode(),
        "value": value.decode(),
        "headers": [[name, value.decode()] for name, value in headers or []],
    }
    sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")


class Member:
    """A group member's work: what it has read and not yet committed, told event by event.

    `commit` is handed in: it takes {partition: next offset} and returns when the broker has said yes.
    """

    def __init__(self, commit):
        self.commit = commit
        self.uncommitted = {}
        self.chunks = 0
        self.running = True
        signal.signal(signal.SIGTERM, self.stop)

    def stop(self, *_):
        self.running = False

    def assigned(self, partitions):
        emit("assigned", partitions=sorted(partitions))

    def revoked(self, partitions):
        self.settle({p: o for p, o in self.uncommitted.items() if p in partitions})

    def processed(self, records):
        """Takes (partition, offset) pairs in the order in which they came; none of them means an idle moment."""
        if not records:
            self.settle(dict(self.uncommitted))
            return
        ranges = {}
        for partition, offset in records:
            first, _ = ranges.get(partition, (offset, None))
            ranges[partition] = (first, offset + 1)
        emit("read", ranges=[[p, first, end] for p, (first, end) in ranges.items()])
        self.uncommitted.update({p: end for p, (_, end) in ranges.items()})
        time.sleep(CHUNK_SECONDS)
        self.chunks += 1
        if self.chunks % CHUNKS_PER_COMMIT == 0:
            self.settle(dict(self.uncommitted))

    def settle(self, offsets):
        if offsets:
            pairs = [[p, o] for p, o in offsets.items()]
            emit("committing", offsets=pairs)
            self.commit(offsets)
            emit("committed", offsets=pairs)
            for partition in offsets:
                del self.uncommitted[partition]


def emit(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)
