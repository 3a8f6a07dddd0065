//! What processes and the machine use, as Linux tells it below `/proc`.

use std::fs;
use std::io;
use std::path::Path;

use crate::report::Resident;

/// The fields of `/proc/PID/stat` behind the name at which the user's and the system's ticks stand.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
/// The fields of the first line of `/proc/stat` in which somebody worked: user, nice, system, interrupts (hard and soft). A
/// guest's are among the user's, and what the host took away is nobody's here.
const BUSY: [usize; 5] = [0, 1, 2, 5, 6];
/// The field of it that counts what the host of a virtual machine gave to others while somebody here wanted it.
const STOLEN: [usize; 1] = [7];

/// Processor time that was used until now, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clocks {
    generator: f64,
    broker: Option<f64>,
    machine: f64,
    stolen: f64,
}

/// What was used between two moments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Seconds of this process.
    pub generator: f64,
    /// Seconds of the process that was named.
    pub broker: Option<f64>,
    /// Seconds of all processors of the machine.
    pub machine: f64,
    /// Seconds that the host gave to others, of all processors.
    pub stolen: f64,
    /// The memory of the process that was named.
    pub resident: Option<Resident>,
}

impl Clocks {
    /// Reads them now; `broker` must be running.
    pub fn read(broker: Option<u32>) -> io::Result<Self> {
        let [machine, stolen] = machine_seconds([&BUSY, &STOLEN])?;
        Ok(Self {
            generator: process_seconds("self")?,
            broker: broker.map(|pid| process_seconds(&pid.to_string())).transpose()?,
            machine,
            stolen,
        })
    }

    /// What was used since `earlier`.
    pub fn since(&self, earlier: &Self) -> Spent {
        let between = |now: f64, then: f64| ((now - then) * 1e3).round() / 1e3;
        Spent {
            generator: between(self.generator, earlier.generator),
            broker: self.broker.zip(earlier.broker).map(|(now, then)| between(now, then)),
            machine: between(self.machine, earlier.machine),
            stolen: between(self.stolen, earlier.stolen),
            resident: None,
        }
    }
}

/// The resident memory of a process, counted page by page. Costs it some milliseconds.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    // Only the owner may read the exact figure.
    match kibibytes(&format!("/proc/{pid}/smaps_rollup"), "Rss:") {
        Ok(bytes) => Ok(bytes),
        Err(_) => resident_bytes_roughly(pid),
    }
}

/// The same as the kernel keeps it, off by some pages. Costs the process nothing.
pub fn resident_bytes_roughly(pid: u32) -> io::Result<u64> {
    kibibytes(&format!("/proc/{pid}/status"), "VmRSS:")
}

fn kibibytes(path: &str, field: &str) -> io::Result<u64> {
    let text = read(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    number.map(|number| number << 10).ok_or_else(|| unreadable(path))
}

fn process_seconds(process: &str) -> io::Result<f64> {
    let path = format!("/proc/{process}/stat");
    let text = read(&path)?;
    // The name, in brackets, may hold anything.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    seconds(fields, &[USER_TICKS, SYSTEM_TICKS]).ok_or_else(|| unreadable(&path))
}

/// What the host has given to others until now, in seconds of all processors.
pub fn stolen_seconds() -> io::Result<f64> {
    machine_seconds([&STOLEN]).map(|[stolen]| stolen)
}

fn machine_seconds<const N: usize>(wanted: [&[usize]; N]) -> io::Result<[f64; N]> {
    let text = read("/proc/stat")?;
    let line = text.lines().next().and_then(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    let mut found = [0.0; N];
    for (found, places) in found.iter_mut().zip(wanted) {
        *found = seconds(line, places).ok_or_else(|| unreadable("/proc/stat"))?;
    }
    Ok(found)
}

fn seconds(fields: &str, wanted: &[usize]) -> Option<f64> {
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = wanted.iter().map(|place| fields.get(*place)?.parse::<u64>().ok()).sum::<Option<u64>>()?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn read(path: impl AsRef<Path>) -> io::Result<String> {
    let path = path.as_ref();
    fs::read_to_string(path).map_err(|error| io::Error::new(error.kind(), format!("read {}: {error}", path.display())))
}

fn unreadable(path: &str) -> io::Error {
    io::Error::other(format!("{path} is not what Linux writes"))
}

#[cfg(test)]
mod tests {
    use super::{Clocks, resident_bytes, resident_bytes_roughly, seconds, stolen_seconds};

    #[test]
    fn ticks_are_found_by_their_place() {
        let fields = " S 1 2 3 4 5 6 7 8 9 10 150 50 1";
        assert_eq!(seconds(fields, &[11, 12]), Some(200.0 / rustix::param::clock_ticks_per_second() as f64));
        assert_eq!(seconds("1 2", &[5]), None);
    }

    #[test]
    fn this_process_uses_memory_and_time() {
        let me = std::process::id();
        assert!(resident_bytes(me).unwrap() > 1 << 20);
        assert!(resident_bytes_roughly(me).unwrap() > 1 << 20);
        let before = Clocks::read(Some(me)).unwrap();
        let spent = Clocks::read(Some(me)).unwrap().since(&before);
        assert!(spent.generator >= 0.0 && spent.broker.unwrap() >= 0.0 && spent.machine >= 0.0);
        assert!(before.machine >= before.generator && before.stolen <= stolen_seconds().unwrap());
    }
}
