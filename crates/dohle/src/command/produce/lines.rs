//! Lines of files and of standard input, read by a thread of their own: reading blocks, and sending must go on.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, stdin};
use std::path::{Path, PathBuf};

use anyhow::Context;
use bytes::Bytes;
use tokio::sync::mpsc;

/// Lines that are handed over at once.
const CHUNK_LINES: usize = 1_000;
/// Chunks that wait to be sent: whoever reads faster waits.
const CHUNKS_MAX: usize = 16;
/// A longer line is no record.
const LINE_BYTES_MAX: u64 = 64 << 20;
const BUFFER_BYTES: usize = 256 << 10;

/// Some lines that follow each other, without their ends.
pub(super) struct Chunk {
    pub(super) source: String,
    pub(super) first_line: u64,
    pub(super) lines: Vec<Bytes>,
}

pub(super) type Chunks = mpsc::Receiver<anyhow::Result<Chunk>>;

/// Reads the files one after the other; standard input when there are none.
pub(super) fn read(files: Vec<PathBuf>) -> Chunks {
    let (sender, chunks) = mpsc::channel(CHUNKS_MAX);
    std::thread::spawn(move || {
        let files = if files.is_empty() { vec![PathBuf::from("-")] } else { files };
        for file in files {
            if let Err(error) = read_one(&file, &sender) {
                // Nobody may be there to hear it.
                let _ = sender.blocking_send(Err(error));
                return;
            }
        }
    });
    chunks
}

fn read_one(file: &Path, sender: &mpsc::Sender<anyhow::Result<Chunk>>) -> anyhow::Result<()> {
    if file == Path::new("-") {
        return read_lines("standard input", stdin().lock(), sender);
    }
    let opened = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    read_lines(&file.display().to_string(), opened, sender)
}

fn read_lines(source: &str, from: impl Read, sender: &mpsc::Sender<anyhow::Result<Chunk>>) -> anyhow::Result<()> {
    let mut from = BufReader::with_capacity(BUFFER_BYTES, from);
    let mut number = 1;
    loop {
        let mut lines = vec![];
        // What is there is handed over before more is waited for: somebody may be typing.
        while lines.len() < CHUNK_LINES && (lines.is_empty() || !from.buffer().is_empty()) {
            match read_line(&mut from).with_context(|| format!("cannot read {source}"))? {
                Some(line) => lines.push(line),
                None => break,
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        let count = lines.len() as u64;
        let chunk = Chunk { source: source.to_owned(), first_line: number, lines };
        if sender.blocking_send(Ok(chunk)).is_err() {
            return Ok(());
        }
        number += count;
    }
}

fn read_line(from: &mut impl BufRead) -> anyhow::Result<Option<Bytes>> {
    let mut line = vec![];
    let read = from.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line)?;
    anyhow::ensure!(read as u64 <= LINE_BYTES_MAX, "a line has more than {LINE_BYTES_MAX} bytes");
    if read == 0 {
        return Ok(None);
    }
    if line.ends_with(b"\n") {
        line.pop();
        if line.ends_with(b"\r") {
            line.pop();
        }
    }
    Ok(Some(line.into()))
}
