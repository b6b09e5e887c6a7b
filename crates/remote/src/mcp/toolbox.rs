//! A server as a toolbox, and a session of an episode.

use std::sync::{Arc, Mutex, PoisonError};

use env::own::{Session, TaskRow, Toolbox};
use env::{Health, HealthCount};
use episode::{Observation, ToolCall};
use serde_json::Value;

use super::config::Sharing;
use super::connection::{Address, Connection, Engine, Failure, environment, headers};
use super::{McpConfig, content, filter};
use crate::own::ToolsError;
use crate::own::bounds::{cut, limit};

/// The tools of one MCP server.
pub struct McpTools {
    name: String,
    tools: Vec<Value>,
    server: Arc<Server>,
}

/// What sessions are made of.
struct Server {
    address: Address,
    engine: Arc<Engine>,
    /// The connection of all, where they share one.
    shared: Mutex<Option<Arc<Connection>>>,
    health: HealthCount,
}

impl McpTools {
    /// Starts or reaches the server once, to list its tools. `variable` looks up an environment
    /// variable.
    pub fn connect(
        name: &str,
        config: &McpConfig,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ToolsError> {
        let config_problem = |problem| ToolsError::Config {
            name: name.to_owned(),
            problem,
        };
        let server_problem = |problem| ToolsError::Server {
            name: name.to_owned(),
            problem,
        };
        config.check().map_err(config_problem)?;
        let address = Address {
            env: environment(config, variable),
            headers: headers(config, variable).map_err(config_problem)?,
            start_limit: limit("start-seconds", config.start_seconds).map_err(config_problem)?,
            call_limit: limit("call-seconds", config.call_seconds).map_err(config_problem)?,
            config: config.clone(),
        };
        let engine = Arc::new(Engine::new().map_err(server_problem)?);
        let connection = Connection::open(&address, &engine).map_err(server_problem)?;
        let listed = connection.list_tools(address.start_limit);
        let listed = listed.map_err(server_problem)?;
        let tools = filter::offered(config, &listed).map_err(config_problem)?;
        let is_shared = config.session == Sharing::Shared;
        Ok(Self {
            name: name.to_owned(),
            tools,
            server: Arc::new(Server {
                address,
                engine,
                shared: Mutex::new(is_shared.then(|| Arc::new(connection))),
                health: HealthCount::default(),
            }),
        })
    }
}

impl Server {
    fn connect(&self) -> Result<Arc<Connection>, String> {
        let open = || Connection::open(&self.address, &self.engine).map(Arc::new);
        if self.address.config.session == Sharing::Episode {
            return open();
        }
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        match shared.as_ref().filter(|connection| !connection.is_closed()) {
            Some(connection) => Ok(Arc::clone(connection)),
            None => {
                self.health.restarted();
                Ok(Arc::clone(shared.insert(open()?)))
            }
        }
    }

    /// The next episode does not get this connection again.
    fn forget(&self, lost: &Arc<Connection>) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.take_if(|connection| Arc::ptr_eq(connection, lost));
    }
}

impl Toolbox for McpTools {
    fn name(&self) -> &str {
        &self.name
    }

    fn tools(&self) -> &[Value] {
        &self.tools
    }

    fn open(&self, _row: &TaskRow) -> Result<Box<dyn Session>, String> {
        Ok(Box::new(McpSession {
            connection: Ok(self.server.health.asked(self.server.connect())?),
            server: Arc::clone(&self.server),
        }))
    }

    fn health(&self) -> Health {
        self.server.health.get()
    }
}

struct McpSession {
    /// The connection, or how it was lost.
    connection: Result<Arc<Connection>, String>,
    server: Arc<Server>,
}

impl Session for McpSession {
    fn call(&mut self, call: &ToolCall) -> Observation {
        let (config, health) = (&self.server.address.config, &self.server.health);
        let connection = match health.asked(self.connection.as_ref()) {
            Ok(connection) => connection,
            Err(lost) => return failed(format!("error: there is no server any more: {lost}")),
        };
        let tool = call.name.strip_prefix(&config.prefix);
        let tool = tool.expect("an agent's names of the tools begin with the prefix");
        match connection.call(tool, &call.arguments) {
            Ok(result) => {
                let observation = content::observation(&result);
                let text = connection.outward(observation.text);
                Observation {
                    text: cut(text, config.longest_result),
                    ..observation
                }
            }
            Err(Failure::Refused(why)) => failed(format!("error: {why}")),
            Err(Failure::Lost(why)) => {
                health.lost(&why);
                self.server.forget(connection);
                let text = format!("error: the server is lost: {why}");
                self.connection = Err(why);
                failed(text)
            }
        }
    }
}

fn failed(text: String) -> Observation {
    Observation { text, failed: true }
}
