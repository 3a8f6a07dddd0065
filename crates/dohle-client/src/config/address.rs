//! Where a broker listens, as it is written: `host:port`.

use std::fmt;
use std::str::FromStr;

/// A host, by name or number, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Name, IPv4 address or IPv6 address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address: write host:port, such as 127.0.0.1:9092 or [::1]:9092")]
pub struct InvalidAddress(pub String);

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let refuse = || InvalidAddress(text.to_owned());
        // Kafka's tools take a listener's name before the address, and so do people who copy it.
        let bare = text.split_once("://").map_or(text, |(_, bare)| bare).trim();
        let (host, port) = bare.rsplit_once(':').ok_or_else(refuse)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        if host.is_empty() || (bracketed.is_none() && host.contains(':')) {
            return Err(refuse());
        }
        Ok(Self { host: host.to_owned(), port: port.parse().map_err(|_| refuse())? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        let cases = [
            ("127.0.0.1:9092", "127.0.0.1:9092"),
            ("broker:1", "broker:1"),
            ("[::1]:9092", "[::1]:9092"),
            ("PLAINTEXT://a.b:9", "a.b:9"),
        ];
        for (text, shown) in cases {
            assert_eq!(text.parse::<Address>().map(|address| address.to_string()), Ok(shown.to_owned()));
        }
        for text in ["", "host", ":9092", "host:", "host:99999", "::1:9092"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
