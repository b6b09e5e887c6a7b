//! One session with a server, from handshake to end. Nothing here waits longer than the config
//! allows, and no future leaves it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::{RunningService, ServiceError};
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::streamable_http_client::{
    StreamableHttpClientTransport, StreamableHttpClientTransportConfig,
};
use rmcp::{RoleClient, ServiceExt};
use serde_json::{Map, Value};
use tokio::process::Command;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::process::Process;
use super::scratch::Scratch;
use super::{McpConfig, listing};
use crate::own::bounds::{self, cut};

/// What is told of another's error, in bytes.
pub(super) const LONGEST_ERROR: usize = 500;
/// How long the end of a runtime may take.
const SHUTDOWN: Duration = Duration::from_secs(3);

/// How a server is reached, with every variable read and every time-out understood. Holds
/// secrets, and so prints nothing.
pub(super) struct Address {
    pub(super) config: McpConfig,
    /// The variables of its environment.
    pub(super) env: BTreeMap<String, String>,
    pub(super) headers: HashMap<HeaderName, HeaderValue>,
    pub(super) start_limit: Duration,
    pub(super) call_limit: Duration,
}

/// What drives all sessions of a toolbox.
pub(super) struct Engine(Option<Runtime>);

/// A session with a server. Dropping it ends the session, and its process soon after.
pub(super) struct Connection {
    client: Option<RunningService<RoleClient, ()>>,
    process: Option<Process>,
    scratch: Option<Scratch>,
    call_limit: Duration,
    engine: Arc<Engine>,
}

/// Why a call has no result.
pub(super) enum Failure {
    /// The server refused it, and goes on.
    Refused(String),
    /// The session is of no use any more.
    Lost(String),
}

impl Engine {
    pub(super) fn new() -> Result<Self, String> {
        // An error says that another has chosen a provider before, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("mcp")
            .enable_all()
            .build()
            .map(|runtime| Self(Some(runtime)))
            .map_err(|error| error.to_string())
    }

    fn runtime(&self) -> &Runtime {
        self.0
            .as_ref()
            .expect("it is only taken when it is dropped")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_timeout(SHUTDOWN);
        }
    }
}

impl Connection {
    /// Starts or reaches a server, and shakes hands with it.
    pub(super) fn open(address: &Address, engine: &Arc<Engine>) -> Result<Self, String> {
        let scratch = address.config.uses_scratch();
        let scratch = scratch.then(|| Scratch::new(address.config.scratch_from.as_deref()));
        let scratch = scratch
            .transpose()
            .map_err(|error| format!("no folder for `{{scratch}}`: {error}"))?;
        let mut connection = Self {
            client: None,
            process: None,
            scratch,
            call_limit: address.call_limit,
            engine: Arc::clone(engine),
        };
        engine.runtime().block_on(connection.start(address))?;
        Ok(connection)
    }

    async fn start(&mut self, address: &Address) -> Result<(), String> {
        let handshake = match &address.config.url {
            Some(url) => timeout(address.start_limit, ().serve(reach(url, address)?)).await,
            None => {
                let command = self.command(address);
                let program = &address.config.command[0];
                let (process, pipes) = Process::start(command)
                    .map_err(|error| format!("cannot run `{program}`: {error}"))?;
                self.process = Some(process);
                let transport = AsyncRwTransport::new_client(pipes.output, pipes.input);
                timeout(address.start_limit, ().serve(transport)).await
            }
        };
        let problem = match handshake {
            Ok(Ok(client)) => {
                self.client = Some(client);
                return Ok(());
            }
            Ok(Err(error)) => cut(error.to_string(), LONGEST_ERROR),
            Err(_) => format!("no handshake within {}", seconds(address.start_limit)),
        };
        Err(self.with_complaint(problem))
    }

    fn command(&self, address: &Address) -> Command {
        let fill = |text: &str| match &self.scratch {
            Some(scratch) => scratch.fill(text),
            None => text.to_owned(),
        };
        let mut words = address.config.command.iter().map(|word| fill(word));
        let mut command = Command::new(words.next().expect("a server has a command or a url"));
        command.args(words).env_clear();
        command.envs(address.env.iter().map(|(name, value)| (name, fill(value))));
        if let Some(cwd) = &address.config.cwd {
            command.current_dir(
                cwd.to_str()
                    .map_or_else(|| cwd.clone(), |cwd| fill(cwd).into()),
            );
        }
        command
    }

    /// What went wrong, with what the server itself said of it.
    fn with_complaint(&self, problem: String) -> String {
        match self.process.as_ref().map(Process::complaint) {
            Some(complaint) if !complaint.is_empty() => format!("{problem}; it says: {complaint}"),
            _ => problem,
        }
    }

    /// Every tool of the server, as it sends them.
    pub(super) fn list_tools(&self, limit: Duration) -> Result<Vec<Value>, String> {
        let runtime = self.engine.runtime();
        match runtime.block_on(async { timeout(limit, listing::list(self.client())).await }) {
            Ok(tools) => tools.map_err(|problem| self.with_complaint(problem)),
            Err(_) => Err(format!(
                "it lists its tools for more than {}",
                seconds(limit)
            )),
        }
    }

    /// Calls a tool by the server's name.
    pub(super) fn call(
        &self,
        tool: &str,
        arguments: &Map<String, Value>,
    ) -> Result<CallToolResult, Failure> {
        let arguments = match &self.scratch {
            Some(scratch) => scratch.inward(arguments),
            None => arguments.clone(),
        };
        let request = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let call = async { timeout(self.call_limit, self.client().call_tool(request)).await };
        match self.engine.runtime().block_on(call) {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(self.failure(error)),
            Err(_) => Err(Failure::Lost(format!(
                "it did not answer within {}",
                seconds(self.call_limit)
            ))),
        }
    }

    /// A text of the server's, as an agent is told.
    pub(super) fn outward(&self, text: String) -> String {
        match &self.scratch {
            Some(scratch) => scratch.outward(&text),
            None => text,
        }
    }

    /// Whether the server is known to have ended.
    pub(super) fn is_closed(&self) -> bool {
        self.client().is_transport_closed()
    }

    fn client(&self) -> &RunningService<RoleClient, ()> {
        self.client
            .as_ref()
            .expect("an open connection has a client")
    }

    fn failure(&self, error: ServiceError) -> Failure {
        match error {
            ServiceError::McpError(error) => {
                let message = self.outward(error.message.into_owned());
                Failure::Refused(cut(message, LONGEST_ERROR))
            }
            ServiceError::TransportSend(_)
            | ServiceError::TransportClosed
            | ServiceError::Cancelled { .. } => Failure::Lost("it has ended".to_owned()),
            other => Failure::Refused(cut(other.to_string(), LONGEST_ERROR)),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Its end of the pipes closes with the client; over HTTP, it takes leave of the server.
        let (client, process) = (self.client.take(), self.process.take());
        let scratch = self.scratch.take();
        self.engine.runtime().spawn(async move {
            if let Some(mut client) = client {
                // Whatever it says, the session is over.
                let _ = client.close_with_timeout(SHUTDOWN).await;
            }
            if let Some(process) = process {
                process.end().await;
            }
            drop(scratch);
        });
    }
}

/// The way to a server over streamable HTTP. It follows no redirect: what the headers say is
/// said to this address alone. Nor a proxy, which the environment would name.
fn reach(
    url: &str,
    address: &Address,
) -> Result<StreamableHttpClientTransport<reqwest::Client>, String> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(address.start_limit)
        .build()
        .map_err(|error| error.to_string())?;
    let mut config = StreamableHttpClientTransportConfig::with_uri(url);
    config.custom_headers = address.headers.clone();
    Ok(StreamableHttpClientTransport::with_client(client, config))
}

fn seconds(limit: Duration) -> String {
    format!("{} seconds", limit.as_secs_f64())
}

/// The variables of a server's environment, and where a program is looked for.
pub(super) fn environment(
    config: &McpConfig,
    variable: &dyn Fn(&str) -> Option<String>,
) -> BTreeMap<String, String> {
    let inherited = config.inherit.iter();
    let mut env: BTreeMap<String, String> = inherited
        .filter_map(|name| Some((name.clone(), variable(name)?)))
        .collect();
    env.extend(config.env.clone());
    env
}

/// The headers of every request. Their values are secrets, and are not repeated.
pub(super) fn headers(
    config: &McpConfig,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<HashMap<HeaderName, HeaderValue>, String> {
    let header = |(header, value): (String, String)| {
        let name = HeaderName::from_bytes(header.as_bytes());
        let value = HeaderValue::from_str(&value);
        let (Ok(name), Ok(mut value)) = (name, value) else {
            let problem = "it or its value cannot stand in an HTTP request";
            return Err(format!("`headers.{header}`: {problem}"));
        };
        value.set_sensitive(true);
        Ok((name, value))
    };
    let headers = bounds::headers(&config.headers, variable)?;
    headers.into_iter().map(header).collect()
}
