//! The floor: one thread that receives frames, checks them, writes them to files and acknowledges, and does nothing else. What it takes on this
//! machine nobody can take less of.
//!
//! Owns both ends of its connections, since it speaks no protocol; what it tells has the shape that the load generator tells. The files are
//! rolled and removed as a broker's segments are.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use crc_fast::{CrcAlgorithm, checksum};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::thread::{CpuSet, Pid, gettid, sched_setaffinity};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use serde_json::{Value, json};

use super::gauge;
use super::leg::Pace;
use crate::place;

const PREFIX_BYTES: usize = 4;
/// About what a broker answers to a producer.
const ACKNOWLEDGEMENT_BYTES: usize = 60;
const RECEIVED_AT_ONCE: usize = 256 << 10;
const EVENTS_MAX: usize = 64;
const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;

/// How large segments become, and how many closed ones are kept.
#[derive(Clone, Copy)]
pub(super) struct Segments {
    pub bytes: u64,
    pub closed: usize,
}

/// A load for the floor: what the row's own load comes to without a protocol.
#[derive(Clone, Copy)]
pub(super) enum Floor {
    /// As fast as acknowledgements come.
    Produce { frame_bytes: usize, connections: usize, in_flight: usize, files: usize, kept: Segments },
    /// At a fixed rate, and each frame goes on to a consumer.
    Latency { frame_bytes: usize, per_second: u32 },
}

/// Runs the load, on a core for each of both ends or wherever the system puts them, and tells what was measured.
pub(super) fn measure(floor: Floor, is_pinned: bool, pace: &Pace) -> Result<Value> {
    let folder = place::fresh("floor")?;
    let told = match floor {
        Floor::Produce { frame_bytes, connections, in_flight, files, kept } => {
            let frame = frame(frame_bytes);
            let clients = (0..connections).map(|_| |socket, run: &Run| produce(socket, &frame, in_flight, run));
            run(Files::new(&folder, files, kept), Echo::No, is_pinned, pace, clients.collect())
        }
        Floor::Latency { frame_bytes, per_second } => {
            let frame = frame(frame_bytes);
            let between = Duration::from_secs(1) / per_second;
            let client = |socket, run: &Run| ping(socket, &frame, between, run);
            run(
                Files::new(&folder, 1, Segments { bytes: u64::MAX, closed: 0 }),
                Echo::Yes,
                is_pinned,
                pace,
                vec![client],
            )
        }
    };
    let _ = fs::remove_dir_all(&folder);
    told
}

/// Whether frames go on to a consumer, which is the second connection of two.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Echo {
    No,
    Yes,
}

/// What all threads of a run share.
#[derive(Default)]
struct Run {
    over: AtomicBool,
    measured: AtomicBool,
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// A frame of a length and bytes that are no pattern.
fn frame(bytes: usize) -> Vec<u8> {
    let mut frame = (bytes as u32).to_be_bytes().to_vec();
    frame.extend((0..bytes as u32).map(|place| (place.wrapping_mul(2_654_435_761) >> 13) as u8));
    frame
}

/// Starts the server and its clients, and measures within the window. Each client answers with times in nanoseconds, if it takes any.
fn run<C>(files: Files, echo: Echo, is_pinned: bool, pace: &Pace, clients: Vec<C>) -> Result<Value>
where
    C: FnOnce(Vec<TcpStream>, &Run) -> Result<Vec<u64>> + Send,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let each = if echo == Echo::Yes { 2 } else { 1 };
    let (mut served, mut sockets) = (vec![], vec![]);
    for _ in 0..clients.len() {
        let mut of_client = vec![];
        for _ in 0..each {
            of_client.push(TcpStream::connect(address)?);
            served.push(listener.accept()?.0);
        }
        of_client.iter().chain(&served).try_for_each(|socket| socket.set_nodelay(true))?;
        sockets.push(of_client);
    }
    let run = Run::default();
    thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let server = scope.spawn(|| {
            pin(is_pinned, SERVER_CORE)?;
            tell.send(gettid())?;
            drop(tell);
            serve(served, files, echo, &run)
        });
        let clients: Vec<_> = clients
            .into_iter()
            .zip(sockets)
            .map(|(client, sockets)| {
                let run = &run;
                scope.spawn(move || {
                    pin(is_pinned, LOAD_CORE)?;
                    client(sockets, run)
                })
            })
            .collect();
        let server_id = told.recv().context("the server did not start")?;
        let measured = window(server_id, pace, &run);
        run.over.store(true, Ordering::Relaxed);
        let mut times = vec![];
        for client in clients {
            times.extend(client.join().expect("no panic")?);
        }
        server.join().expect("no panic")?;
        Ok(with_times(measured?, times))
    })
}

/// Counts what happens within the window.
fn window(server: Pid, pace: &Pace, run: &Run) -> Result<Value> {
    let count = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
    sleep(pace.warm);
    let (begun, cpu, requests, bytes) =
        (Instant::now(), gauge::thread_cpu_seconds(server)?, count(&run.requests), count(&run.bytes));
    run.measured.store(true, Ordering::Relaxed);
    sleep(pace.window);
    run.measured.store(false, Ordering::Relaxed);
    let (requests, bytes) = (count(&run.requests) - requests, count(&run.bytes) - bytes);
    ensure!(requests > 0, "the floor served nothing");
    let seconds = begun.elapsed().as_secs_f64();
    Ok(json!({
        "seconds": seconds,
        "requests": requests,
        "bytes": bytes,
        "mb_per_second": bytes as f64 / 1e6 / seconds,
        "broker_cpu_seconds": gauge::thread_cpu_seconds(server)? - cpu,
    }))
}

fn with_times(mut measured: Value, mut times: Vec<u64>) -> Value {
    times.sort_unstable();
    if !times.is_empty() {
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize] as f64 / 1e3;
        measured["end_to_end_us"] = json!({"p50": at(0.5), "p99": at(0.99), "p99_9": at(0.999)});
    }
    json!({"run": measured})
}

fn pin(is_pinned: bool, core: usize) -> Result<()> {
    if is_pinned {
        let mut cores = CpuSet::new();
        cores.set(core);
        sched_setaffinity(None, &cores).context("keep a thread on a core")?;
    }
    Ok(())
}

/// Keeps so many frames under way: for all acknowledgements that are here, as many frames go at once. A load that did it one by one would leave the
/// server idle, and what it is woken for each time is no part of a floor.
fn produce(sockets: Vec<TcpStream>, frame: &[u8], in_flight: usize, run: &Run) -> Result<Vec<u64>> {
    let mut socket = sockets.into_iter().next().context("no connection")?;
    let frames = frame.repeat(in_flight);
    let mut acknowledgements = vec![0; ACKNOWLEDGEMENT_BYTES * in_flight];
    socket.write_all(&frames)?;
    // Of an acknowledgement that has come in part.
    let mut begun = 0;
    while !run.over.load(Ordering::Relaxed) {
        let read = socket.read(&mut acknowledgements)?;
        ensure!(read > 0, "the floor closed a connection");
        begun += read;
        socket.write_all(&frames[..begun / ACKNOWLEDGEMENT_BYTES * frame.len()])?;
        begun %= ACKNOWLEDGEMENT_BYTES;
    }
    socket.read_exact(&mut acknowledgements[begun..])?;
    socket.shutdown(Shutdown::Both)?;
    Ok(vec![])
}

/// Sends a frame at each beat, and notes when it has come to the consumer: counted from the beat.
fn ping(sockets: Vec<TcpStream>, frame: &[u8], between: Duration, run: &Run) -> Result<Vec<u64>> {
    let [mut producer, mut consumer] = <[TcpStream; 2]>::try_from(sockets).ok().context("two connections")?;
    let (mut received, mut acknowledgement) = (vec![0; frame.len()], [0; ACKNOWLEDGEMENT_BYTES]);
    let (beat, mut due, mut times) = (Beat::every(between)?, Instant::now(), vec![]);
    while !run.over.load(Ordering::Relaxed) {
        due += between * beat.wait()?;
        producer.write_all(frame)?;
        consumer.read_exact(&mut received)?;
        if run.measured.load(Ordering::Relaxed) {
            times.push(due.elapsed().as_nanos() as u64);
        }
        producer.read_exact(&mut acknowledgement)?;
    }
    producer.shutdown(Shutdown::Both)?;
    consumer.shutdown(Shutdown::Both)?;
    Ok(times)
}

/// A timer that is not late by the slack that the system allows itself with those who sleep.
struct Beat(File);

impl Beat {
    fn every(between: Duration) -> Result<Self> {
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
        let spec = Timespec { tv_sec: between.as_secs() as i64, tv_nsec: between.subsec_nanos().into() };
        let both = Itimerspec { it_interval: spec, it_value: spec };
        rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &both)?;
        Ok(Self(timer.into()))
    }

    /// Waits for the next beat; how many have passed.
    fn wait(&self) -> io::Result<u32> {
        let mut count = [0; 8];
        (&self.0).read_exact(&mut count)?;
        Ok(u64::from_ne_bytes(count) as u32)
    }
}

/// A connection as the server has it.
struct Peer {
    socket: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    /// What could not be sent yet.
    out: Vec<u8>,
}

/// Serves until all connections are closed.
fn serve(sockets: Vec<TcpStream>, mut files: Files, echo: Echo, run: &Run) -> Result<()> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut peers = vec![];
    for (token, socket) in (0..).zip(sockets) {
        socket.set_nonblocking(true)?;
        epoll::add(&epoll, socket.as_fd(), EventData::new_u64(token), EventFlags::IN)?;
        peers.push(Peer { socket, buffer: vec![0; RECEIVED_AT_ONCE], filled: 0, out: vec![] });
    }
    let (mut open, mut events) = (peers.len(), Vec::with_capacity(EVENTS_MAX));
    while open > 0 {
        wait(&epoll, &mut events)?;
        for place in events.drain(..).map(|event| event.data.u64() as usize) {
            if !receive(&mut peers, place, &mut files, echo, run)? {
                epoll::delete(&epoll, peers[place].socket.as_fd())?;
                open -= 1;
            }
        }
    }
    Ok(())
}

fn wait(epoll: &OwnedFd, events: &mut Vec<Event>) -> Result<()> {
    match epoll::wait(epoll, rustix::buffer::spare_capacity(events), None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Takes what there is, and answers whole frames; no when the other end has closed.
fn receive(peers: &mut [Peer], place: usize, files: &mut Files, echo: Echo, run: &Run) -> Result<bool> {
    let peer = &mut peers[place];
    let read = match peer.socket.read(&mut peer.buffer[peer.filled..]) {
        Ok(0) => return Ok(false),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(true),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(false),
        read => read?,
    };
    peer.filled += read;
    let buffer = std::mem::take(&mut peer.buffer);
    let (mut at, filled) = (0, peer.filled);
    while let Some(length) = buffer[at..filled].first_chunk::<PREFIX_BYTES>() {
        let end = at + PREFIX_BYTES + u32::from_be_bytes(*length) as usize;
        if end > filled {
            break;
        }
        let body = &buffer[at + PREFIX_BYTES..end];
        std::hint::black_box(checksum(CrcAlgorithm::Crc32Iscsi, body));
        files.append(body)?;
        if echo == Echo::Yes {
            peers[place + 1].send(&buffer[at..end])?;
        }
        peers[place].out.extend([0; ACKNOWLEDGEMENT_BYTES]);
        run.requests.fetch_add(1, Ordering::Relaxed);
        run.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        at = end;
    }
    let peer = &mut peers[place];
    peer.keep(buffer, at, filled);
    let out = std::mem::take(&mut peer.out);
    peer.send(&out)?;
    Ok(true)
}

impl Peer {
    /// Keeps what is left of a buffer, with room for the whole frame that has begun.
    fn keep(&mut self, mut buffer: Vec<u8>, at: usize, filled: usize) {
        buffer.copy_within(at..filled, 0);
        self.filled = filled - at;
        if let Some(length) = buffer[..self.filled].first_chunk::<PREFIX_BYTES>() {
            let wanted = PREFIX_BYTES + u32::from_be_bytes(*length) as usize;
            if wanted > buffer.len() {
                buffer.resize(wanted, 0);
            }
        }
        self.buffer = buffer;
    }

    /// What is sent here is small: a socket that takes none of it is waited for.
    fn send(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    thread::yield_now();
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Files that are written in turn, each rolled when it is full; the oldest closed ones are removed.
struct Files {
    folder: PathBuf,
    kept: Segments,
    logs: Vec<Log>,
    next: usize,
    rolled: u64,
}

#[derive(Default)]
struct Log {
    active: Option<(File, PathBuf, u64)>,
    closed: VecDeque<PathBuf>,
}

impl Files {
    fn new(folder: &Path, files: usize, kept: Segments) -> Self {
        let logs = (0..files).map(|_| Log::default()).collect();
        Self { folder: folder.to_owned(), kept, logs, next: 0, rolled: 0 }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let place = self.next % self.logs.len();
        self.next += 1;
        if self.logs[place].active.as_ref().is_none_or(|(_, _, size)| *size >= self.kept.bytes) {
            self.roll(place)?;
        }
        let (file, _, size) = self.logs[place].active.as_mut().context("it was just rolled")?;
        file.write_all_at(bytes, *size)?;
        *size += bytes.len() as u64;
        Ok(())
    }

    fn roll(&mut self, place: usize) -> Result<()> {
        self.rolled += 1;
        let path = self.folder.join(self.rolled.to_string());
        let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        let log = &mut self.logs[place];
        log.closed.extend(log.active.replace((file, path, 0)).map(|(_, path, _)| path));
        while log.closed.len() > self.kept.closed
            && let Some(gone) = log.closed.pop_front()
        {
            fs::remove_file(&gone).with_context(|| format!("remove {}", gone.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        warm: Duration::from_millis(50),
        window: Duration::from_millis(200),
        rest: Duration::ZERO,
        idle: Duration::ZERO,
    };

    #[test]
    fn frames_are_written_acknowledged_and_passed_on() {
        let produce = Floor::Produce {
            frame_bytes: 300 << 10,
            connections: 2,
            in_flight: 3,
            files: 2,
            kept: Segments { bytes: 1 << 20, closed: 1 },
        };
        let told = measure(produce, false, &PACE).unwrap();
        let requests = told["run"]["requests"].as_u64().unwrap();
        assert_eq!(told["run"]["bytes"], requests * (300 << 10));
        let told = measure(Floor::Latency { frame_bytes: 150, per_second: 1_000 }, false, &PACE).unwrap();
        assert!(told["run"]["end_to_end_us"]["p50"].as_f64().unwrap() > 0.0, "{told}");
    }
}
