//! Clients that a broker should not let others feel: consumers that read slowly or not at all, and connections that come and go.
//!
//! A thread each, which blocks: what they do is slow by design, and nothing is measured of it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use dohle_protocol::ApiKey;

use super::watch::raise_file_limit;
use crate::failure::Failure;
use crate::plan::Disturb;
use crate::report::Disturbed;
use crate::request::fetch::{self, Session, Terms, Wanted};
use crate::request::produce::topic_bytes;
use crate::wire::call::Call;
use crate::wire::cluster::{Cluster, EARLIEST, list_offsets};

/// What a consumer asks for: as much as Kafka's would.
const ANSWER_BYTES: i32 = 50 << 20;
const PARTITION_BYTES: i32 = 1 << 20;
const WAIT_MS: i32 = 500;
/// Requests that a consumer which takes nothing has sent.
const STALLED_REQUESTS: usize = 100;
/// Slow consumers take a part of their share so often, and everybody looks at the clock.
const BEAT: Duration = Duration::from_millis(100);
const BEATS_PER_SECOND: u64 = 10;
/// The length before a frame.
const PREFIX_BYTES: usize = 4;
/// A request of no session that names all it wants.
const NO_SESSION: Session = Session { id: 0, epoch: -1 };
/// The frame of a request that is never finished: a length, and less than that.
const BEGUN: [u8; 8] = [0, 0, 0, 100, 0, 18, 0, 3];
/// ApiVersions in version 0, whose answer nobody reads.
const ASKED: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];

/// Disturbs for as long as the plan says, and tells what was done.
pub fn disturb(plan: &Disturb) -> Result<Disturbed, Failure> {
    raise_file_limit();
    let cluster = Cluster::ask(&plan.bootstrap, &plan.topics)?;
    let leaders = cluster.leaders()?;
    let begun = Instant::now();
    let end = begun + plan.length;
    let done = Done::default();
    thread::scope(|scope| {
        let addresses = || leaders.iter().cycle();
        let slow: Vec<_> = addresses()
            .take(plan.slow)
            .map(|(leader, address)| scope.spawn(|| read_slowly(plan, &cluster, *leader, address, end, &done)))
            .collect();
        let stalled: Vec<_> = addresses()
            .take(plan.stalled)
            .map(|(leader, address)| scope.spawn(|| stall(&cluster, *leader, address, end, &done)))
            .collect();
        let storm = scope.spawn(|| storm(plan, &leaders, end, &done));
        let ended = slow.into_iter().chain(stalled).map(|thread| thread.join().unwrap_or(Ok(())));
        let ended: Result<Vec<()>, Failure> = ended.collect();
        // A storm ends by itself at the same time.
        let _ = storm.join();
        ended.map(drop)
    })?;
    let count = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
    Ok(Disturbed {
        seconds: begun.elapsed().as_secs_f64(),
        slow_bytes: count(&done.slow_bytes),
        stalled_bytes: count(&done.stalled_bytes),
        connections: count(&done.connections),
        refused: count(&done.refused),
    })
}

/// What all of them have done.
#[derive(Default)]
struct Done {
    slow_bytes: AtomicU64,
    stalled_bytes: AtomicU64,
    connections: AtomicU64,
    refused: AtomicU64,
}

/// Reads from the first record on, a little at each beat; what was read whole is asked for again.
fn read_slowly(
    plan: &Disturb,
    cluster: &Cluster,
    leader: i32,
    address: &str,
    end: Instant,
    done: &Done,
) -> Result<(), Failure> {
    let (socket, request) = consumer(cluster, leader, address)?;
    let piece = vec![0; (plan.slow_rate / BEATS_PER_SECOND).max(1) as usize];
    let mut sip = Sip { socket, piece, end, taken: &done.slow_bytes };
    sip.go_on(&request).map_err(|source| Failure::Lost { address: address.to_owned(), source })
}

/// A socket that is emptied in sips.
struct Sip<'a> {
    socket: TcpStream,
    /// What is taken in one beat.
    piece: Vec<u8>,
    end: Instant,
    taken: &'a AtomicU64,
}

impl Sip<'_> {
    /// Asks, and takes the answer, until the end.
    fn go_on(&mut self, request: &[u8]) -> io::Result<()> {
        while Instant::now() < self.end {
            self.socket.write_all(request)?;
            let mut prefix = [0; PREFIX_BYTES];
            if !self.take(PREFIX_BYTES, |at, byte| prefix[at] = byte)? {
                return Ok(());
            }
            self.take(u32::from_be_bytes(prefix) as usize, |_, _| ())?;
        }
        Ok(())
    }

    /// Takes so many bytes; no when the end came before them.
    fn take(&mut self, wanted: usize, mut see: impl FnMut(usize, u8)) -> io::Result<bool> {
        let mut taken = 0;
        while taken < wanted {
            let now = Instant::now();
            if now >= self.end {
                return Ok(false);
            }
            let room = self.piece.len().min(wanted - taken);
            let read = patiently(self.socket.read(&mut self.piece[..room]))?;
            (taken..).zip(&self.piece[..read]).for_each(|(at, byte)| see(at, *byte));
            taken += read;
            self.taken.fetch_add(read as u64, Ordering::Relaxed);
            if room == self.piece.len() {
                sleep((now + BEAT).saturating_duration_since(Instant::now()));
            }
        }
        Ok(true)
    }
}

/// Asks until the socket takes no more, and then only holds it.
fn stall(cluster: &Cluster, leader: i32, address: &str, end: Instant, done: &Done) -> Result<(), Failure> {
    let (mut socket, request) = consumer(cluster, leader, address)?;
    let lost = |source| Failure::Lost { address: address.to_owned(), source };
    socket.set_write_timeout(Some(BEAT)).map_err(lost)?;
    for _ in 0..STALLED_REQUESTS {
        match socket.write_all(&request) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            written => written.map_err(lost)?,
        }
    }
    sleep(end.saturating_duration_since(Instant::now()));
    let waiting = rustix::io::ioctl_fionread(&socket).map_err(|errno| lost(errno.into()))?;
    done.stalled_bytes.fetch_add(waiting, Ordering::Relaxed);
    Ok(())
}

/// A connection that has been greeted, and the request for all that its broker leads, from the first record on.
fn consumer(cluster: &Cluster, leader: i32, address: &str) -> Result<(TcpStream, Vec<u8>), Failure> {
    let mut call = Call::dial(address)?;
    let version = call.newest(ApiKey::Fetch)?;
    let terms = Terms {
        version,
        max_wait_ms: WAIT_MS,
        min_bytes: 1,
        max_bytes: ANSWER_BYTES,
        partition_max_bytes: PARTITION_BYTES,
    };
    let mut places = vec![];
    for topic in &cluster.topics {
        let Some(partitions) = topic.led.get(&leader) else { continue };
        let offsets = list_offsets(&mut call, &topic.name, partitions, EARLIEST)?;
        let id = topic_bytes(version, &topic.name, topic.id);
        places.extend(partitions.iter().zip(offsets).map(|(partition, offset)| (id.clone(), *partition, offset)));
    }
    let wanted =
        places.iter().map(|(topic, partition, offset)| Wanted { topic, partition: *partition, offset: *offset });
    let mut request = vec![];
    fetch::write(&mut request, 1, &terms, NO_SESSION, wanted);
    let socket = call.into_socket();
    let timed = socket.set_read_timeout(Some(BEAT));
    timed.map(|()| (socket, request)).map_err(|source| Failure::Lost { address: address.to_owned(), source })
}

/// Makes connections at the rate, and gives each up in its own way.
fn storm(plan: &Disturb, leaders: &[(i32, String)], end: Instant, done: &Done) {
    let Some(between) = Duration::from_secs(1).checked_div(plan.storm) else { return };
    let mut due = Instant::now();
    for (number, (_, address)) in leaders.iter().cycle().enumerate() {
        if due >= end {
            return;
        }
        sleep(due.saturating_duration_since(Instant::now()));
        match TcpStream::connect(address).and_then(|socket| give_up(socket, number)) {
            Ok(()) => done.connections.fetch_add(1, Ordering::Relaxed),
            Err(_) => done.refused.fetch_add(1, Ordering::Relaxed),
        };
        due += between;
    }
}

/// In turn: without a word, within a request, and before the answer.
fn give_up(mut socket: TcpStream, number: usize) -> io::Result<()> {
    match number % 3 {
        0 => Ok(()),
        1 => socket.write_all(&BEGUN),
        _ => socket.write_all(&ASKED).and_then(|()| socket.shutdown(Shutdown::Write)),
    }
}

/// Nothing yet is no error.
fn patiently(read: io::Result<usize>) -> io::Result<usize> {
    match read {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(0),
        read => read,
    }
}
