//! An entry of a journal as it stands in a file.
//!
//! `size: u32, checksum: u32 | number: u64, salt: u64, position: u64, count: u32, count × (name: u16 + bytes, topic: 16 bytes, size: u32), batches`, all
//! big-endian. The checksum (CRC-32C) and the size are of what stands behind them. Entries begin at whole blocks: one that is durable is never written
//! to again.

use std::io;
use std::ops::Range;

use dohle_base::{TopicId, Uuid};

use super::Piece;
use super::buffer::Buffer;
use crate::disk::{DIRECT_BLOCK, Disk, File};

/// What a disk writes in one piece, or more. Written down: the next entry is looked for at a block.
const BLOCK: usize = 4 << 10;
const _: () = assert!(BLOCK.is_multiple_of(DIRECT_BLOCK));
const PREFIX: usize = 8;
const HEAD: usize = PREFIX + 28;

/// Batches of a log in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The name of the partition's directory.
    pub(super) name: String,
    pub(super) topic: TopicId,
    /// Where its batches stand.
    pub(super) range: Range<u64>,
}

/// Puts an entry for `position` of the file `number` into `buffer`, in whole blocks, and nothing else.
pub(super) fn encode<D: Disk>(
    number: u64,
    salt: u64,
    position: u64,
    pieces: &[Piece<'_, D>],
    buffer: &mut Buffer,
) -> io::Result<()> {
    let whole = |size: usize| u32::try_from(size).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge));
    buffer.clear();
    buffer.put(&[0; PREFIX]);
    buffer.put(&number.to_be_bytes());
    buffer.put(&salt.to_be_bytes());
    buffer.put(&position.to_be_bytes());
    buffer.put(&whole(pieces.len())?.to_be_bytes());
    for piece in pieces {
        let name = piece.name.to_string();
        let length = u16::try_from(name.len()).expect("a directory's name is short");
        buffer.put(&length.to_be_bytes());
        buffer.put(name.as_bytes());
        buffer.put(&piece.topic.0);
        buffer.put(&whole(piece.batches.size() as usize)?.to_be_bytes());
    }
    for piece in pieces {
        piece.batches.read(buffer.room(piece.batches.size() as usize))?;
    }
    let size = whole(buffer.len() - PREFIX)?;
    let checksum = checksum(&buffer.bytes()[PREFIX..]);
    buffer.bytes_mut(0..4).copy_from_slice(&size.to_be_bytes());
    buffer.bytes_mut(4..PREFIX).copy_from_slice(&checksum.to_be_bytes());
    buffer.fill(BLOCK);
    Ok(())
}

/// What was read of an entry: what is in it, the salt of its file, and where the next one begins.
pub(super) struct Read {
    pub(super) found: Vec<Found>,
    pub(super) salt: u64,
    pub(super) next: u64,
}

/// Reads the entry at `position` of the file `number`, which bears the file's salt where that is known. None where none was written: nothing that was
/// acknowledged stands there or behind it.
pub(super) fn read<F: File>(
    file: &F,
    number: u64,
    salt: Option<u64>,
    position: u64,
    end: u64,
) -> io::Result<Option<Read>> {
    let mut head = [0; HEAD];
    if position + HEAD as u64 > end || file.read_at(position, &mut head)? < HEAD {
        return Ok(None);
    }
    let size = u64::from(u32::from_be_bytes(array(&head, 0)));
    let number_at = |at| u64::from_be_bytes(array(&head, at));
    let (written_for, salted, written_at) = (number_at(8), number_at(16), number_at(24));
    let is_here = written_for == number && written_at == position && salt.is_none_or(|salt| salt == salted);
    if !is_here || size < (HEAD - PREFIX) as u64 || position + PREFIX as u64 + size > end {
        return Ok(None);
    }
    let mut bytes = vec![0; size as usize];
    let read = file.read_at(position + PREFIX as u64, &mut bytes)?;
    if read < bytes.len() || checksum(&bytes) != u32::from_be_bytes(array(&head, 4)) {
        return Ok(None);
    }
    let next = (position + PREFIX as u64 + size).next_multiple_of(BLOCK as u64);
    Ok(parse(&bytes, position + PREFIX as u64).map(|found| Read { found, salt: salted, next }))
}

/// What is in an entry whose bytes behind the prefix begin at `begin`.
fn parse(bytes: &[u8], begin: u64) -> Option<Vec<Found>> {
    let mut rest = &bytes[HEAD - PREFIX - 4..];
    let count = u32::from_be_bytes(*take(&mut rest)?);
    let mut found = vec![];
    for _ in 0..count {
        let length = usize::from(u16::from_be_bytes(*take(&mut rest)?));
        let (name, others) = rest.split_at_checked(length)?;
        rest = others;
        let name = str::from_utf8(name).ok()?.to_owned();
        let topic = Uuid(*take(&mut rest)?);
        let size = u64::from(u32::from_be_bytes(*take(&mut rest)?));
        found.push(Found { name, topic, range: 0..size });
    }
    let mut at = begin + (bytes.len() - rest.len()) as u64;
    for found in &mut found {
        found.range = at..at + found.range.end;
        at = found.range.end;
    }
    (at == begin + bytes.len() as u64).then_some(found)
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, others) = rest.split_first_chunk()?;
    *rest = others;
    Some(taken)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|place| bytes[at + place])
}

fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}
