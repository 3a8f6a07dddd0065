//! Kafka's own administrative tools as clients: topics, configurations, offsets, groups. What they print is held against what is true.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::rows::{DataSet, Row};
use crate::kafka::Tree;
use crate::process;

const LIMIT: Duration = Duration::from_secs(60);

/// The tools against one broker.
pub(in crate::suites) struct Tools<'a> {
    pub(in crate::suites) tree: &'a Tree,
    pub(in crate::suites) bootstrap: &'a str,
    pub(in crate::suites) folder: &'a Path,
}

impl Tools<'_> {
    /// Creates, lists, describes, grows and deletes a topic.
    pub(in crate::suites) fn topics(&self) -> Result<()> {
        let topics = |words: &[&str]| self.run("kafka-topics", words);
        let created =
            topics(&["--create", "--topic", "tools-a", "--partitions", "3", "--config", "retention.ms=1000000"])?;
        expect(&created, "Created topic tools-a.")?;
        ensure!(topics(&["--create", "--topic", "tools-a"]).is_err(), "a topic was created twice");
        topics(&["--create", "--topic", "tools-a", "--if-not-exists"])?;
        let listed = topics(&["--list"])?;
        ensure!(listed.lines().any(|line| line == "tools-a"), "not in the list:\n{listed}");

        let described = topics(&["--describe", "--topic", "tools-a"])?;
        expect(&described, "PartitionCount: 3\tReplicationFactor: 1")?;
        expect(&described, "retention.ms=1000000")?;
        expect(&described, "Topic: tools-a\tPartition: 2\tLeader: ")?;
        topics(&["--alter", "--topic", "tools-a", "--partitions", "5"])?;
        expect(&topics(&["--describe", "--topic", "tools-a"])?, "PartitionCount: 5")?;
        let shrunk = topics(&["--alter", "--topic", "tools-a", "--partitions", "2"]);
        ensure!(shrunk.is_err(), "a topic was shrunk");

        topics(&["--delete", "--topic", "tools-a"])?;
        let listed = topics(&["--list"])?;
        ensure!(!listed.lines().any(|line| line == "tools-a"), "still in the list:\n{listed}");
        ensure!(topics(&["--describe", "--topic", "tools-a"]).is_err(), "a deleted topic was described");
        Ok(())
    }

    /// Sets, shows and removes a setting of a topic and a default of all brokers.
    pub(in crate::suites) fn configs(&self) -> Result<()> {
        self.run("kafka-topics", &["--create", "--topic", "tools-b", "--partitions", "1"])?;
        let topic = |words: &[&str]| {
            self.run("kafka-configs", &[&["--entity-type", "topics", "--entity-name", "tools-b"], words].concat())
        };
        topic(&["--alter", "--add-config", "retention.ms=12345,cleanup.policy=compact"])?;
        let own = topic(&["--describe"])?;
        expect(&own, "retention.ms=12345 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=12345")?;
        expect(&own, "cleanup.policy=compact")?;
        let all = topic(&["--describe", "--all"])?;
        expect(&all, "max.message.bytes=1048588 sensitive=false synonyms={DEFAULT_CONFIG:message.max.bytes=1048588}")?;
        topic(&["--alter", "--delete-config", "cleanup.policy"])?;
        ensure!(!topic(&["--describe"])?.contains("cleanup.policy"), "a removed setting is still there");
        ensure!(topic(&["--alter", "--add-config", "retention.ms=soon"]).is_err(), "nonsense was taken");
        ensure!(topic(&["--alter", "--add-config", "no.such.key=1"]).is_err(), "an unknown key was taken");

        let brokers = |words: &[&str]| {
            self.run("kafka-configs", &[&["--entity-type", "brokers", "--entity-default"], words].concat())
        };
        brokers(&["--alter", "--add-config", "message.max.bytes=2000000"])?;
        expect(&brokers(&["--describe"])?, "message.max.bytes=2000000")?;
        brokers(&["--alter", "--delete-config", "message.max.bytes"])?;
        ensure!(!brokers(&["--describe"])?.contains("message.max.bytes"), "a removed default is still there");
        Ok(())
    }

    /// Ends, starts, largest timestamps and a time in the middle of a topic that holds exactly the rows.
    pub(in crate::suites) fn offsets(&self, topic: &str, data_set: &DataSet) -> Result<()> {
        let offsets = |time: &str| self.run("kafka-get-offsets", &["--topic", topic, "--time", time]);
        let partitions = by_partition(&data_set.rows);
        let same = |time: &str, of: &dyn Fn(&[&Row]) -> Option<usize>| -> Result<()> {
            let line =
                |(partition, rows): (usize, &Vec<&Row>)| of(rows).map(|offset| format!("{topic}:{partition}:{offset}"));
            let expected: Vec<String> = partitions.iter().enumerate().filter_map(line).collect();
            let printed = offsets(time)?;
            let printed: Vec<&str> = printed.lines().collect();
            ensure!(printed == expected, "--time {time}: expected {expected:?}, printed {printed:?}");
            Ok(())
        };
        same("latest", &|rows| Some(rows.len()))?;
        same("earliest", &|_| Some(0))?;
        same("max-timestamp", &|rows| {
            let largest = rows.iter().map(|row| row.timestamp).max()?;
            rows.iter().position(|row| row.timestamp == largest)
        })?;
        let middle = data_set.rows[data_set.rows.len() / 2].timestamp;
        same(&middle.to_string(), &|rows| rows.iter().position(|row| row.timestamp >= middle))
    }

    /// A group that the console consumer made: listed, described without lag, reset, deleted.
    pub(in crate::suites) fn groups(&self, topic: &str, data_set: &DataSet) -> Result<()> {
        let count = data_set.rows.len().to_string();
        let read = [
            "--topic",
            topic,
            "--group",
            "tools",
            "--from-beginning",
            "--max-messages",
            &count,
            "--timeout-ms",
            "20000",
        ];
        let lines = self.run("kafka-console-consumer", &read)?.lines().count();
        ensure!(lines == data_set.rows.len(), "the group read {lines} of {count} records");

        let groups = |words: &[&str]| self.run("kafka-consumer-groups", words);
        expect(&groups(&["--list"])?, "tools")?;
        let state = groups(&["--describe", "--group", "tools", "--state"])?;
        let words: Vec<&str> = state.lines().last().unwrap_or_default().split_whitespace().collect();
        ensure!(words.ends_with(&["Empty", "0"]), "not an empty group:\n{state}");
        let described = groups(&["--describe", "--group", "tools"])?;
        for (partition, rows) in by_partition(&data_set.rows).iter().enumerate() {
            let end = rows.len().to_string();
            expect_words(&described, &["tools", topic, &partition.to_string(), &end, &end, "0"])?;
        }

        let reset =
            |words: &[&str]| groups(&[&["--group", "tools", "--topic", topic, "--reset-offsets"], words].concat());
        expect_words(&reset(&["--to-offset", "5", "--dry-run"])?, &["tools", topic, "0", "5"])?;
        expect_words(&reset(&["--to-earliest", "--execute"])?, &["tools", topic, "0", "0"])?;
        let end = by_partition(&data_set.rows)[0].len().to_string();
        expect_words(&groups(&["--describe", "--group", "tools"])?, &["tools", topic, "0", "0", &end, &end])?;
        let deleted = groups(&["--group", "tools", "--delete-offsets", "--topic", topic])?;
        expect(&deleted, "Request succeeded for deleting offsets from group tools.")?;
        expect(&groups(&["--delete", "--group", "tools"])?, "('tools') was successful")?;
        ensure!(!groups(&["--list"])?.lines().any(|line| line == "tools"), "a deleted group is still in the list");
        Ok(())
    }

    fn run(&self, tool: &str, words: &[&str]) -> Result<String> {
        let mut command = self.tree.tool(tool);
        command.args(["--bootstrap-server", self.bootstrap]).args(words);
        process::run(&mut command, &self.folder.join(format!("{tool}.log")), LIMIT)
    }
}

fn by_partition(rows: &[Row]) -> Vec<Vec<&Row>> {
    let mut partitions = vec![Vec::new(); super::client::PARTITIONS];
    for row in rows {
        partitions[row.partition].push(row);
    }
    partitions
}

fn expect(printed: &str, text: &str) -> Result<()> {
    ensure!(printed.contains(text), "expected `{text}` in\n{printed}");
    Ok(())
}

/// Some line begins with these words, whatever space is between them.
fn expect_words(printed: &str, words: &[&str]) -> Result<()> {
    let begins = |line: &str| line.split_whitespace().take(words.len()).eq(words.iter().copied());
    if printed.lines().any(begins) {
        return Ok(());
    }
    bail!("expected a line `{}` in\n{printed}", words.join(" "))
}
