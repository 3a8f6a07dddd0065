//! Counts what passed, failed and was skipped, tells each as it happens, and closes with the one line.

use std::time::Instant;

use anyhow::Result;

/// The outcome of one run of a suite.
#[derive(Default)]
pub(super) struct Tally {
    passed: Vec<String>,
    failed: Vec<String>,
    skipped: Vec<String>,
}

impl Tally {
    /// Runs one check under its name; its error becomes a failure and the run goes on.
    pub(super) fn check(&mut self, name: &str, check: impl FnOnce() -> Result<()>) {
        let started = Instant::now();
        match check() {
            Ok(()) => {
                println!("ok      {name} ({:.1} s)", started.elapsed().as_secs_f32());
                self.passed.push(name.to_owned());
            }
            Err(error) => self.fail(name, &format!("{error:#}")),
        }
    }

    /// Counts a check that was decided elsewhere.
    pub(super) fn pass(&mut self, name: &str) {
        println!("ok      {name}");
        self.passed.push(name.to_owned());
    }

    /// Counts a failure and tells why.
    pub(super) fn fail(&mut self, name: &str, why: &str) {
        println!("FAILED  {name}: {why}");
        self.failed.push(name.to_owned());
    }

    /// Counts a check that could not be made here.
    pub(super) fn skip(&mut self, name: &str, why: &str) {
        println!("skipped {name}: {why}");
        self.skipped.push(name.to_owned());
    }

    /// True when the check was made and passed.
    pub(super) fn has_passed(&self, name: &str) -> bool {
        self.passed.iter().any(|passed| passed == name)
    }

    /// True when anything failed so far.
    pub(super) fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Names the failures again, prints the closing line, and fails when something did or when nothing ran.
    pub(super) fn close(self) -> Result<()> {
        for name in &self.failed {
            println!("FAILED  {name}");
        }
        println!("{}", self.line());
        if self.has_failed() || self.passed.is_empty() {
            std::process::exit(1);
        }
        Ok(())
    }

    fn line(&self) -> String {
        let skipped = match self.skipped.len() {
            0 => String::new(),
            n => format!(", {n} skipped"),
        };
        format!("{} passed, {} failed{skipped}", self.passed.len(), self.failed.len())
    }
}
