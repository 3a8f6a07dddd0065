//! A broker on a port of its own over a directory that is gone with it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use dohle_broker::{Properties, Running, Settings, start};
use tempfile::TempDir;

use crate::client::Client;

pub(crate) struct Broker {
    dir: TempDir,
    extra: Vec<(&'static str, &'static str)>,
    running: Option<Running>,
}

impl Broker {
    /// An empty broker.
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// An empty broker with these settings.
    pub(crate) fn with(extra: &[(&'static str, &'static str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let running = Some(run(dir.path(), extra));
        Self { dir, extra: extra.to_vec(), running }
    }

    /// Stops in order and starts again over the same data.
    pub(crate) fn restart(&mut self) {
        self.running.take().unwrap().stop();
        self.running = Some(run(self.dir.path(), &self.extra));
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let listener = &self.running.as_ref().unwrap().listeners()[0];
        listener.advertised.address().unwrap()
    }

    /// Where it tells of itself.
    pub(crate) fn http(&self) -> SocketAddr {
        self.running.as_ref().unwrap().http().unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// A file of its data.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("data").join(name)
    }

    /// A broker over the data as it lies on the disk now, as if this one were killed at this moment.
    pub(crate) fn survivor(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy(self.dir.path(), dir.path());
        let running = Some(run(dir.path(), &self.extra));
        Self { dir, extra: self.extra.clone(), running }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn run(dir: &Path, extra: &[(&'static str, &'static str)]) -> Running {
    let mut properties = Properties::new();
    let data = dir.join("data");
    properties.insert("log.dirs".to_owned(), data.to_str().unwrap().to_owned());
    properties.insert("listeners".to_owned(), "PLAINTEXT://127.0.0.1:0".to_owned());
    properties.insert("group.initial.rebalance.delay.ms".to_owned(), "0".to_owned());
    // However full the disk of whoever runs the tests is.
    properties.insert("log.dirs.free.bytes.min".to_owned(), "0".to_owned());
    properties.extend(extra.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    start(Settings::resolve(properties).unwrap()).unwrap()
}
