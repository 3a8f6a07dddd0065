//! A proxy on 127.0.0.1 that keeps what clients and broker say to each other, byte by byte and in both directions.
//!
//! The broker advertises the proxy's address, so that a client never finds a way around it. It understands nothing of what it keeps.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow, ensure};

/// Most bytes that are kept of one direction of one connection; the clients are given little to do.
const KEPT_BYTES_MAX: usize = 64 << 20;
const PIECE_BYTES: usize = 64 << 10;

/// Both directions of one connection, as they were sent.
pub(super) struct Talk {
    pub(super) requests: Vec<u8>,
    pub(super) responses: Vec<u8>,
}

/// One connection that is, or was, open.
struct Line {
    client: TcpStream,
    requests: JoinHandle<Result<Vec<u8>>>,
    responses: JoinHandle<Result<Vec<u8>>>,
}

/// A proxy that listens, and soon knows its broker.
pub(super) struct Recorder {
    listener: TcpListener,
    lines: Arc<Mutex<Vec<Line>>>,
}

impl Recorder {
    /// Listens; nobody is answered before [`Recorder::lead_to`].
    pub(super) fn listen() -> Result<Recorder> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen for clients to record")?;
        Ok(Recorder { listener, lines: Arc::default() })
    }

    /// Where clients are to call.
    pub(super) fn address(&self) -> Result<String> {
        Ok(self.listener.local_addr()?.to_string())
    }

    /// From now on every connection is led to `broker`, until the program ends.
    pub(super) fn lead_to(&self, broker: &str) -> Result<()> {
        let (listener, lines, broker) = (self.listener.try_clone()?, self.lines.clone(), broker.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A broker that does not answer closes the client's connection, which is what the client would see without us.
                if let Ok(line) = Line::open(client, &broker) {
                    held(&lines).push(line);
                }
            }
        });
        Ok(())
    }

    /// Hears no client any more, answers what was said on each connection since the last call, and forgets it.
    /// The clients have ended by then; but a broker that calls itself by its advertised address, as Kafka's transaction coordinator
    /// does with its markers, keeps the connection.
    pub(super) fn take(&self) -> Result<Vec<Talk>> {
        let lines = std::mem::take(&mut *held(&self.lines));
        lines.into_iter().map(Line::close).collect()
    }
}

fn held(lines: &Mutex<Vec<Line>>) -> MutexGuard<'_, Vec<Line>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    fn open(client: TcpStream, broker: &str) -> Result<Line> {
        let broker = TcpStream::connect(broker).with_context(|| format!("connect to {broker}"))?;
        client.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        let (from_client, from_broker) = (client.try_clone()?, broker.try_clone()?);
        Ok(Line {
            client: client.try_clone()?,
            requests: thread::spawn(move || pass(from_client, broker)),
            responses: thread::spawn(move || pass(from_broker, client)),
        })
    }

    fn close(self) -> Result<Talk> {
        // What has arrived is still read. It fails when the connection is closed already.
        let _ = self.client.shutdown(Shutdown::Read);
        let joined = |side: JoinHandle<Result<Vec<u8>>>| side.join().map_err(|_| anyhow!("a recording thread died"))?;
        Ok(Talk { requests: joined(self.requests)?, responses: joined(self.responses)? })
    }
}

/// Hands on everything until one side has enough of it; answers what was handed on.
fn pass(mut from: TcpStream, mut to: TcpStream) -> Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut piece = vec![0; PIECE_BYTES];
    // A client that is killed resets its connection: an end like any other.
    while let Ok(size @ 1..) = from.read(&mut piece) {
        ensure!(kept.len() + size <= KEPT_BYTES_MAX, "more than {KEPT_BYTES_MAX} bytes on one connection");
        kept.extend_from_slice(&piece[..size]);
        if to.write_all(&piece[..size]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_hear_each_other_and_both_are_kept() {
        let broker = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let recorder = Recorder::listen().unwrap();
        recorder.lead_to(&broker.local_addr().unwrap().to_string()).unwrap();
        let answering = thread::spawn(move || {
            let (mut socket, _) = broker.accept().unwrap();
            let mut asked = [0; 4];
            socket.read_exact(&mut asked).unwrap();
            socket.write_all(b"Dohle").unwrap();
        });
        let mut client = TcpStream::connect(recorder.address().unwrap()).unwrap();
        client.write_all(b"bird").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).unwrap();
        answering.join().unwrap();
        let talks = recorder.take().unwrap();
        assert_eq!((heard.as_slice(), talks.len()), (&b"Dohle"[..], 1));
        assert_eq!((talks[0].requests.as_slice(), talks[0].responses.as_slice()), (&b"bird"[..], &b"Dohle"[..]));
    }
}
