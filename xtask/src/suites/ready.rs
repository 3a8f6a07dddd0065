//! Is a broker ready? Asked as a client asks, by hand, so that nothing but the broker is measured.
//!
//! Ready means that ApiVersions and then Metadata are answered and that Metadata names a broker and a controller.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::process::Running;
use crate::wire::{Answer, Connection};

const POLL: Duration = Duration::from_millis(1);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

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
    let mut connection = Connection::open(port, ANSWER_LIMIT)?;
    let versions = connection.ask(API_VERSIONS, 0, &[])?;
    ensure!(Answer(&versions).int16()? == 0, "ApiVersions answered an error");
    // Version 1 with an empty list asks for the brokers and no topic.
    let answer = connection.ask(METADATA, 1, &0i32.to_be_bytes())?;
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
