// A group member in kafkajs.
"use strict";

const fs = require("node:fs");

const CHUNK_RECORDS = 200;
const CHUNKS_PER_COMMIT = 5;
// A member works slowly on purpose: so there is something left to do when one of them is killed.
const CHUNK_MS = 20;

/** Consumes as a member of the group until SIGTERM. */
async function member(kafka, { topic, group }) {
  const consumer = kafka.consumer({ groupId: group, sessionTimeout: 6000, heartbeatInterval: 500, maxWaitTimeInMs: 200 });
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    emit({ event: "assigned", partitions: payload.memberAssignment[topic] || [] });
  });
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    console.error(payload.error);
    process.exit(1);
  });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch: (batch) => work(consumer, batch) });
  process.on("SIGTERM", () => consumer.disconnect().then(() => process.exit(0)));
}

/** A batch is worked off in chunks; its last chunk commits, so that nothing is uncommitted between batches. */
async function work(consumer, { batch, resolveOffset, heartbeat, isRunning, isStale }) {
  const { topic, partition, messages } = batch;
  for (let from = 0, chunks = 1; from < messages.length && isRunning() && !isStale(); from += CHUNK_RECORDS, chunks += 1) {
    const chunk = messages.slice(from, from + CHUNK_RECORDS);
    const next = Number(chunk.at(-1).offset) + 1;
    emit({ event: "read", ranges: [[partition, Number(chunk[0].offset), next]] });
    await new Promise((resolve) => setTimeout(resolve, CHUNK_MS));
    resolveOffset(chunk.at(-1).offset);
    if (chunks % CHUNKS_PER_COMMIT === 0 || from + CHUNK_RECORDS >= messages.length) {
      emit({ event: "committing", offsets: [[partition, next]] });
      await consumer.commitOffsets([{ topic, partition, offset: String(next) }]);
      emit({ event: "committed", offsets: [[partition, next]] });
    }
    await heartbeat();
  }
}

function emit(event) {
  fs.writeSync(1, JSON.stringify(event) + "\n");
}

module.exports = { member };
