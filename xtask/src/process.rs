//! Foreign programs: run one to its end within a limit, or keep one running and stop it.
//!
//! Output goes to files, so that nothing is lost when a program is killed and nothing blocks on a full pipe.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const POLL: Duration = Duration::from_millis(5);
const TAIL_LINES: usize = 25;

/// Runs to the end with standard output in `output` and standard error in `output.err`.
///
/// Fails when the program does, or does not end within `limit` (it is killed then); the error holds the last lines that
/// the program printed.
pub fn run_into(command: &mut Command, output: &Path, limit: Duration) -> Result<()> {
    let mut child = spawn(command, output)?;
    let Some(status) = wait(&mut child, limit)? else {
        child.kill()?;
        child.wait()?;
        bail!("{} did not end within {limit:?}\n{}", name(command), complaint(output));
    };
    if !status.success() {
        bail!("{} failed ({})\n{}", name(command), outcome(status), complaint(output));
    }
    Ok(())
}

/// As [`run_into`], and answers with what the program printed on standard output.
pub fn run(command: &mut Command, output: &Path, limit: Duration) -> Result<String> {
    run_into(command, output, limit)?;
    let printed = fs::read(output).with_context(|| format!("read {}", output.display()))?;
    Ok(String::from_utf8_lossy(&printed).into_owned())
}

/// Gives a program the bytes of a file as its standard input.
pub fn feed<'a>(command: &'a mut Command, input: &Path) -> Result<&'a mut Command> {
    Ok(command.stdin(File::open(input).with_context(|| format!("open {}", input.display()))?))
}

/// A program that runs beside us until it is stopped. Dropping it kills it.
pub struct Running {
    child: Child,
    name: String,
    output: PathBuf,
}

impl Running {
    /// Starts the program with its output in `output` and `output.err`.
    pub fn start(command: &mut Command, output: &Path) -> Result<Running> {
        Ok(Running { child: spawn(command, output)?, name: name(command), output: output.to_path_buf() })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails when the program has ended by itself.
    pub fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself ({})\n{}", self.name, outcome(status), self.log_tail()),
        }
    }

    /// Asks the program to end (SIGTERM) and waits; fails when it does not end well.
    pub fn stop(&mut self, limit: Duration) -> Result<()> {
        self.check_alive()?;
        signal(self.id(), "TERM")?;
        match wait(&mut self.child, limit)? {
            None => bail!("{} did not end within {limit:?} after SIGTERM\n{}", self.name, self.log_tail()),
            // A JVM ends with 128 + 15 after an orderly shutdown.
            Some(status) if status.success() || status.code() == Some(143) => Ok(()),
            Some(status) => bail!("{} ended badly ({})\n{}", self.name, outcome(status), self.log_tail()),
        }
    }

    /// Kills the program on the spot (SIGKILL).
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The last lines that the program printed.
    pub fn log_tail(&self) -> String {
        complaint(&self.output)
    }

    /// Lets the program outlive us.
    pub fn detach(self) -> u32 {
        let id = self.id();
        std::mem::forget(self);
        id
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.kill();
        }
    }
}

/// Sends a signal by its name without SIG.
pub fn signal(id: u32, name: &str) -> Result<()> {
    let status = Command::new("kill").arg(format!("-{name}")).arg(id.to_string()).status().context("run kill")?;
    if !status.success() {
        bail!("kill -{name} {id} failed");
    }
    Ok(())
}

/// The file beside `output` that holds standard error.
pub fn errors_of(output: &Path) -> PathBuf {
    let mut path = output.as_os_str().to_owned();
    path.push(".err");
    PathBuf::from(path)
}

fn spawn(command: &mut Command, output: &Path) -> Result<Child> {
    let open = |path: &Path| File::create(path).with_context(|| format!("create {}", path.display()));
    command.stdout(open(output)?).stderr(open(&errors_of(output))?);
    command.spawn().with_context(|| format!("start {}", name(command)))
}

fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        sleep(POLL);
    }
}

fn outcome(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no status".to_owned(),
    }
}

/// The last lines of standard output and of standard error.
fn complaint(output: &Path) -> String {
    let mut text = String::new();
    for path in [output.to_path_buf(), errors_of(output)] {
        for line in last_lines(&path) {
            let _ = writeln!(text, "    | {line}");
        }
    }
    text
}

fn last_lines(path: &Path) -> Vec<String> {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let line = |line: &&str| line.chars().take(300).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(line).collect()
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    let arguments = command.get_args().map(|a| a.to_string_lossy());
    let words: Vec<_> = arguments.filter(|a| !a.starts_with('-') && !a.contains("/*")).take(2).collect();
    format!("{program} {}", words.join(" "))
}

/// Standard input that ends at once.
pub fn without_input(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("xtask-process-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder.join("out")
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_program_that_fails_tells_what_it_printed_last() {
        let error = run(&mut shell("echo one; echo two >&2; exit 3"), &scratch("fails"), Duration::from_secs(5));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("exit 3") && error.contains("| one") && error.contains("| two"), "{error}");
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_at_its_limit() {
        let started = Instant::now();
        let error = run(&mut shell("exec sleep 30"), &scratch("hangs"), Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("did not end within"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}
