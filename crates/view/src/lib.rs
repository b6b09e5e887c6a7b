//! A run folder in, pages on loopback out: its episodes, to be filtered, read and compared.
//! Reads only; knows no model and no trainer, and how tokens become text is an argument.
//!
//! Nobody but this machine is answered, no address names a file, and whatever a model or a tool
//! has said is put into the page as text. An episode is read when somebody opens it; of all
//! others the index keeps where they lie.

mod assets;
mod error;
mod followed;
mod guard;
mod index;
mod query;
mod reading;
mod search;
mod server;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use self::error::ViewError;
pub use self::reading::TokenBytes;
use crate::index::Indexer;
use crate::server::Shelf;

/// The last format of `run.json` that is known here.
const FORMAT: u64 = 1;
/// Where a viewer listens if nobody says where, and how many ports it tries from there.
const PORT: u16 = 7654;
const PORTS: u16 = 32;
/// How often a run that goes on is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// A run to be shown.
pub struct Viewer {
    shelf: Arc<Shelf>,
}

impl Viewer {
    /// A run's folder, an evaluation's, or a file of episodes. `bytes` gives the bytes of a token;
    /// without it the texts of turns are shown, and no single token.
    pub fn open(run: &Path, bytes: Option<TokenBytes>) -> Result<Self, ViewError> {
        let place = index::place(run).ok_or_else(|| ViewError::NotARun {
            path: run.to_owned(),
        })?;
        if let Some(path) = place.file("run.json") {
            refuse_newer(&path)?;
        }
        let whole = run.canonicalize().unwrap_or_else(|_| run.to_owned());
        let name = whole.file_name().unwrap_or(whole.as_os_str());
        Ok(Self {
            shelf: Arc::new(Shelf {
                name: name.to_string_lossy().into_owned(),
                place,
                index: Default::default(),
                searches: Default::default(),
                bytes,
            }),
        })
    }

    /// Answers requests on `listener` until `stop` says so, which is asked several times a second.
    pub fn serve(self, listener: TcpListener, stop: impl Fn() -> bool) -> Result<(), ViewError> {
        let port = listener.local_addr().map_err(ViewError::Server)?.port();
        let stopped = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let mut indexer = Indexer::new(self.shelf.place.clone());
                while !stopped.load(Ordering::Relaxed) {
                    if !indexer.advance(&self.shelf.index) {
                        std::thread::sleep(LOOK);
                    }
                }
            });
            let served = answer(&self.shelf, listener, port, &stop);
            stopped.store(true, Ordering::Relaxed);
            served.map_err(ViewError::Server)
        })
    }
}

impl Viewer {
    /// Reads everything that a page could ask for, as it is now, without a server: for whoever
    /// writes any bytes into a folder to see what becomes of them.
    #[doc(hidden)]
    pub fn read_whole(&self) {
        let mut indexer = Indexer::new(self.shelf.place.clone());
        while indexer.advance(&self.shelf.index) {}
        self.shelf.answer_all();
    }
}

fn answer(
    shelf: &Arc<Shelf>,
    listener: TcpListener,
    port: u16,
    stop: &impl Fn() -> bool,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let router = server::router(Arc::clone(shelf), port);
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        while !stop() && !server.is_finished() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    });
    runtime.shutdown_background();
    outcome
}

/// A listener on loopback, at `port` or at the next free one from 7654.
pub fn listen(port: Option<u16>) -> Result<TcpListener, ViewError> {
    let ports = port.map_or(PORT..=PORT + PORTS, |port| port..=port);
    let first = *ports.start();
    let mut refused = None;
    for port in ports {
        match TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
            Ok(listener) => return Ok(listener),
            Err(source) => refused = refused.or(Some(source)),
        }
    }
    Err(ViewError::Port {
        port: first,
        source: refused.expect("a range of ports is not empty"),
    })
}

/// A `run.json` that cannot be read is none: the run is half copied, or its first line is being
/// written.
fn refuse_newer(path: &Path) -> Result<(), ViewError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            let path = path.to_owned();
            return Err(ViewError::Read { path, source });
        }
    };
    let run: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    match run["format"].as_u64() {
        Some(format) if format > FORMAT => Err(ViewError::Newer {
            path: path.to_owned(),
            format,
            known: FORMAT,
        }),
        _ => Ok(()),
    }
}
