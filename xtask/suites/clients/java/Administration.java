// What Kafka's own Java clients can ask of a broker, once each: `Administration.java admin --bootstrap B --topic T`.
// The topic T holds records of a client; it is emptied. Run from its source: `java -cp 'libs/*' Administration.java …`.

import java.time.Duration;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Administration {
    private static final int POLLS_AT_MOST = 100;

    private final String bootstrap;
    private final String topic;
    private final String group;
    private final String spare;
    private final Admin admin;

    private Administration(String bootstrap, String topic) {
        this.bootstrap = bootstrap;
        this.topic = topic;
        this.group = topic + "-java";
        this.spare = topic + "-spare";
        this.admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    public static void main(String[] words) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (int at = 1; at + 1 < words.length; at += 2) {
            options.put(words[at], words[at + 1]);
        }
        Administration all = new Administration(options.get("--bootstrap"), options.get("--topic"));
        try (all.admin) {
            all.cluster();
            all.topics();
            all.configs();
            all.consume();
            // What was committed by the first comes with its epoch, which the second has the broker confirm.
            all.consume();
            all.transactions();
            all.groups();
            all.offsets();
        }
    }

    private void cluster() throws Exception {
        admin.describeCluster().nodes().get();
        admin.describeMetadataQuorum().quorumInfo().get();
        int broker = admin.describeCluster().controller().get().id();
        Set<String> dirs = admin.describeLogDirs(List.of(broker)).allDescriptions().get().get(broker).keySet();
        // Where it is already, when there is one directory only.
        admin.alterReplicaLogDirs(Map.of(new TopicPartitionReplica(topic, 0, broker), dirs.iterator().next())).all().get();
    }

    private void topics() throws Exception {
        admin.createTopics(List.of(new NewTopic(spare, 1, (short) 1).configs(Map.of("retention.ms", "-1")))).all().get();
        admin.createPartitions(Map.of(spare, NewPartitions.increaseTo(2))).all().get();
        admin.listTopics().names().get();
        admin.describeTopics(List.of(spare)).allTopicNames().get();
    }

    private void configs() throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, spare);
        Collection<AlterConfigOp> changes =
            List.of(new AlterConfigOp(new ConfigEntry("retention.ms", "1000"), AlterConfigOp.OpType.SET));
        admin.incrementalAlterConfigs(Map.of(resource, changes)).all().get();
        admin.describeConfigs(List.of(resource)).all().get();
        admin.listConfigResources().all().get();
    }

    private KafkaConsumer<String, String> consumer() {
        Map<String, Object> settings = Map.of(
            ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap,
            ConsumerConfig.GROUP_ID_CONFIG, group,
            ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest",
            ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false,
            ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG, 50
        );
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }

    private void consume() {
        try (var consumer = consumer()) {
            consumer.subscribe(List.of(topic));
            for (int polls = 0; polls < POLLS_AT_MOST && consumer.assignment().isEmpty(); polls += 1) {
                consumer.poll(Duration.ofMillis(100));
            }
            // Long enough for heartbeats, and for everything that there is.
            for (int polls = 0; polls < 5; polls += 1) {
                consumer.poll(Duration.ofMillis(100));
            }
            consumer.commitSync();
        }
    }

    private void transactions() throws Exception {
        String id = topic + "-transact";
        Map<String, Object> settings =
            Map.of(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap, ProducerConfig.TRANSACTIONAL_ID_CONFIG, id);
        ProducerRecord<String, String> written = new ProducerRecord<>(topic, 0, null, "in a transaction");
        try (
            var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
            var consumer = consumer()
        ) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(written);
            producer.sendOffsetsToTransaction(Map.of(partition(0), new OffsetAndMetadata(1)), consumer.groupMetadata());
            producer.commitTransaction();
            producer.beginTransaction();
            producer.send(written).get();
            admin.listTransactions().all().get();
            admin.describeTransactions(List.of(id)).all().get();
            abortOpen(partition(0));
            producer.abortTransaction();
        }
    }

    /** Aborts in the partition alone what is open there, as one aborts a transaction that hangs. */
    private void abortOpen(TopicPartition partition) throws Exception {
        for (ProducerState producer : admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers()) {
            if (producer.currentTransactionStartOffset().isPresent()) {
                int coordinatorEpoch = producer.coordinatorEpoch().orElse(-1);
                short producerEpoch = (short) producer.producerEpoch();
                admin.abortTransaction(new AbortTransactionSpec(partition, producer.producerId(), producerEpoch, coordinatorEpoch))
                    .all().get();
            }
        }
    }

    private void groups() throws Exception {
        Map<TopicPartition, OffsetAndMetadata> start = Map.of(partition(0), new OffsetAndMetadata(0));
        admin.listGroups().all().get();
        admin.describeClassicGroups(List.of(group)).all().get();
        admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        admin.alterConsumerGroupOffsets(group, start).all().get();
        admin.deleteConsumerGroupOffsets(group, Set.of(partition(0))).all().get();
        admin.deleteConsumerGroups(List.of(group)).all().get();
    }

    private void offsets() throws Exception {
        int partitions = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size();
        Set<TopicPartition> all = IntStream.range(0, partitions).mapToObj(this::partition).collect(Collectors.toSet());
        for (OffsetSpec spec : List.of(OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.maxTimestamp())) {
            admin.listOffsets(all.stream().collect(Collectors.toMap(p -> p, p -> spec))).all().get();
        }
        admin.describeProducers(all).all().get();
        admin.deleteRecords(Collections.singletonMap(partition(0), RecordsToDelete.beforeOffset(1))).all().get();
        admin.deleteTopics(List.of(spare)).all().get();
    }

    private TopicPartition partition(int number) {
        return new TopicPartition(topic, number);
    }
}
