//! Where the broker listens and what it tells clients to call: `listeners`, `advertised.listeners` and the rule that plaintext
//! stays on this machine unless the operator says otherwise.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// A place to call: `NAME://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener's name in capitals, such as `PLAINTEXT`.
    pub name: String,
    /// A name or address; empty for every address of the machine.
    pub host: String,
    /// 0 lets the system choose.
    pub port: u16,
}

/// A listener of the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub bind: Endpoint,
    /// What clients are told to call.
    pub advertised: Endpoint,
}

/// Listeners that the broker will not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidListeners {
    /// Not `NAME://host:port`.
    #[error("`{0}` is not a listener: write NAME://host:port, such as PLAINTEXT://127.0.0.1:9092")]
    Malformed(String),
    /// A name that is given twice.
    #[error("two listeners are named {0}")]
    Repeated(String),
    /// Nothing to listen on.
    #[error("no listener for clients: set listeners=PLAINTEXT://127.0.0.1:9092")]
    Missing,
    /// A protocol that is not served.
    #[error("listener {name} asks for {protocol}, which is not served yet: use PLAINTEXT on 127.0.0.1")]
    Protocol {
        /// The listener.
        name: String,
        /// What `listener.security.protocol.map` says.
        protocol: String,
    },
    /// A listener's host that means nothing.
    #[error("listener {0} cannot be resolved to an address")]
    Unresolved(String),
    /// Advertised but not listened on.
    #[error("advertised.listeners names {0}, which is not among the listeners")]
    NotListening(String),
    /// Plaintext that others could reach.
    #[error(
        "listener {0} would take unencrypted connections without a login from other machines; listen on 127.0.0.1, or allow it with \
         --insecure (insecure=true)"
    )]
    Insecure(String),
}

impl Endpoint {
    /// Reads `NAME://host:port`; the host may be empty, and an IPv6 address stands in brackets.
    pub fn parse(text: &str) -> Result<Self, InvalidListeners> {
        let malformed = || InvalidListeners::Malformed(text.to_owned());
        let (name, address) = text.trim().split_once("://").ok_or_else(malformed)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(malformed)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().map_err(|_| malformed())?;
        if name.is_empty() {
            return Err(malformed());
        }
        Ok(Self { name: name.to_ascii_uppercase(), host: host.to_owned(), port })
    }

    /// The first address that the host stands for; an empty host is every address of the machine.
    pub fn address(&self) -> Result<SocketAddr, InvalidListeners> {
        let host = if self.host.is_empty() { "0.0.0.0" } else { &self.host };
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(SocketAddr::new(address, self.port));
        }
        let mut found = (host, self.port).to_socket_addrs().ok().into_iter().flatten();
        found.next().ok_or_else(|| InvalidListeners::Unresolved(self.to_string()))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, host, port } = self;
        if host.contains(':') { write!(f, "{name}://[{host}]:{port}") } else { write!(f, "{name}://{host}:{port}") }
    }
}

/// What the listeners are made from, as written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written<'a> {
    pub(crate) listeners: &'a str,
    pub(crate) advertised: &'a str,
    pub(crate) protocol_map: &'a str,
    pub(crate) controller_names: &'a str,
    pub(crate) insecure: bool,
}

/// The listeners for clients. Those of controllers are left out: a quorum of one talks to itself.
pub(crate) fn resolve(written: Written<'_>) -> Result<Vec<Listener>, InvalidListeners> {
    let advertised = endpoints(written.advertised)?;
    let controllers: Vec<String> = items(written.controller_names).map(str::to_ascii_uppercase).collect();
    let mut listeners: Vec<Listener> = vec![];
    for bind in endpoints(written.listeners)? {
        if controllers.contains(&bind.name) {
            continue;
        }
        check_protocol(&bind, written.protocol_map)?;
        if !written.insecure && !bind.address()?.ip().is_loopback() {
            return Err(InvalidListeners::Insecure(bind.to_string()));
        }
        if listeners.iter().any(|other| other.bind.name == bind.name) {
            return Err(InvalidListeners::Repeated(bind.name));
        }
        let told = advertised.iter().find(|told| told.name == bind.name).cloned();
        listeners.push(Listener { advertised: told.unwrap_or_else(|| reachable(&bind)), bind });
    }
    let unknown =
        |told: &&Endpoint| !controllers.contains(&told.name) && !listeners.iter().any(|l| l.bind.name == told.name);
    match advertised.iter().find(unknown) {
        Some(stranger) => Err(InvalidListeners::NotListening(stranger.to_string())),
        None if listeners.is_empty() => Err(InvalidListeners::Missing),
        None => Ok(listeners),
    }
}

/// What to call where nothing is advertised: the listener itself, or the machine's name where it listens on every address.
fn reachable(bind: &Endpoint) -> Endpoint {
    let everywhere = bind.host.is_empty() || bind.host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified());
    let host = if everywhere { machine_name() } else { bind.host.clone() };
    Endpoint { host, ..bind.clone() }
}

fn machine_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_str().map_or_else(|_| "localhost".to_owned(), str::to_owned)
}

fn check_protocol(bind: &Endpoint, map: &str) -> Result<(), InvalidListeners> {
    let mapped =
        items(map).filter_map(|item| item.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case(&bind.name));
    let protocol = mapped.map_or(bind.name.as_str(), |(_, protocol)| protocol);
    if protocol.eq_ignore_ascii_case("PLAINTEXT") {
        return Ok(());
    }
    Err(InvalidListeners::Protocol { name: bind.name.clone(), protocol: protocol.to_owned() })
}

fn endpoints(text: &str) -> Result<Vec<Endpoint>, InvalidListeners> {
    items(text).map(Endpoint::parse).collect()
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(written: Written<'_>) -> Result<Vec<String>, InvalidListeners> {
        Ok(resolve(written)?.iter().map(|l| format!("{} as {}", l.bind, l.advertised)).collect())
    }

    #[test]
    fn listeners_are_read_as_kafka_writes_them() {
        let written = Written {
            listeners: "PLAINTEXT://127.0.0.1:9092, controller://:9093,LOCAL://[::1]:0",
            advertised: "PLAINTEXT://kafka.example:19092",
            protocol_map: "LOCAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
            controller_names: "CONTROLLER",
            insecure: false,
        };
        let expected =
            ["PLAINTEXT://127.0.0.1:9092 as PLAINTEXT://kafka.example:19092", "LOCAL://[::1]:0 as LOCAL://[::1]:0"];
        assert_eq!(names(written).unwrap(), expected);
    }

    #[test]
    fn plaintext_for_other_machines_is_refused_unless_it_is_allowed() {
        for listeners in
            ["PLAINTEXT://:9092", "PLAINTEXT://0.0.0.0:9092", "PLAINTEXT://10.0.0.1:9092", "PLAINTEXT://[::]:1"]
        {
            let open = Written { listeners, ..Written::default() };
            assert!(matches!(names(open), Err(InvalidListeners::Insecure(_))), "{listeners}");
            assert!(names(Written { insecure: true, ..open }).is_ok(), "{listeners}");
        }
    }

    #[test]
    fn what_cannot_be_listened_on_is_refused() {
        let refused = |listeners: &str, advertised: &str| {
            names(Written { listeners, advertised, ..Written::default() }).unwrap_err()
        };
        assert!(matches!(refused("localhost:9092", ""), InvalidListeners::Malformed(_)));
        assert!(matches!(refused("SSL://127.0.0.1:9093", ""), InvalidListeners::Protocol { .. }));
        assert!(matches!(refused("", ""), InvalidListeners::Missing));
        let twice = "PLAINTEXT://127.0.0.1:1,PLAINTEXT://127.0.0.1:2";
        assert!(matches!(refused(twice, ""), InvalidListeners::Repeated(_)));
        let other = refused("PLAINTEXT://127.0.0.1:1", "OTHER://127.0.0.1:1");
        assert!(matches!(other, InvalidListeners::NotListening(_)));
    }
}
