//! A real Apache Kafka from its published jars: the bar that Dohle is held to, and the tools that read its files.
//!
//! Owns the tree under `target/suites/kafka` (jars, scripts under the names that Kafka's distribution has) and how one node
//! of it is configured, formatted and started. It knows nothing of Dohle.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::process::{self, Running};
use crate::{place, suites};

/// The release that Dohle matches.
pub const VERSION: &str = "4.4.0";

// 16 bytes in base64, as Kafka wants it.
const CLUSTER_ID: &str = "c3VpdGVzLW9mLWRvaGxlXw";
const LOG4J_VERSION: &str = "2.25.5";
const COPY_DEPENDENCIES: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
const TOOLS: &[(&str, &str)] = &[
    ("kafka-acls", "org.apache.kafka.tools.AclCommand"),
    ("kafka-broker-api-versions", "org.apache.kafka.tools.BrokerApiVersionsCommand"),
    ("kafka-configs", "org.apache.kafka.tools.ConfigCommand"),
    ("kafka-console-consumer", "org.apache.kafka.tools.consumer.ConsoleConsumer"),
    ("kafka-console-producer", "org.apache.kafka.tools.ConsoleProducer"),
    ("kafka-consumer-perf-test", "org.apache.kafka.tools.ConsumerPerformance"),
    ("kafka-consumer-groups", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"),
    ("kafka-dump-log", "org.apache.kafka.tools.DumpLogSegments"),
    ("kafka-get-offsets", "org.apache.kafka.tools.GetOffsetShell"),
    ("kafka-producer-perf-test", "org.apache.kafka.tools.ProducerPerformance"),
    ("kafka-storage", "kafka.tools.StorageTool"),
    ("kafka-topics", "org.apache.kafka.tools.TopicCommand"),
];
// Tools live for a second or two: they start faster without the second compiler and with the plain collector.
const TOOL_FLAGS: &[&str] = &["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];
// What Kafka's own start script sets.
const BROKER_FLAGS: &[&str] = &[
    "-Xms1g",
    "-Xmx1g",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
];
const INSTALL_LIMIT: Duration = Duration::from_secs(600);
const TOOL_LIMIT: Duration = Duration::from_secs(60);
const READY_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// What `cargo xtask kafka` is told.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Fetch the jars and write the scripts; prints where they are.
    Install,
    /// Start one node (broker and controller) on an empty data folder and leave it running.
    Start {
        /// Port of the PLAINTEXT listener on 127.0.0.1.
        #[arg(long, default_value_t = 19092)]
        port: u16,
        /// Folder for configuration, data and log; whatever it held is removed.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Broker setting over the defaults, `key=value`; may be repeated.
        #[arg(long = "set", value_parser = parse_setting)]
        settings: Vec<(String, String)>,
    },
    /// Stop the node that `start` left running.
    Stop {
        /// The folder that was given to `start`.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
}

/// `key=value`, as on a command line.
pub fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Installs the tree, and starts or stops a node of it.
pub fn main(arguments: Arguments) -> Result<()> {
    let tree = Tree::install()?;
    match arguments.action {
        Action::Install => println!("{}", tree.home.display()),
        Action::Start { port, dir, settings } => {
            let dir = folder(dir)?;
            let node = tree.node(&dir, port, &settings)?;
            let mut running = Running::start(&mut node.command(), &dir.join("broker.log"))?;
            suites::ready::wait(port, &mut running, READY_LIMIT)?;
            fs::write(dir.join("pid"), running.detach().to_string())?;
            println!("127.0.0.1:{port}");
        }
        Action::Stop { dir } => stop(&folder(dir)?)?,
    }
    Ok(())
}

fn folder(dir: Option<PathBuf>) -> Result<PathBuf> {
    dir.map_or_else(|| Ok(place::cache("run")?.join("kafka")), Ok)
}

fn stop(dir: &Path) -> Result<()> {
    let file = dir.join("pid");
    let id: u32 = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?.trim().parse()?;
    let process = PathBuf::from(format!("/proc/{id}"));
    let line = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
    ensure!(line.contains("kafka.Kafka"), "process {id} is no Kafka any more");
    process::signal(id, "TERM")?;
    let deadline = Instant::now() + STOP_LIMIT;
    while process.exists() {
        ensure!(Instant::now() < deadline, "Kafka did not end within {STOP_LIMIT:?}");
        sleep(Duration::from_millis(50));
    }
    Ok(fs::remove_file(file)?)
}

/// The installed jars and scripts.
#[derive(Clone)]
pub struct Tree {
    home: PathBuf,
}

impl Tree {
    /// Installs the release through Maven unless it is already there.
    pub fn install() -> Result<Tree> {
        let home = place::cache("kafka")?.join(VERSION);
        let recipe = pom();
        if !place::is_made(&home, &recipe)? {
            require_java()?;
            eprintln!("… fetching Apache Kafka {VERSION}");
            fs::write(home.join("pom.xml"), &recipe)?;
            let mut maven = Command::new("mvn");
            maven.args(["-q", "-B", "-f"]).arg(home.join("pom.xml")).arg(COPY_DEPENDENCIES);
            maven.arg("-DincludeScope=runtime").arg(format!("-DoutputDirectory={}", home.join("libs").display()));
            process::run_into(process::without_input(&mut maven), &home.join("maven.log"), INSTALL_LIMIT)?;
            write_scripts(&home.join("bin"))?;
            for (name, level) in [("tools", "warn"), ("broker", "info")] {
                fs::write(home.join(format!("{name}-log4j2.properties")), logging(level))?;
            }
            let tree = Tree { home };
            tree.share_classes().context("prepare the tools' classes")?;
            place::mark(&tree.home, &recipe)?;
            return Ok(tree);
        }
        Ok(Tree { home })
    }

    /// The folder that holds `bin` and `libs`, as Kafka's distribution does.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// One of Kafka's tools, by the name of its script without `.sh`.
    pub fn tool(&self, name: &str) -> Command {
        let mut command = self.java("tools", TOOL_FLAGS);
        command.arg(format!("-XX:SharedArchiveFile={}", self.classes().display()));
        self.with_jars(&mut command).arg(class_of(name));
        command
    }

    /// A program of one Java file, run from its source with the jars at hand.
    pub fn source(&self, file: &Path) -> Command {
        let mut command = self.java("tools", TOOL_FLAGS);
        self.with_jars(&mut command).arg(file);
        command
    }

    /// Configures and formats one node in `dir`, which is emptied. `settings` go over the defaults.
    pub fn node(&self, dir: &Path, port: u16, settings: &[(String, String)]) -> Result<Node> {
        if dir.exists() {
            fs::remove_dir_all(dir).with_context(|| format!("remove {}", dir.display()))?;
        }
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        let node = Node { tree: self.clone(), properties: dir.join("server.properties"), data: dir.join("data") };
        fs::write(&node.properties, properties(&node.data, port, place::free_port()?, settings))?;
        let mut format = self.tool("kafka-storage");
        format.args(["format", "-t", CLUSTER_ID, "-c"]).arg(&node.properties);
        process::run_into(&mut format, &dir.join("format.log"), TOOL_LIMIT)?;
        Ok(node)
    }

    fn java(&self, purpose: &str, flags: &[&str]) -> Command {
        let mut command = Command::new("java");
        let logging = self.home.join(format!("{purpose}-log4j2.properties"));
        command.args(flags).arg(format!("-Dlog4j2.configurationFile={}", logging.display()));
        process::without_input(&mut command);
        command
    }

    fn with_jars<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.arg("-cp").arg(self.home.join("libs/*"))
    }

    fn classes(&self) -> PathBuf {
        self.home.join("tools.jsa")
    }

    /// Keeps the tools' classes in a form that a JVM maps instead of parsing: it halves what each start costs, and a suite starts many.
    /// The classes are those that a tool loads until it finds that no broker answers. The broker never starts from them.
    fn share_classes(&self) -> Result<()> {
        let impatient = self.home.join("impatient.properties");
        fs::write(&impatient, "default.api.timeout.ms=500\nrequest.timeout.ms=400\nmax.block.ms=500\n")?;
        let (list, log) = (self.home.join("classes"), self.home.join("classes.log"));
        let mut classes = String::new();
        for (tool, words) in [
            ("kafka-topics", &["--list"][..]),
            ("kafka-consumer-groups", &["--list"]),
            ("kafka-console-producer", &["--topic", "none"]),
            ("kafka-console-consumer", &["--topic", "none", "--timeout-ms", "500"]),
            ("kafka-configs", &["--describe", "--entity-type", "brokers", "--entity-default"]),
        ] {
            let mut command = self.java("tools", TOOL_FLAGS);
            command.arg("-Xshare:off").arg(format!("-XX:DumpLoadedClassList={}", list.display()));
            self.with_jars(&mut command).arg(class_of(tool)).args(["--bootstrap-server", "127.0.0.1:1"]);
            command.arg("--command-config").arg(&impatient).args(words);
            // It fails, as nobody listens there.
            let _ = process::run_into(&mut command, &log, TOOL_LIMIT);
            classes += &fs::read_to_string(&list).with_context(|| format!("read the classes of {tool}"))?;
        }
        fs::write(&list, classes)?;
        let mut dump = self.java("tools", TOOL_FLAGS);
        dump.arg("-Xshare:dump").arg(format!("-XX:SharedClassListFile={}", list.display()));
        dump.arg(format!("-XX:SharedArchiveFile={}", self.classes().display()));
        process::run_into(self.with_jars(&mut dump), &log, INSTALL_LIMIT)
    }
}

/// One formatted node that can be started.
pub struct Node {
    tree: Tree,
    properties: PathBuf,
    /// Its `log.dirs`.
    pub data: PathBuf,
}

impl Node {
    /// The command that starts it.
    pub fn command(&self) -> Command {
        let mut command = self.tree.java("broker", BROKER_FLAGS);
        self.tree.with_jars(&mut command).arg("kafka.Kafka").arg(&self.properties);
        command
    }
}

fn class_of(tool: &str) -> &'static str {
    TOOLS.iter().find(|(name, _)| *name == tool).map(|(_, class)| *class).expect("a tool that is in the table")
}

fn pom() -> String {
    let kafka = |name: &str| dependency("org.apache.kafka", name, VERSION);
    let log4j = |name: &str| dependency("org.apache.logging.log4j", name, LOG4J_VERSION);
    let dependencies = [
        kafka("kafka_2.13"),
        kafka("kafka-tools"),
        kafka("kafka-streams"),
        kafka("connect-runtime"),
        // Kafka brings slf4j 1.7, so it is the binding without a 2.
        log4j("log4j-slf4j-impl"),
        log4j("log4j-core"),
    ];
    format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>dohle</groupId><artifactId>kafka-tree</artifactId>\
         <version>1</version><packaging>pom</packaging><dependencies>\n{}</dependencies></project>\n",
        dependencies.concat()
    )
}

fn dependency(group: &str, artifact: &str, version: &str) -> String {
    format!(
        " <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>\n"
    )
}

fn logging(level: &str) -> String {
    format!(
        "status = error\nrootLogger.level = {level}\nrootLogger.appenderRef.console.ref = console\n\
         appender.console.type = Console\nappender.console.name = console\nappender.console.target = SYSTEM_ERR\n\
         appender.console.layout.type = PatternLayout\nappender.console.layout.pattern = [%d] %p %m (%c)%n\n"
    )
}

fn write_scripts(bin: &Path) -> Result<()> {
    fs::create_dir_all(bin)?;
    let run_class = "#!/bin/sh\nhome=$(cd \"$(dirname \"$0\")/..\" && pwd)\n\
                     exec java ${KAFKA_HEAP_OPTS:--Xmx512m} -Dlog4j2.configurationFile=\"$home/tools-log4j2.properties\" \
                     -cp \"$CLASSPATH:$home/libs/*\" \"$@\"\n";
    write_script(&bin.join("kafka-run-class.sh"), run_class)?;
    for (name, class) in TOOLS {
        let script = format!("#!/bin/sh\nexec \"$(dirname \"$0\")/kafka-run-class.sh\" {class} \"$@\"\n");
        write_script(&bin.join(format!("{name}.sh")), &script)?;
    }
    Ok(())
}

fn write_script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

fn properties(data: &Path, port: u16, controller_port: u16, settings: &[(String, String)]) -> String {
    let id = settings.iter().rfind(|(key, _)| key == "node.id").map_or("1", |(_, value)| value);
    let mut lines = vec![
        "process.roles=broker,controller".to_owned(),
        format!("node.id={id}"),
        format!("controller.quorum.voters={id}@127.0.0.1:{controller_port}"),
        format!("listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}"),
        format!("advertised.listeners=PLAINTEXT://127.0.0.1:{port}"),
        "controller.listener.names=CONTROLLER".to_owned(),
        "inter.broker.listener.name=PLAINTEXT".to_owned(),
        format!("log.dirs={}", data.display()),
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
        "allow.everyone.if.no.acl.found=true".to_owned(),
        "super.users=User:admin".to_owned(),
    ];
    lines.extend(settings.iter().map(|(key, value)| format!("{key}={value}")));
    lines.join("\n") + "\n"
}

fn require_java() -> Result<()> {
    for program in ["java", "mvn"] {
        if Command::new(program).arg("-version").output().is_err() {
            bail!("{program} is not installed (Java 17 or newer and Maven are needed)");
        }
    }
    Ok(())
}
