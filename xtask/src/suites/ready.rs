//! Is a broker ready? Asked as a client asks, by hand, so that nothing but the broker is measured.
//!
//! Ready means that ApiVersions and then Metadata are answered and that Metadata names a broker and a controller.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::process::Running;

const POLL: Duration = Duration::from_millis(1);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 1 << 20;

const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;

/// Waits until the broker on 127.0.0.1 is ready; answers how long that took. Fails when it ends by itself.
pub(crate) fn wait(port: u16, broker: &mut Running, limit: Duration) -> Result<Duration> {
    let started = Instant::now();
    loop {
        let error = match probe(port) {
            Ok(()) => return Ok(started.elapsed()),
            Err(error) => error,
        };
        broker.check_alive()?;
        if started.elapsed() > limit {
            bail!("not ready within {limit:?}: {error:#}\n{}", broker.log_tail());
        }
        sleep(POLL);
    }
}

fn probe(port: u16) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.set_nodelay(true)?;
    let mut versions = Answer(&ask(&mut stream, API_VERSIONS, 0, &[])?);
    ensure!(versions.int16()? == 0, "ApiVersions answered an error");
    // Version 1 with an empty list asks for the brokers and no topic.
    let answer = ask(&mut stream, METADATA, 1, &0i32.to_be_bytes())?;
    let mut metadata = Answer(&answer);
    let brokers = metadata.int32()?;
    for _ in 0..brokers {
        metadata.int32()?;
        metadata.string()?;
        metadata.int32()?;
        metadata.string()?;
    }
    let controller = metadata.int32()?;
    ensure!(brokers > 0 && controller >= 0, "{brokers} brokers, controller {controller}");
    Ok(())
}

/// Sends one request with header version 1 and answers with the body of the response.
fn ask(stream: &mut TcpStream, api: i16, version: i16, body: &[u8]) -> Result<Vec<u8>> {
    let mut request = Vec::new();
    request.extend(api.to_be_bytes());
    request.extend(version.to_be_bytes());
    request.extend(1i32.to_be_bytes());
    request.extend((-1i16).to_be_bytes());
    request.extend(body);
    let mut frame = (request.len() as i32).to_be_bytes().to_vec();
    frame.extend(request);
    stream.write_all(&frame)?;

    let mut size = [0; 4];
    stream.read_exact(&mut size).context("no answer")?;
    let size = u32::from_be_bytes(size) as usize;
    ensure!((4..=ANSWER_BYTES_MAX).contains(&size), "an answer of {size} bytes");
    let mut answer = vec![0; size];
    stream.read_exact(&mut answer)?;
    Ok(answer.split_off(4))
}

/// What is left of a response.
struct Answer<'a>(&'a [u8]);

impl Answer<'_> {
    fn int16(&mut self) -> Result<i16> {
        let (head, rest) = self.0.split_first_chunk().context("the answer is too short")?;
        self.0 = rest;
        Ok(i16::from_be_bytes(*head))
    }

    fn int32(&mut self) -> Result<i32> {
        let (head, rest) = self.0.split_first_chunk().context("the answer is too short")?;
        self.0 = rest;
        Ok(i32::from_be_bytes(*head))
    }

    /// Passes over a nullable string.
    fn string(&mut self) -> Result<()> {
        let length = usize::try_from(self.int16()?).unwrap_or(0);
        self.0 = self.0.get(length..).context("the answer is too short")?;
        Ok(())
    }
}
