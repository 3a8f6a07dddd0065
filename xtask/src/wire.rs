//! Requests of Kafka's protocol written by hand: one at a time, with header version 1, so that nothing but the broker is looked at.
//!
//! Knows frames and the few forms of a body that the workshop reads; what is asked is the business of those who ask.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A connection to a broker on 127.0.0.1 that carries one request at a time.
pub(crate) struct Connection(TcpStream);

impl Connection {
    /// Connects; nothing may take longer than `limit` from here on.
    pub(crate) fn open(port: u16, limit: Duration) -> Result<Connection> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_nodelay(true)?;
        Ok(Connection(stream))
    }

    /// Sends one request and answers with the body of the response.
    pub(crate) fn ask(&mut self, api: i16, version: i16, body: &[u8]) -> Result<Vec<u8>> {
        let mut request = Vec::new();
        request.extend(api.to_be_bytes());
        request.extend(version.to_be_bytes());
        request.extend(1i32.to_be_bytes());
        request.extend((-1i16).to_be_bytes());
        request.extend(body);
        let mut frame = (request.len() as i32).to_be_bytes().to_vec();
        frame.extend(request);
        self.0.write_all(&frame)?;

        let mut size = [0; 4];
        self.0.read_exact(&mut size).context("no answer")?;
        let size = u32::from_be_bytes(size) as usize;
        ensure!((4..=ANSWER_BYTES_MAX).contains(&size), "an answer of {size} bytes");
        let mut answer = vec![0; size];
        self.0.read_exact(&mut answer)?;
        Ok(answer.split_off(4))
    }
}

/// What is left of a response.
pub(crate) struct Answer<'a>(pub(crate) &'a [u8]);

impl Answer<'_> {
    pub(crate) fn int16(&mut self) -> Result<i16> {
        self.head().map(i16::from_be_bytes)
    }

    pub(crate) fn int32(&mut self) -> Result<i32> {
        self.head().map(i32::from_be_bytes)
    }

    pub(crate) fn int64(&mut self) -> Result<i64> {
        self.head().map(i64::from_be_bytes)
    }

    /// Passes over a nullable string.
    pub(crate) fn string(&mut self) -> Result<()> {
        let length = usize::try_from(self.int16()?).unwrap_or(0);
        self.0 = self.0.get(length..).context("the answer is too short")?;
        Ok(())
    }

    fn head<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk().context("the answer is too short")?;
        self.0 = rest;
        Ok(*head)
    }
}
