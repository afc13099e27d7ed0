//! The HTTP face: what programs ask in OpenAI's language, answered by the models of the library.
//!
//! In reading order: listening and stopping (here), the settings that switch it (`follow`), who may ask (`guard`), what a
//! request says (`body`), how it is refused (`refusal`), answers whole or as they come (`answering`), and one file for each
//! group of routes, listed in `routes`. Thin over `huacaya_app`: nothing here touches a model or a row.

mod answering;
mod anthropic;
mod body;
mod chat;
mod completions;
mod drawing;
mod embeddings;
mod follow;
mod guard;
mod models;
mod ollama;
mod openapi;
mod refusal;
mod responses;
mod routes;
mod tokens;
mod window;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use huacaya_app::App;
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};
use tokio_io_timeout::TimeoutStream;

pub use follow::follow;
pub use routes::{ROUTES, Route};

/// All headers of a request together, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 64;
/// What connections get to send the mark that their answer was cut.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How much strangers may take, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections. Clients beyond wait to be accepted; each costs a buffer and a task.
    pub connections: usize,
    /// For the head of a request: what takes longer is a fault or an attack that holds a connection. Also ends idle ones.
    pub head_time: Duration,
    /// For the rest of it.
    pub body_time: Duration,
    /// A client that takes nothing of an answer for so long is gone, whatever its connection says.
    pub client_time: Duration,
    /// What answers get to come to their end when the server stops.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 256,
            head_time: Duration::from_secs(20),
            body_time: Duration::from_secs(30),
            client_time: Duration::from_secs(30),
            grace: Duration::from_secs(5),
        }
    }
}

/// Where to listen, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub address: IpAddr,
    /// 0: any that is free.
    pub port: u16,
    /// Origins of web pages that may ask, each "scheme://host" or with a port.
    pub origins: Vec<String>,
    /// The token to ask for; none: the one of the data folder, which the person can renew at any time.
    pub token: Option<String>,
    pub limits: Limits,
}

/// Why the server could not begin to listen.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{address} is in use by another program; choose another port")]
    Taken { address: SocketAddr },
    #[error("cannot listen at {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("the window cannot be served: {0}")]
    Window(#[from] huacaya_app::Error),
}

/// A server that listens and does not answer yet.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    options: Options,
    window: Option<window::Sessions>,
}

/// What all routes share.
struct Shared {
    app: App,
    options: Options,
    /// Who may use the window in a browser; `None` where it is not served.
    window: Option<window::Sessions>,
    /// Becomes true when the server begins to stop.
    stopping: watch::Receiver<bool>,
    /// Becomes true when answers have to end.
    closing: watch::Receiver<bool>,
}

type Server = Arc<Shared>;

/// The other end of a request's connection.
#[derive(Clone, Copy)]
struct Peer(IpAddr);

/// Takes the port.
pub async fn bind(options: Options) -> Result<Bound, Failure> {
    let address = SocketAddr::new(options.address, options.port);
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AddrInUse => Failure::Taken { address },
        _ => Failure::Listen { address, source },
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Bound { listener, address, options, window: None })
}

impl Bound {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the window, too. Returns the address that opens it in a browser, once and within some minutes.
    pub fn open_window(&mut self) -> Result<String, Failure> {
        let sessions = window::Sessions::new()?;
        let key = sessions.link()?;
        self.window = Some(sessions);
        // Whoever listens everywhere is reached here, too.
        let here: IpAddr = match self.address.ip() {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        Ok(format!("http://{}/open?key={key}", SocketAddr::new(here, self.address.port())))
    }

    /// Answers until `stop` comes. Then nothing new is taken, answers that are being written get a moment to come to their
    /// end, and what is left is told that it was cut.
    pub async fn serve(self, app: App, stop: impl Future<Output = ()>) {
        let Bound { listener, options, window, .. } = self;
        let limits = options.limits.clone();
        let (close, closing) = watch::channel(false);
        let (stopped, stopping) = watch::channel(false);
        let shared = Shared { app, options, window, stopping, closing };
        let routes = TowerToHyperService::new(routes::router(Arc::new(shared)));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.head_time)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX);
        let (connections, room) = (GracefulShutdown::new(), Arc::new(Semaphore::new(limits.connections)));
        tokio::pin!(stop);
        loop {
            let (stream, peer, seat) = tokio::select! {
                accepted = accept(&listener, &room) => accepted,
                () = &mut stop => break,
            };
            let routes = routes.clone();
            let service = service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(peer);
                routes.call(request)
            });
            let mut stream = TimeoutStream::new(stream);
            stream.set_write_timeout(Some(limits.client_time));
            let connection = connections.watch(http.serve_connection(TokioIo::new(Box::pin(stream)), service));
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended");
                }
                drop(seat);
            });
        }
        drop(listener);
        stopped.send_replace(true);
        let ended = connections.shutdown();
        tokio::pin!(ended);
        if timeout(limits.grace, &mut ended).await.is_err() {
            close.send_replace(true);
            // Whoever does not take even that is cut without it.
            let _ = timeout(LAST_WORDS, ended).await;
        }
    }
}

/// The next connection, once there is room for one.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> (TcpStream, Peer, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed.
    let seat = room.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Without it small pieces of a stream wait for each other; an error costs nothing else.
                let _ = stream.set_nodelay(true);
                return (stream, Peer(peer.ip()), seat);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                // Out of file handles, most likely: a moment frees some.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
