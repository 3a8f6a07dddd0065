//! `dohle demo`: the main job in one command.

mod play;
mod screen;
mod sensors;
mod tally;

use std::io::{IsTerminal, stdout};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use dohle_base::{TopicName, parse_duration};
use dohle_broker::Running;
use dohle_client::admin::NewTopic;
use dohle_client::{Admin, AdminConfig};
use serde::Serialize;
use tokio::task::JoinSet;

use super::Common;
use crate::compose::Said;
use crate::interrupt;
use crate::output::say;
use crate::text::number::grouped;
use play::Stage;
use screen::{Canvas, Second, Times, View};
use sensors::Plant;

const EXAMPLES: &str = "\
Examples:
  dohle demo
  dohle demo --for 10s
  dohle demo --for 10s --json | tail -1 | jq .latency_ms
  dohle demo --devices 5000 --rate 50000

A broker with its data in a temporary directory, a producer that plays sensors, and a group of two readers. Nothing is
left behind. JSON (with --json), an object a line: {\"type\": \"second\", \"second\", \"events\", \"events_per_second\",
\"latency_ms\": {\"p50\", \"p99\", \"max\"}, \"alerts\", \"devices\": [{\"device\", \"minute\", \"events\", \"mean\", \"max\"}]} each second, and
at the end {\"type\": \"summary\", \"seconds\", \"sent\", \"read\", \"events_per_second\", \"latency_ms\", \"alerts\", \"devices\"}.";

const TOPIC: &str = "sensors";
const PARTITIONS: i32 = 6;
const MEMBERS: usize = 2;
/// The picture is drawn so often.
const FRAME: Duration = Duration::from_millis(250);
const SECOND: Duration = Duration::from_secs(1);
/// What was sent must be read by then, once the sensors are silent.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// End after so long; else at Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    length: Option<Duration>,
    /// How many sensors there are
    #[arg(long, default_value_t = 200)]
    devices: usize,
    /// Events a second, bursts aside
    #[arg(long, default_value_t = 5_000)]
    rate: u32,
    /// The same seed tells the same story
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

#[derive(Serialize)]
struct Summary {
    r#type: &'static str,
    seconds: f64,
    sent: u64,
    read: u64,
    events_per_second: u64,
    latency_ms: Times,
    alerts: u64,
    devices: usize,
}

/// How results are shown.
enum Show {
    Picture(Canvas),
    Lines,
    Json,
}

pub(super) fn run(common: &Common, arguments: &Arguments) -> anyhow::Result<()> {
    // Declared first, so that it is removed last, whatever happens in between.
    let dir = tempfile::Builder::new().prefix("dohle-demo-").tempdir().context("cannot make a temporary directory")?;
    let said = Said {
        data_dir: Some(dir.path().to_owned()),
        listen: vec!["PLAINTEXT://127.0.0.1:0".to_owned()],
        http: Some("127.0.0.1:0".to_owned()),
        // Both readers are here at once: there is nobody to wait for.
        set: vec![("group.initial.rebalance.delay.ms".to_owned(), "0".to_owned())],
        ..Said::default()
    };
    let settings = said.settings()?;
    let played = super::wait_for(async {
        let running = dohle_broker::start(settings)?;
        let played = play(common, arguments, &running).await;
        running.stop();
        played
    });
    dir.close().context("the temporary directory could not be removed")?;
    played
}

async fn play(common: &Common, arguments: &Arguments, running: &Running) -> anyhow::Result<()> {
    let listener = running.listeners().first().context("the broker listens nowhere")?;
    let bootstrap = format!("{}:{}", listener.advertised.host, listener.advertised.port);
    let topic = TopicName::parse(TOPIC).expect("the name is sound");
    let admin = Admin::new(AdminConfig::new(&bootstrap)?);
    let new = NewTopic { partitions: Some(PARTITIONS), ..NewTopic::new(topic.clone()) };
    for created in admin.create_topics(&[new], false).await?.into_values() {
        created?;
    }
    let stage = Arc::new(Stage::new(bootstrap, topic, MEMBERS));
    let mut tasks = JoinSet::new();
    let plant = Plant::new(arguments.devices, arguments.seed);
    tasks.spawn(play::speak(stage.clone(), plant, f64::from(arguments.rate)));
    for number in 0..MEMBERS {
        tasks.spawn(play::listen(stage.clone(), number));
    }
    let metrics = running.http().map(|address| format!("http://{address}/metrics"));
    let show = match (common.json, stdout().is_terminal()) {
        (true, _) => Show::Json,
        (false, true) => Show::Picture(Canvas::open()?),
        (false, false) => Show::Lines,
    };
    watch(&stage, arguments.length, &show, metrics.as_deref(), &mut tasks).await?;
    drop(show);
    end(common, &stage, tasks).await
}

/// Shows what is seen until the time is over or somebody interrupts. Whoever plays must not stop before.
async fn watch(
    stage: &Stage,
    length: Option<Duration>,
    show: &Show,
    metrics: Option<&str>,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let interrupted = interrupt::wait();
    tokio::pin!(interrupted);
    let mut frames = tokio::time::interval(FRAME);
    let end = length.map(|length| stage.began + length);
    let mut second = stage.began + SECOND;
    let (mut pace, mut recent) = (0, tally::Latency::default());
    loop {
        tokio::select! {
            interrupted = &mut interrupted => return Ok(interrupted?),
            Some(ended) = tasks.join_next() => {
                ended??;
                anyhow::bail!("the demo's players stopped before its end");
            }
            _ = frames.tick() => {}
        }
        let now = Instant::now();
        let is_second = now >= second;
        if is_second {
            second += SECOND;
            (pace, recent) = stage.tally().tick();
        }
        let members = stage.members().clone();
        let tally = stage.tally();
        let view = View {
            broker: &stage.bootstrap,
            metrics,
            topic: TOPIC,
            running: now - stage.began,
            pace,
            recent,
            tally: &tally,
            members: &members,
        };
        match show {
            Show::Picture(canvas) => canvas.draw(&screen::picture(&view, canvas.height()))?,
            Show::Lines if is_second => say(&screen::line(&view))?,
            Show::Json if is_second => say(&serde_json::to_string(&Second::of(&view))?)?,
            Show::Lines | Show::Json => {}
        }
        if end.is_some_and(|end| now >= end) {
            return Ok(());
        }
    }
}

/// Lets everybody finish, and checks that what was acknowledged was read.
async fn end(common: &Common, stage: &Stage, mut tasks: JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    let seconds = stage.began.elapsed().as_secs_f64();
    stage.quiet.store(true, Ordering::Relaxed);
    // The sensors end first: nobody else can before it is all over.
    tasks.join_next().await.context("nobody plays")???;
    let catch_up = Instant::now() + CATCH_UP_MAX;
    let sent = stage.delivered.load(Ordering::Relaxed);
    while stage.tally().events < sent && Instant::now() < catch_up {
        tokio::time::sleep(FRAME / 10).await;
    }
    stage.over.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let summary = summary(stage, seconds, sent);
    common.output().one(&summary, text)?;
    ensure!(summary.read > 0, "no results were shown: the readers saw no event");
    let missing = summary.sent.saturating_sub(summary.read);
    ensure!(missing == 0, "{missing} events were acknowledged and not read");
    Ok(())
}

fn summary(stage: &Stage, seconds: f64, sent: u64) -> Summary {
    let tally = stage.tally();
    Summary {
        r#type: "summary",
        seconds,
        sent,
        read: tally.events,
        events_per_second: (tally.events as f64 / seconds.max(f64::EPSILON)) as u64,
        latency_ms: tally.latency().into(),
        alerts: tally.alerts,
        devices: tally.devices(),
    }
}

fn text(summary: &Summary) -> String {
    let Times { p50, p99, max } = &summary.latency_ms;
    format!(
        "{} events from {} devices in {:.1} s, {} a second; sent {}, read {}\n\
         latency p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms; {} alerts",
        grouped(summary.read),
        grouped(summary.devices as u64),
        summary.seconds,
        grouped(summary.events_per_second),
        grouped(summary.sent),
        grouped(summary.read),
        grouped(summary.alerts),
    )
}
