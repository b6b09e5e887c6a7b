//! A server in this process that answers as a test tells it to, well or badly.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// What a server does with a request.
pub(crate) enum Reply {
    /// A status and a JSON body.
    Json(u16, Value),
    /// A status and whatever else.
    Raw(u16, Vec<u8>),
    /// A redirect.
    Moved(String),
    /// The connection is closed without a byte.
    Cut,
    /// A body that ends before its length.
    CutBody,
    /// A body that never ends.
    Flood,
    /// Nothing, for as long as anybody waits.
    Hang,
}

/// A path, the value of its `Authorization`, and its body.
pub(crate) type Request = (String, Option<String>, Value);
type Handler = dyn Fn(&str, &Value) -> Reply + Send + Sync;

/// Listens until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Vec<Request>>>,
    is_over: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn start(handler: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), handler)
    }

    pub(crate) fn on(
        listener: TcpListener,
        handler: impl Fn(&str, &Value) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let server = Self {
            address: listener.local_addr().unwrap(),
            log: Arc::default(),
            is_over: Arc::default(),
        };
        let (log, is_over) = (Arc::clone(&server.log), Arc::clone(&server.is_over));
        let handler: Arc<Handler> = Arc::new(handler);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (handler, log) = (Arc::clone(&handler), Arc::clone(&log));
                thread::spawn(move || serve(stream.unwrap(), &*handler, &log));
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far.
    pub(crate) fn log(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.log().into_iter().map(|(path, ..)| path).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, handler: &Handler, log: &Mutex<Vec<Request>>) {
    let Some(request) = read(&stream) else { return };
    log.lock().unwrap().push(request.clone());
    write(stream, handler(&request.0, &request.2));
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream);
    let mut first = String::new();
    lines.read_line(&mut first).ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some((path, authorization, body))
}

/// The other side may be gone at any moment, which is its own affair.
fn write(mut stream: TcpStream, reply: Reply) {
    let head = |status: u16, length: usize, more: &str| {
        format!(
            "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n"
        )
    };
    let _ = match reply {
        Reply::Json(status, value) => {
            let body = value.to_string();
            write!(stream, "{}{body}", head(status, body.len(), ""))
        }
        Reply::Raw(status, body) => {
            let _ = write!(stream, "{}", head(status, body.len(), ""));
            stream.write_all(&body)
        }
        Reply::Moved(to) => write!(stream, "{}", head(307, 0, &format!("Location: {to}\r\n"))),
        Reply::Cut => Ok(()),
        Reply::CutBody => write!(stream, "{}{{\"te", head(200, 100, "")),
        Reply::Flood => flood(&mut stream),
        Reply::Hang => {
            thread::sleep(Duration::from_secs(20));
            Ok(())
        }
    };
}

fn flood(stream: &mut TcpStream) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    )?;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    loop {
        stream.write_all(chunk.as_bytes())?;
    }
}
