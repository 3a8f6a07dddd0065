"""Makes the rows that the clients write from the files of the data folder: `rows.py DATA_FOLDER NAME`, rows on standard output."""

import csv
import gzip
import json
import sys
import zlib
from datetime import datetime, timezone
from pathlib import Path

PARTITIONS = 4


def wikiticker(data):
    """Edits of Wikipedia, keyed by user; an anonymous edit has no key."""
    for line in lines(data / "events/wikiticker-2015-09-12-sampled.jsonl.gz"):
        edit = json.loads(line)
        yield None if edit["isAnonymous"] else edit["user"], milliseconds(edit["time"]), line


def nasa(data):
    """Requests to a web server, keyed by host."""
    for line in list(lines(data / "weblogs/nasa_19950701.tsv.gz"))[1:]:
        fields = line.split("\t")
        yield fields[0], int(fields[2]) * 1000, line


def payments(data):
    """Account registrations, keyed by IP address, not in time order."""
    for line in list(lines(data / "payments/registration_data_20K_minimum.csv.gz"))[1:]:
        address, _, time, _ = next(csv.reader([line]))
        yield address, milliseconds(time), line


def machine(data):
    """Temperatures of one machine, so with one key; the clock jumps back once."""
    for line in list(lines(data / "sensors/machine_temperature_system_failure.csv.gz"))[1:]:
        yield "machine_temperature_system_failure", milliseconds(line.split(",")[0]), line


def ambient(data):
    """Temperatures of one office, keyed by day so that several partitions are used."""
    for line in list(lines(data / "sensors/ambient_temperature_system_failure.csv.gz"))[1:]:
        yield line[:10], milliseconds(line.split(",")[0]), line


def lines(path):
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        for line in file:
            yield line.removesuffix("\n")


def milliseconds(text):
    time = datetime.fromisoformat(text)
    return round((time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp() * 1000)


def partition(key, number):
    """Keyed rows stay together; rows without a key go round."""
    return (number if key is None else zlib.crc32(key.encode())) % PARTITIONS


def main():
    folder, name = sys.argv[1:]
    data_set = {f.__name__: f for f in (wikiticker, nasa, payments, machine, ambient)}[name]
    for number, (key, timestamp, value) in enumerate(data_set(Path(folder))):
        row = {
            "partition": partition(key, number),
            "timestamp": timestamp,
            "key": key,
            "value": value,
            "headers": [["source", name], ["row", str(number)]],
        }
        print(json.dumps(row, ensure_ascii=False))


main()
