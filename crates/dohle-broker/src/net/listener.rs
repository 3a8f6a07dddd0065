//! Accepts connections and deals them to the cores.
//!
//! Owns the limits on how many there may be; a connection lives on one core at a time.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dohle_base::metric::Counter;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::connection::{Adrift, Connection, End};
use super::frame;
use super::peer::{Peer, Software};
use crate::config::listeners::Listener;
use crate::config::settings::Net;
use crate::context::Context;
use crate::cores::Task;
use crate::lock::hold;

/// How long a listener rests when the system has no descriptor left for another connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Who is connected.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    open: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    pub(crate) accepted: Counter,
    pub(crate) turned_away: Counter,
    pub(crate) moved: Counter,
}

/// A place in the crowd, given up when dropped.
struct Place {
    context: Arc<Context>,
    address: IpAddr,
}

impl Crowd {
    /// How many connections there are now.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    fn admit(&self, address: IpAddr, net: &Net) -> Result<(), &'static str> {
        let mut by_address = hold(&self.by_address);
        let of_address = by_address.get(&address).copied().unwrap_or(0);
        if self.open() >= net.connections_max {
            return Err("max.connections");
        }
        if of_address >= net.connections_per_address_max {
            return Err("max.connections.per.ip");
        }
        by_address.insert(address, of_address + 1);
        self.open.fetch_add(1, Ordering::Relaxed);
        self.accepted.add(1);
        Ok(())
    }
}

impl Place {
    fn take(context: &Arc<Context>, address: IpAddr) -> Result<Self, &'static str> {
        context.crowd.admit(address, &context.settings.net)?;
        Ok(Self { context: Arc::clone(context), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let crowd = &self.context.crowd;
        crowd.open.fetch_sub(1, Ordering::Relaxed);
        let mut by_address = hold(&crowd.by_address);
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

/// Opens a listening socket without accepting yet.
pub(crate) fn open(address: SocketAddr, net: &Net) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if let Some(bytes) = net.receive_buffer_bytes {
        // Inherited by what is accepted: a window is agreed on before the first read.
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind(&address.into())?;
    socket.listen(net.backlog)?;
    Ok(socket.into())
}

/// Accepts until the broker stops.
pub(crate) async fn accept(context: Arc<Context>, socket: std::net::TcpListener, listener: Arc<Listener>) {
    let socket = match TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(listener = %listener.bind, "cannot be watched: {error}"),
    };
    let mut stop = context.stop.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            _ = stop.wait_for(|stopping| *stopping) => return,
        };
        match accepted {
            Ok((stream, address)) => admit(&context, stream, address, &listener),
            // The client may have left already; only a lack of descriptors stays.
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                tracing::warn!(listener = %listener.bind, "cannot accept: {error}");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn admit(context: &Arc<Context>, stream: TcpStream, address: SocketAddr, listener: &Arc<Listener>) {
    let place = match Place::take(context, address.ip()) {
        Ok(place) => place,
        Err(limit) => {
            context.crowd.turned_away.add(1);
            if let Some(left_out) = context.notices.crowded.admit(context.clock.instant()) {
                tracing::warn!(client = %address, limit, left_out, "connection turned away");
            }
            return;
        }
    };
    let prepared = prepare(&stream, &context.settings.net).and_then(|()| stream.into_std());
    let Ok(stream) = prepared else { return };
    let peer = Peer { address, listener: Arc::clone(listener), software: Software::default().into() };
    context.cores.deal(serve(place, Adrift::new(context, stream, peer)));
}

/// Serves a connection on the core that gets it, until it ends or goes to another one.
fn serve(place: Place, adrift: Adrift) -> Task {
    Box::new(move || {
        Box::pin(async move {
            let (context, client) = (Arc::clone(&place.context), adrift.client());
            let mut connection = match Connection::here(Arc::clone(&context), adrift) {
                Ok(connection) => connection,
                Err(error) => return tell(&context, client, &End::Failed(error)),
            };
            let left = match connection.run().await {
                End::Leaves(core) => connection.leave().map(|adrift| (core, adrift)).map_err(End::Failed),
                end => Err(end),
            };
            match left {
                Ok((core, adrift)) => {
                    context.crowd.moved.add(1);
                    context.cores.deal_to(core, serve(place, adrift));
                }
                Err(end) => tell(&context, client, &end),
            }
        })
    })
}

fn prepare(stream: &TcpStream, net: &Net) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if let Some(bytes) = net.send_buffer_bytes {
        SockRef::from(stream).set_send_buffer_size(bytes)?;
    }
    SockRef::from(stream).set_keepalive(true)
}

fn tell(context: &Context, client: SocketAddr, end: &End) {
    let ordinary = matches!(
        end,
        End::Frame(frame::End::Closed | frame::End::Failed(_)) | End::Failed(_) | End::Idle | End::Stopped
    );
    if ordinary || matches!(end, End::Unanswerable) {
        tracing::debug!(%client, "connection ended: {end}");
        return;
    }
    let stranger = matches!(end, End::Frame(frame::End::Refused(frame::Refusal::Http | frame::Refusal::Tls)));
    let notice = if stranger { &context.notices.strangers } else { &context.notices.connections };
    if let Some(left_out) = notice.admit(context.clock.instant()) {
        tracing::warn!(%client, left_out, "connection closed: {end}");
    }
}
