//! A walk over borrowed bytes.

/// The bytes end before the message does, or are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an answer that cannot be read")]
pub struct Malformed;

/// What is still to be read.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// From the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What was not read.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// Two bytes.
    pub fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    /// Four bytes.
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    /// Eight bytes.
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    /// Seven bits a byte, least first.
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    /// The same with a sign, as in records.
    pub fn zigzag(&mut self) -> Result<i64, Malformed> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The length of an array or of bytes; null counts as none.
    pub fn length(&mut self, flexible: bool) -> Result<usize, Malformed> {
        if flexible { Ok((self.varint()? as usize).saturating_sub(1)) } else { Ok(self.i32()?.max(0) as usize) }
    }

    /// Text, or null as none.
    pub fn text(&mut self, flexible: bool) -> Result<&'a [u8], Malformed> {
        let length = if flexible { self.length(true)? } else { self.i16()?.max(0) as usize };
        self.take(length)
    }

    /// The tagged fields, where the version has them. None of them is needed.
    pub fn skip_tags(&mut self, flexible: bool) -> Result<(), Malformed> {
        if flexible {
            for _ in 0..self.varint()? {
                self.varint()?;
                let size = self.varint()?;
                self.take(size as usize)?;
            }
        }
        Ok(())
    }
}
