//! What the demo shows: a picture for a terminal, lines for a pipe, and objects for a program.
//!
//! Renders what it is handed; [`Canvas`] alone knows the terminal.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::sensors::CELSIUS_MAX;
use super::tally::{Latency, Minute, Tally};
use crate::text::instant;
use crate::text::number::grouped;

/// Lines of the picture that are not rows of the table.
const LINES_BESIDE_ROWS: usize = 17;
const ROWS_MIN: usize = 3;
const ROWS_MAX: usize = 12;
/// The bar of a row stands for temperatures from here to [`BAR_TO`].
const BAR_FROM: f64 = 40.0;
const BAR_TO: f64 = 110.0;
const BAR_WIDTH: usize = 30;

/// What is to be shown.
pub(super) struct View<'a> {
    pub(super) broker: &'a str,
    pub(super) metrics: Option<&'a str>,
    pub(super) topic: &'a str,
    pub(super) running: Duration,
    pub(super) pace: u64,
    pub(super) recent: Latency,
    pub(super) tally: &'a Tally,
    pub(super) members: &'a [MemberView],
}

/// A reader of the group.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MemberView {
    pub(super) partitions: usize,
    pub(super) lag: u64,
}

/// The picture, in at most `height` lines.
pub(super) fn picture(view: &View, height: usize) -> Vec<String> {
    let tally = view.tally;
    let rows = height.saturating_sub(LINES_BESIDE_ROWS).clamp(ROWS_MIN, ROWS_MAX);
    let mut lines = vec![
        format!(
            "{}  {}",
            bold("dohle demo"),
            dim(&format!("a broker, a producer and a group of readers for {}", clock(view.running)))
        ),
        dim(&format!("broker {}  metrics {}", view.broker, view.metrics.unwrap_or("-"))),
        String::new(),
        format!("events   {:>12}   {:>9} /s   {}", grouped(tally.events), grouped(view.pace), spark(&tally.paces)),
        format!(
            "latency  {:>9} p50   {:>9} p99   {}",
            millis(view.recent.p50),
            millis(view.recent.p99),
            dim("from the sensor to the reader, in the last second")
        ),
        format!("readers  {}", members(view.members)),
        format!(
            "alerts   {:>12}   above {CELSIUS_MAX:.0} °C, {} devices",
            grouped(tally.alerts),
            grouped(tally.devices() as u64)
        ),
        String::new(),
        bold(&format!(
            "{:<12} {:>6} {:>8} {:>9} {:>9} {:>9}",
            "HOTTEST", "MINUTE", "EVENTS", "MEAN °C", "MAX °C", "NOW °C"
        )),
    ];
    let hottest = tally.hottest(rows);
    lines.extend(hottest.iter().map(|(device, minute)| row(device, minute)));
    lines.extend(std::iter::repeat_n(String::new(), rows.saturating_sub(hottest.len())));
    lines.push(String::new());
    lines.push(bold("LAST ALERTS"));
    let alert = |alert: &super::tally::Alert| {
        format!("{}  {:<12} {}", time(alert.at), alert.device, red(&format!("{:.1} °C", alert.celsius)))
    };
    let shown = 3;
    lines.extend(tally.last_alerts.iter().take(shown).map(alert));
    lines.extend(std::iter::repeat_n(String::new(), shown.saturating_sub(tally.last_alerts.len())));
    lines.push(String::new());
    lines.push(dim(&format!(
        "see for yourself: dohle consume {} --bootstrap {}     Ctrl-C ends",
        view.topic, view.broker
    )));
    lines
}

fn row(device: &str, minute: &Minute) -> String {
    let text = format!(
        "{device:<12} {:>6} {:>8} {:>9.2} {:>9.2} {:>9.2}  ",
        &time(minute.begin)[..5],
        grouped(minute.events),
        minute.mean(),
        minute.max,
        minute.last
    );
    let share = ((minute.last - BAR_FROM) / (BAR_TO - BAR_FROM)).clamp(0.0, 1.0);
    let bar = "█".repeat((share * BAR_WIDTH as f64).round() as usize);
    if minute.last > CELSIUS_MAX {
        format!("{text}{}", red(&format!("{bar} alert")))
    } else {
        format!("{text}{}", dim(&bar))
    }
}

fn members(members: &[MemberView]) -> String {
    let one = |member: &MemberView| format!("{} partitions, {} behind", member.partitions, grouped(member.lag));
    members.iter().map(one).collect::<Vec<_>>().join("   ·   ")
}

/// The pace of the last seconds as a row of bars.
fn spark(paces: &VecDeque<u64>) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = paces.iter().copied().max().unwrap_or(0).max(1);
    paces.iter().map(|pace| BARS[(pace * 7 / most) as usize]).collect()
}

fn clock(running: Duration) -> String {
    let seconds = running.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

fn time(at: dohle_base::Timestamp) -> String {
    instant::show(at).get(11..19).unwrap_or("--:--:--").to_owned()
}

fn millis(ms: f64) -> String {
    format!("{ms:.2} ms")
}

fn bold(text: &str) -> String {
    format!("\x1b[1m{text}\x1b[0m")
}

fn dim(text: &str) -> String {
    format!("\x1b[2m{text}\x1b[0m")
}

fn red(text: &str) -> String {
    format!("\x1b[31m{text}\x1b[0m")
}

/// One line a second, where nothing can be redrawn.
pub(super) fn line(view: &View) -> String {
    let hottest = view.tally.hottest(1);
    let hottest = hottest
        .first()
        .map(|(name, minute)| format!(", hottest {name}: mean {:.1}, max {:.1} °C", minute.mean(), minute.max));
    format!(
        "{}  {} events, {}/s, latency p50 {} p99 {}, {} alerts{}",
        clock(view.running),
        grouped(view.tally.events),
        grouped(view.pace),
        millis(view.recent.p50),
        millis(view.recent.p99),
        view.tally.alerts,
        hottest.unwrap_or_default()
    )
}

/// What a program is told each second.
#[derive(Serialize)]
pub(super) struct Second {
    r#type: &'static str,
    second: u64,
    events: u64,
    events_per_second: u64,
    latency_ms: Times,
    alerts: u64,
    devices: Vec<Hot>,
}

#[derive(Serialize)]
struct Hot {
    device: String,
    minute: String,
    events: u64,
    mean: f64,
    max: f64,
}

#[derive(Serialize)]
pub(super) struct Times {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl From<Latency> for Times {
    fn from(latency: Latency) -> Self {
        Self { p50: latency.p50, p99: latency.p99, max: latency.max }
    }
}

impl Second {
    pub(super) fn of(view: &View) -> Self {
        let hot = |(device, minute): (&str, Minute)| Hot {
            device: device.to_owned(),
            minute: instant::show(minute.begin),
            events: minute.events,
            mean: minute.mean(),
            max: minute.max,
        };
        Self {
            r#type: "second",
            second: view.running.as_secs_f64().round() as u64,
            events: view.tally.events,
            events_per_second: view.pace,
            latency_ms: view.recent.into(),
            alerts: view.tally.alerts,
            devices: view.tally.hottest(5).into_iter().map(hot).collect(),
        }
    }
}

/// The part of the terminal that is drawn on. Dropping it gives the terminal back as it was.
pub(super) struct Canvas;

const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const END_OF_LINE: &str = "\x1b[K";
const END_OF_SCREEN: &str = "\x1b[J";
/// Where the terminal does not tell its height.
const HEIGHT: usize = 30;

impl Canvas {
    pub(super) fn open() -> io::Result<Self> {
        io::stdout().lock().write_all(ENTER.as_bytes())?;
        Ok(Self)
    }

    /// Lines that fit.
    pub(super) fn height(&self) -> usize {
        rustix::termios::tcgetwinsize(io::stdout()).map_or(HEIGHT, |size| usize::from(size.ws_row).max(1))
    }

    pub(super) fn draw(&self, lines: &[String]) -> io::Result<()> {
        let height = self.height();
        let mut frame = String::from(HOME);
        for (place, line) in lines.iter().take(height).enumerate() {
            if place > 0 {
                frame.push_str("\r\n");
            }
            frame.push_str(line);
            frame.push_str(END_OF_LINE);
        }
        frame.push_str(END_OF_SCREEN);
        let mut out = io::stdout().lock();
        out.write_all(frame.as_bytes())?;
        out.flush()
    }
}

impl Drop for Canvas {
    fn drop(&mut self) {
        let mut out = io::stdout().lock();
        // A terminal that is gone needs nothing back.
        let _ = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
    }
}

#[cfg(test)]
mod tests {
    use dohle_base::Timestamp;

    use super::super::tally::Seen;
    use super::*;

    /// What fits a terminal of a hundred columns with room to spare.
    const WIDTH: usize = 98;

    fn plain(line: &str) -> String {
        let mut text = String::new();
        let mut escaped = false;
        for c in line.chars() {
            match (escaped, c) {
                (false, '\x1b') => escaped = true,
                (false, c) => text.push(c),
                (true, 'm') => escaped = false,
                (true, _) => {}
            }
        }
        text
    }

    fn tally(devices: usize) -> Tally {
        let mut tally = Tally::new();
        for number in 0..devices {
            let device = format!("oven-{number:03}");
            tally.see(Seen { device: &device, celsius: 60.0 + number as f64, at: Timestamp(0), latency_us: 1_500 });
        }
        tally
    }

    #[test]
    fn the_picture_fits_a_small_terminal() {
        let members = [MemberView { partitions: 3, lag: 123_456 }; 2];
        for devices in [0, 1, 50] {
            let mut tally = tally(devices);
            let (pace, recent) = tally.tick();
            let view = View {
                broker: "127.0.0.1:65535",
                metrics: Some("http://127.0.0.1:65535/metrics"),
                topic: "sensors",
                running: Duration::from_secs(75),
                pace,
                recent,
                tally: &tally,
                members: &members,
            };
            for height in [24, 30, 60] {
                let lines = picture(&view, height);
                assert!(lines.len() <= height, "{} lines of {height}", lines.len());
                for line in &lines {
                    assert!(plain(line).chars().count() <= WIDTH, "{line}");
                }
            }
            assert!(line(&view).starts_with("01:15"));
        }
    }
}
