//! Zigzag variable-length integers as records write them (`ByteUtils.writeVarint`, `writeVarlong`).
//!
//! Knows bytes only. Reading refuses what is longer than the type can need.

/// The most bytes that a 32-bit varint takes.
pub(crate) const BYTES_MAX_32: usize = 5;
/// The most bytes that a 64-bit varint takes.
pub(crate) const BYTES_MAX_64: usize = 10;

/// Appends `value`.
pub(crate) fn put_32(into: &mut Vec<u8>, value: i32) {
    put_64(into, i64::from(value));
}

/// Appends `value`. A value that fits 32 bits is written as [`put_32`] writes it.
pub(crate) fn put_64(into: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        into.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    into.push(rest as u8);
}

/// The bytes that `value` takes.
pub(crate) fn size(value: i64) -> usize {
    (64 - (zigzag(value) | 1).leading_zeros() as usize).div_ceil(7)
}

/// Reads from the bytes that `next` hands out, or none where they run out or the number does not end in time.
pub(crate) fn read_32<E>(mut next: impl FnMut() -> Result<u8, E>) -> Result<Option<i32>, E> {
    let raw = read(BYTES_MAX_32, &mut next)?;
    // The fifth byte carries four bits; what is beyond them is cut off, as Kafka's reader does.
    Ok(raw.map(|raw| unzigzag_32(raw as u32)))
}

/// As [`read_32`], for 64 bits.
pub(crate) fn read_64<E>(mut next: impl FnMut() -> Result<u8, E>) -> Result<Option<i64>, E> {
    let raw = read(BYTES_MAX_64, &mut next)?;
    Ok(raw.map(unzigzag_64))
}

fn read<E>(bytes_max: usize, next: &mut impl FnMut() -> Result<u8, E>) -> Result<Option<u64>, E> {
    let mut raw = 0u64;
    for place in 0..bytes_max {
        let byte = next()?;
        raw |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(Some(raw));
        }
    }
    Ok(None)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag_32(raw: u32) -> i32 {
    (raw >> 1) as i32 ^ -((raw & 1) as i32)
}

fn unzigzag_64(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::{put_32, put_64, read_32, read_64, size};

    fn bytes(mut from: &[u8]) -> impl FnMut() -> Result<u8, Infallible> + '_ {
        move || {
            let (first, rest) = from.split_first().unwrap();
            from = rest;
            Ok(*first)
        }
    }

    #[test]
    fn every_number_comes_back_in_the_bytes_that_it_was_said_to_take() {
        let numbers =
            [0, 1, -1, 63, 64, -64, -65, 8191, 8192, i64::from(i32::MAX), i64::from(i32::MIN), i64::MAX, i64::MIN];
        for number in numbers {
            let mut written = vec![];
            put_64(&mut written, number);
            assert_eq!(written.len(), size(number), "{number}");
            assert_eq!(read_64(bytes(&written)), Ok(Some(number)));
            if let Ok(small) = i32::try_from(number) {
                let mut narrow = vec![];
                put_32(&mut narrow, small);
                assert_eq!(narrow, written);
                assert_eq!(read_32(bytes(&narrow)), Ok(Some(small)));
            }
        }
    }

    #[test]
    fn a_number_that_does_not_end_is_none() {
        assert_eq!(read_32(bytes(&[0x80; 5])), Ok(None));
        assert_eq!(read_64(bytes(&[0x80; 10])), Ok(None));
    }
}
