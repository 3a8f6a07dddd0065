// The program of kafkajs. Its commands and what it prints are told in the README beside this folder.
"use strict";

const fs = require("node:fs");
const readline = require("node:readline");
const { parseArgs } = require("node:util");
const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = require("kafkajs");
const zstd = require("@mongodb-js/zstd");
const Lz4 = require("@2l/kafkajs-lz4");

const { member } = require("./member");

// kafkajs has gzip of its own; the rest is plugged in.
CompressionCodecs[CompressionTypes.Snappy] = require("kafkajs-snappy");
CompressionCodecs[CompressionTypes.LZ4] = new Lz4().codec;
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: (encoder) => zstd.compress(encoder.buffer),
  decompress: (buffer) => zstd.decompress(buffer),
});

const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
};
const ROWS_PER_SEND = 5000;

async function create(kafka, { topic, partitions }) {
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: Number(partitions), replicationFactor: 1 }] });
  await admin.disconnect();
}

async function write(kafka, { topic, codec, rows }) {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  const send = (messages) => producer.send({ topic, acks: -1, compression: CODECS[codec], messages });
  let messages = [];
  for await (const line of readline.createInterface({ input: fs.createReadStream(rows), crlfDelay: Infinity })) {
    messages.push(message(JSON.parse(line)));
    if (messages.length === ROWS_PER_SEND) {
      await send(messages);
      messages = [];
    }
  }
  if (messages.length > 0) await send(messages);
  await producer.disconnect();
}

function message({ partition, timestamp, key, value, headers }) {
  return { partition, timestamp: String(timestamp), key, value, headers: Object.fromEntries(headers) };
}

async function read(kafka, { topic, count }) {
  // kafkajs reads in groups only: a group of one, whose name nobody used before, that commits nothing.
  const consumer = kafka.consumer({ groupId: `reads-${topic}-${process.pid}` });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  let left = Number(count);
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
    const eachBatch = async ({ batch: { partition, messages } }) => {
      process.stdout.write(messages.map((m) => record(partition, m)).join(""));
      left -= messages.length;
      if (left <= 0) resolve();
    };
    consumer.run({ autoCommit: false, eachBatch }).catch(reject);
  });
  await consumer.disconnect();
}

function record(partition, { offset, timestamp, key, value, headers }) {
  const line = {
    partition,
    offset: Number(offset),
    timestamp: Number(timestamp),
    key: key && key.toString(),
    value: value.toString(),
    headers: Object.entries(headers).map(([name, content]) => [name, content.toString()]),
  };
  return JSON.stringify(line) + "\n";
}

async function transact(kafka, { topic, group }) {
  const producer = kafka.producer({ transactionalId: `${topic}-transact`, idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  for (const end of ["commit", "abort"]) {
    const transaction = await producer.transaction();
    await transaction.send({ topic, messages: [{ partition: 0, value: "in a transaction" }] });
    const topics = [{ topic, partitions: [{ partition: 0, offset: "1" }] }];
    await transaction.sendOffsets({ consumerGroupId: group, topics });
    await transaction[end]();
  }
  await producer.disconnect();
}

async function administer(kafka, { topic, group }) {
  const admin = kafka.admin();
  await admin.connect();
  const spare = `${topic}-spare`;
  await admin.createTopics({ topics: [{ topic: spare, numPartitions: 1, replicationFactor: 1 }], waitForLeaders: true });
  await admin.createPartitions({ topicPartitions: [{ topic: spare, count: 2 }] });
  const configEntries = [{ name: "retention.ms", value: "1000" }];
  await admin.alterConfigs({ resources: [{ type: ConfigResourceTypes.TOPIC, name: spare, configEntries }] });
  await admin.describeConfigs({ resources: [{ type: ConfigResourceTypes.TOPIC, name: spare, configNames: ["retention.ms"] }] });
  await admin.describeCluster();
  await admin.listTopics();
  await admin.fetchTopicOffsets(topic);
  await admin.fetchTopicOffsetsByTimestamp(topic, 0);
  await admin.listGroups();
  await admin.describeGroups([group]);
  await admin.fetchOffsets({ groupId: group, topics: [topic] });
  await admin.setOffsets({ groupId: group, topic, partitions: [{ partition: 0, offset: "0" }] });
  await admin.deleteGroups([group]);
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: "1" }] });
  await admin.deleteTopics({ topics: [spare] });
  await admin.disconnect();
}

async function main() {
  const command = { create, write, read, member, transact, admin: administer }[process.argv[2]];
  const text = { type: "string" };
  const { values } = parseArgs({
    args: process.argv.slice(3),
    options: { bootstrap: text, topic: text, partitions: text, codec: text, rows: text, count: text, group: text },
  });
  await command(new Kafka({ brokers: [values.bootstrap], logLevel: logLevel.ERROR }), values);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
