//! A disk that can be filled: a small file system in memory, mounted for one cycle.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Tools;
use super::dice::Dice;
use super::ledger::Tally;
use super::world::World;

const SIZE: &str = "size=96m";
/// What the ballast leaves, at most: the load uses it up within a second.
const SPARE_BYTES_MAX: u64 = 2 << 20;
/// Without an acknowledgement for so long the disk is full.
const SILENCE: Duration = Duration::from_secs(1);
/// A broker that goes on by itself does so within this.
const RESUME_LIMIT: Duration = Duration::from_secs(5);

/// Why it cannot be done here; none when it can.
pub(super) fn refusal(folder: &Path) -> Result<Option<&'static str>> {
    if !cfg!(target_os = "linux") {
        return Ok(Some("needs Linux"));
    }
    let probe = Disk::mount(folder.join("probe"))?;
    Ok(probe.is_none().then_some("mounting is not permitted"))
}

/// A world on a disk that becomes full under load and then has room again.
pub(super) fn suffer(tools: &Tools, dice: &mut Dice, cycle: u32, tally: &mut Tally) -> Result<String> {
    let folder = tools.folder.join(format!("full-{cycle}"));
    let disk = Disk::mount(folder.join("disk"))?.context("mounting was permitted a moment ago")?;
    let mut world = World::start_at(tools, &folder, disk.path.join("data"), &[])?;
    world.await_flow()?;
    disk.fill(dice.below(SPARE_BYTES_MAX))?;
    world.await_silence(SILENCE)?;
    let told = go_on(&mut world, &disk)?;
    world.check()?;
    let suffered = world.end()?;
    ensure!(suffered.acknowledged > 0, "nothing was acknowledged before the disk was full");
    tally.add(suffered);
    Ok(told)
}

/// Makes room, and starts the broker again unless it goes on by itself.
fn go_on(world: &mut World, disk: &Disk) -> Result<String> {
    disk.empty()?;
    let before = world.tally().acknowledged;
    let ended = world.pass_until(RESUME_LIMIT, |broker| Ok(broker.has_ended()))?;
    if !ended && world.tally().acknowledged > before {
        return Ok("the disk was full, and the broker went on when there was room".to_owned());
    }
    world.broker.bury()?;
    world.broker.start()?;
    let until = if ended { "ended" } else { "stood still" };
    Ok(format!("the disk was full, the broker {until} and was started again"))
}

/// The file system. Dropping it unmounts it.
struct Disk {
    path: PathBuf,
}

impl Disk {
    /// None when that is not permitted.
    fn mount(path: PathBuf) -> Result<Option<Self>> {
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(&path).output();
        Ok(mounted.is_ok_and(|mounted| mounted.status.success()).then_some(Self { path }))
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    /// Takes all room but so many bytes.
    fn fill(&self, spare: u64) -> Result<()> {
        let mut file = File::create(self.ballast()).context("create the ballast")?;
        let zeros = vec![0; 64 << 10];
        loop {
            match file.write(&zeros) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error).context("write the ballast"),
            }
        }
        let size = file.metadata()?.len();
        Ok(file.set_len(size.saturating_sub(spare))?)
    }

    fn empty(&self) -> Result<()> {
        fs::remove_file(self.ballast()).context("remove the ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that is still ending must not keep it.
        let _ = Command::new("umount").arg("-l").arg(&self.path).output();
    }
}
