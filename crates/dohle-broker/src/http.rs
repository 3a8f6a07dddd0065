//! `/metrics` and `/health`, on an address and a thread of their own: a scrape never holds up a client.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::context::Context;
use crate::metrics;

/// Opens the address.
pub(crate) fn open(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = std::net::TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Serves until the broker stops, and says where.
pub(crate) fn serve(context: &Arc<Context>, socket: std::net::TcpListener) -> io::Result<SocketAddr> {
    let address = socket.local_addr()?;
    let context = Arc::clone(context);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("http".to_owned()).spawn(move || {
        if let Err(error) = runtime.block_on(run(context, socket)) {
            tracing::error!("HTTP is not served any more: {error}");
        }
    })?;
    Ok(address)
}

async fn run(context: Arc<Context>, socket: std::net::TcpListener) -> io::Result<()> {
    let mut stop = context.stop.subscribe();
    let router = Router::new().route("/metrics", get(exposition)).route("/health", get(health)).with_state(context);
    let stopped = async move {
        // The sender lives as long as the broker.
        let _ = stop.wait_for(|stopping| *stopping).await;
    };
    tokio::select! {
        served = async { axum::serve(TcpListener::from_std(socket)?, router).await } => served,
        () = stopped => Ok(()),
    }
}

async fn exposition(State(context): State<Arc<Context>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, metrics::collect::text(&context)).into_response()
}

/// Well as long as no disk has failed.
async fn health(State(context): State<Arc<Context>>) -> Response {
    let failed: Vec<String> = context
        .storage
        .all()
        .filter(|volume| volume.is_offline())
        .map(|volume| volume.root())
        .chain(context.storage.dead().iter().map(|dir| dir.as_path()))
        .map(|dir| format!("disk failed: {}\n", dir.display()))
        .collect();
    if failed.is_empty() {
        return (StatusCode::OK, "ok\n").into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, failed.concat()).into_response()
}
