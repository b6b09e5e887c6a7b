//! A server of our own for tests: it does what its script says, well or badly, on the loopback.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

/// A request as the server read it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method and path.
    pub line: String,
    /// The headers as they came, one a line, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, if it is JSON; else null.
    pub body: Value,
}

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What the server does with a request, step by step. The connection closes after the last.
#[derive(Clone, Debug)]
pub enum Act {
    /// Sends bytes at once.
    Send(Vec<u8>),
    /// Sends bytes one by one, each in a packet of its own.
    Drip(Vec<u8>),
    /// Sends bytes again and again until nobody reads them.
    Flood(Vec<u8>),
    /// Does nothing for a while.
    Wait(Duration),
    /// Goes on to the next request of the same connection.
    KeepAlive,
}

type Script = dyn Fn(usize, &Request) -> Vec<Act> + Send + Sync;

/// A server on a port of its own, which ends when it is dropped.
pub struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// A server that does what `script` says, which is given the request and its number.
    pub fn start(script: impl Fn(usize, &Request) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on the loopback");
        let address = listener.local_addr().expect("a bound port has an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let script: Arc<Script> = Arc::new(script);
        let (taken, over) = (Arc::clone(&requests), Arc::clone(&is_over));
        let count = Arc::clone(&connections);
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let (script, requests) = (Arc::clone(&script), Arc::clone(&taken));
                thread::spawn(move || serve(&stream, &*script, &requests));
            }
        });
        Self {
            address,
            requests,
            connections,
            is_over,
            thread: Some(thread),
        }
    }

    /// The base URL.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The requests so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.requests).clone()
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(requests: &Mutex<Vec<Request>>) -> MutexGuard<'_, Vec<Request>> {
    requests.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: &TcpStream, script: &Script, requests: &Mutex<Vec<Request>>) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        let number = {
            let mut requests = lock(requests);
            requests.push(request.clone());
            requests.len() - 1
        };
        let mut acts = script(number, &request);
        let stays_open = matches!(acts.last(), Some(Act::KeepAlive));
        if !stays_open {
            announce_end(&mut acts);
        }
        if !acts.iter().all(|act| perform(act, stream)) || !stays_open {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

/// Says in a reply's head that the connection closes behind it: a client that kept it would find
/// it gone with its next request, at times.
fn announce_end(acts: &mut [Act]) {
    let Some(Act::Send(bytes)) = acts.first_mut() else {
        return;
    };
    let first_line = bytes.windows(2).position(|pair| pair == b"\r\n");
    if let Some(end) = first_line.filter(|_| bytes.starts_with(b"HTTP/1.1 ")) {
        bytes.splice(end..end, *b"\r\nConnection: close");
    }
}

/// Whether somebody is still there.
fn perform(act: &Act, mut stream: &TcpStream) -> bool {
    match act {
        Act::Send(bytes) => stream.write_all(bytes).is_ok(),
        Act::Drip(bytes) => bytes.iter().all(|byte| stream.write_all(&[*byte]).is_ok()),
        Act::Flood(bytes) => {
            while stream.write_all(bytes).is_ok() {}
            false
        }
        Act::Wait(time) => {
            thread::sleep(*time);
            true
        }
        Act::KeepAlive => true,
    }
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader
        .read_line(&mut line)
        .ok()
        .filter(|count| *count > 0)?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader
            .read_line(&mut header)
            .ok()
            .filter(|count| *count > 0)?;
        match header.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_lowercase(), value.to_owned())),
            None => break,
        }
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        line: line.trim_end().trim_end_matches(" HTTP/1.1").to_owned(),
        headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    })
}

/// A whole reply; `headers` are lines with their ends.
pub fn http(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} Status\r\n{headers}Content-Length: {length}\r\n\r\n{body}").into()
}

/// A reply of JSON.
pub fn http_json(status: u16, body: &Value) -> Vec<u8> {
    http(
        status,
        "Content-Type: application/json\r\n",
        &body.to_string(),
    )
}

/// The body of a reply with one message.
pub fn completion(message: &Value, finish_reason: &str) -> Value {
    json!({
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2},
    })
}

/// A message that calls one tool.
pub fn calling(name: &str, arguments: &str) -> Value {
    let function = json!({"name": name, "arguments": arguments});
    let call = json!({"id": "x", "type": "function", "function": function});
    json!({"role": "assistant", "content": null, "tool_calls": [call]})
}

/// A message of text.
pub fn saying(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

/// A reply of one message, whole.
pub fn replying(message: &Value) -> Vec<Act> {
    vec![Act::Send(http_json(200, &completion(message, "stop")))]
}

/// A streamed reply of these deltas, whose end the connection's end is.
pub fn streamed(deltas: &[Value], finish_reason: &str) -> Vec<u8> {
    let chunk = |delta: &Value, reason: Option<&str>| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
        format!("data: {}\n\n", json!({"choices": [choice]}))
    };
    let mut text = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n".to_owned();
    text.extend(deltas.iter().map(|delta| chunk(delta, None)));
    text += &chunk(&json!({}), Some(finish_reason));
    text += "data: [DONE]\n\n";
    text.into()
}
