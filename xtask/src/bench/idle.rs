//! Row 8b: what a broker takes that nobody uses: memory, processor time, and memory for many partitions.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::broker::Broker;
use super::leg::Pace;
use super::{first, gauge};

/// Looks at an empty broker, then at one that was started with many partitions.
pub(super) fn measure(broker: &mut Broker, pace: &Pace) -> Result<Value> {
    broker.start()?;
    let (empty_bytes, empty_cpu) = look(broker, pace)?;
    first::make_many(broker)?;
    broker.stop()?;
    broker.start()?;
    let (full_bytes, full_cpu) = look(broker, pace)?;
    Ok(json!({"idle": {
        "resident_bytes": empty_bytes,
        "cpu": empty_cpu,
        "partitions_resident_bytes": full_bytes,
        "partitions_added_bytes": full_bytes.saturating_sub(empty_bytes),
        "partitions_cpu": full_cpu,
    }}))
}

/// Resident bytes, and the part of one core that it uses.
fn look(broker: &Broker, pace: &Pace) -> Result<(u64, f64)> {
    sleep(pace.rest);
    let resident = gauge::resident_bytes(broker.id())?;
    Ok((resident, core_part(broker, pace.idle)?))
}

fn core_part(broker: &Broker, window: Duration) -> Result<f64> {
    let before = gauge::cpu_seconds(broker.id())?;
    sleep(window);
    Ok((gauge::cpu_seconds(broker.id())? - before) / window.as_secs_f64())
}
