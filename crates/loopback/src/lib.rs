//! A hub on loopback, for tests and benchmarks: the protocols of Hugging Face and ModelScope, with faults at will.
//!
//! ```no_run
//! use huacaya_loopback::{Content, Fault, Loopback, RepositorySpec};
//!
//! let hub = Loopback::start();
//! hub.add(RepositorySpec::new("team/model").file("model.gguf", Content::seeded(1, 50_000_000)));
//! hub.fault("model.gguf", Fault::CutAt(20_000_000).times(2));
//! println!("HF_ENDPOINT={}", hub.url());
//! ```
//!
//! It runs on threads of its own and ends when dropped, so tests of any kind can use it, those of the window too.

mod content;
mod delivery;
mod fault;
mod http;
mod hugging_face;
mod log;
mod model_scope;
mod proxy;
mod repository;
mod serve;

use std::{
    collections::{BTreeSet, HashMap},
    net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

pub use content::Content;
pub use fault::{At, Fault, Trouble};
pub use log::Request;
pub use repository::{Face, FileSpec, RepositorySpec};

/// The real hub lists so many entries of a tree at a time.
const TREE_PAGE: usize = 1000;

/// The hub, its CDN host, a ModelScope and a proxy, each on a port of its own, all with the same repositories.
pub struct Loopback {
    shared: Arc<Shared>,
    addresses: Vec<(Face, SocketAddr)>,
}

pub(crate) struct Shared {
    began: Instant,
    cdn: String,
    repositories: Mutex<Vec<RepositorySpec>>,
    /// Token -> whether it was granted access to gated repositories.
    tokens: Mutex<HashMap<String, bool>>,
    troubles: Mutex<fault::Troubles>,
    log: Mutex<Vec<Arc<log::Entry>>>,
    open: Mutex<HashMap<u64, TcpStream>>,
    connections: AtomicU64,
    tree_page: AtomicUsize,
    stopping: AtomicBool,
    unplugged: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panicking test left behind is still a list.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Loopback {
    /// On 127.0.0.1, the CDN under the name `localhost`.
    ///
    /// # Panics
    /// Where the machine lets nothing listen on loopback: no test can go on without.
    pub fn start() -> Loopback {
        Loopback::on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("the loopback hub listens on 127.0.0.1")
    }

    /// On `[::1]`; an error where the machine has no IPv6.
    pub fn start_on_ipv6() -> std::io::Result<Loopback> {
        Loopback::on(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)))
    }

    fn on(address: SocketAddr) -> std::io::Result<Loopback> {
        let faces = [Face::Hub, Face::Cdn, Face::ModelScope, Face::Proxy];
        let mut listeners = Vec::new();
        for face in faces {
            let listener = TcpListener::bind(address)?;
            listeners.push((face, listener.local_addr()?, listener));
        }
        let shared = Arc::new(Shared {
            began: Instant::now(),
            cdn: origin(Face::Cdn, listeners[1].1),
            repositories: Mutex::default(),
            tokens: Mutex::default(),
            troubles: Mutex::default(),
            log: Mutex::default(),
            open: Mutex::default(),
            connections: AtomicU64::new(0),
            tree_page: AtomicUsize::new(TREE_PAGE),
            stopping: AtomicBool::new(false),
            unplugged: AtomicBool::new(false),
        });
        let addresses = listeners.iter().map(|(face, address, _)| (*face, *address)).collect();
        for (face, _, listener) in listeners {
            serve::listen(&shared, listener, face);
        }
        Ok(Loopback { shared, addresses })
    }

    /// Puts a repository on the hub, in the place of one of the same name.
    pub fn add(&self, repository: RepositorySpec) {
        let mut all = lock(&self.shared.repositories);
        all.retain(|there| there.id != repository.id);
        all.push(repository);
    }

    /// Takes a repository away.
    pub fn remove(&self, id: &str) {
        lock(&self.shared.repositories).retain(|there| there.id != id);
    }

    /// A repository as it is now.
    pub fn repository(&self, id: &str) -> Option<RepositorySpec> {
        lock(&self.shared.repositories).iter().find(|there| there.id == id).cloned()
    }

    /// Changes a file, as a push to the repository does: new bytes, new ETag, new commit.
    pub fn change(&self, id: &str, path: &str, content: impl Into<Content>) {
        let content = content.into();
        let mut all = lock(&self.shared.repositories);
        let files = all.iter_mut().filter(|there| there.id == id).flat_map(|there| &mut there.files);
        for file in files.filter(|file| file.path == path) {
            *file = FileSpec::new(path, content.clone());
        }
    }

    /// A token that the hub knows, with access to gated repositories or not.
    pub fn accept_token(&self, token: &str, granted: bool) {
        lock(&self.shared.tokens).insert(token.to_owned(), granted);
    }

    /// Something goes wrong with a file (the end of its path, as `model.gguf`) or an address (its beginning, as
    /// `/api/models`; with [`Fault::at_hub`]).
    pub fn fault(&self, path: &str, trouble: impl Into<Trouble>) {
        lock(&self.shared.troubles).add(path, trouble.into());
    }

    /// From here on all goes well.
    pub fn mend(&self) {
        lock(&self.shared.troubles).clear();
        self.plug_in();
    }

    /// The cable is pulled: open connections break, new ones are dropped.
    pub fn unplug(&self) {
        self.shared.unplugged.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// The cable is back.
    pub fn plug_in(&self) {
        self.shared.unplugged.store(false, Ordering::SeqCst);
    }

    /// Breaks the connections that are open now.
    pub fn cut(&self) {
        for stream in lock(&self.shared.open).values() {
            // One that ended by itself meanwhile is cut already.
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Lists so many entries of a tree at a time.
    pub fn set_tree_page(&self, entries: usize) {
        self.shared.tree_page.store(entries.max(1), Ordering::SeqCst);
    }

    /// `http://127.0.0.1:port`: what `HF_ENDPOINT` is to be.
    pub fn url(&self) -> String {
        self.origin(Face::Hub)
    }

    /// `http://localhost:port`: the host that files are redirected to.
    pub fn cdn_url(&self) -> String {
        self.origin(Face::Cdn)
    }

    /// The hub that speaks ModelScope's dialect.
    pub fn modelscope_url(&self) -> String {
        self.origin(Face::ModelScope)
    }

    /// An HTTP proxy.
    pub fn proxy_url(&self) -> String {
        self.origin(Face::Proxy)
    }

    /// Where the hub answers with this file: `url()/id/resolve/main/path`.
    pub fn file_url(&self, id: &str, path: &str) -> String {
        format!("{}/{id}/resolve/main/{}", self.url(), http::encode(path))
    }

    /// Where ModelScope answers with this file.
    pub fn modelscope_file_url(&self, id: &str, path: &str) -> String {
        format!("{}/models/{id}/resolve/master/{}", self.modelscope_url(), http::encode(path))
    }

    fn origin(&self, face: Face) -> String {
        self.addresses.iter().find(|(one, _)| *one == face).map_or_else(String::new, |(_, at)| origin(face, *at))
    }

    /// All requests so far, in the order they came, as they stand now.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.log).iter().map(|entry| entry.now()).collect()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        lock(&self.shared.log).clear();
    }

    /// The requests that were answered with bytes of this file (the end of its path).
    pub fn transfers(&self, path: &str) -> Vec<Request> {
        let of = |request: &Request| request.file.as_deref().is_some_and(|file| file.ends_with(path));
        self.requests().into_iter().filter(of).collect()
    }

    /// How many bytes of this file were sent so far, those fetched twice counted twice.
    pub fn bytes_sent(&self, path: &str) -> u64 {
        self.transfers(path).iter().map(|request| request.bytes).sum()
    }

    /// The hosts (`host:port`) that saw this token, in any header or address.
    pub fn hosts_that_saw(&self, token: &str) -> BTreeSet<String> {
        let saw = |request: &Request| {
            let headers = [&request.authorization, &request.cookie, &request.user_agent];
            request.target.contains(token) || headers.into_iter().flatten().any(|value| value.contains(token))
        };
        self.requests().into_iter().filter(saw).map(|request| request.host).collect()
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for (_, address) in &self.addresses {
            // Wakes the listener, which then sees that it is to stop.
            TcpStream::connect(address).ok();
        }
        self.cut();
    }
}

/// The CDN is another host by name, too, where the address has a name.
fn origin(face: Face, address: SocketAddr) -> String {
    match (face, address) {
        (Face::Cdn, SocketAddr::V4(address)) => format!("http://localhost:{}", address.port()),
        _ => format!("http://{address}"),
    }
}
