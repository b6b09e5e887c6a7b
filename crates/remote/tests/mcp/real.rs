//! Servers that anybody can install, where there is a node and its registry answers.

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use env::own::Toolbox;
use remote::mcp::{McpConfig, Sharing};
use serde_json::json;

use super::{call, connect, failed, names, open, refused, said};

const SERVERS: [&str; 2] = [
    "@modelcontextprotocol/server-everything@2026.8.31",
    "@modelcontextprotocol/server-filesystem@2026.8.31",
];

/// Where the servers are installed, once for all tests and kept; says so where they cannot be.
fn installed() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mcp-servers");
        std::fs::create_dir_all(&folder).unwrap();
        let install = Command::new("npm")
            .args([
                "install",
                "--no-audit",
                "--no-fund",
                "--prefer-offline",
                "--prefix",
            ])
            .arg(&folder)
            .args(SERVERS)
            .output();
        install
            .is_ok_and(|it| it.status.success())
            .then(|| folder.join("node_modules/@modelcontextprotocol"))
    });
    if folder.is_none() {
        println!("skipped: npm does not install the servers");
    }
    folder.as_deref()
}

fn node(server: &str, arguments: &[&str]) -> Option<McpConfig> {
    let script = installed()?.join(server).join("dist/index.js");
    let words = ["node".to_owned(), script.display().to_string()].into_iter();
    Some(McpConfig {
        command: words
            .chain(arguments.iter().map(|&it| it.to_owned()))
            .collect(),
        ..McpConfig::default()
    })
}

#[test]
fn the_file_system_server_has_a_fresh_folder_in_every_episode() {
    let Some(config) = node("server-filesystem", &["{scratch}"]) else {
        return;
    };
    let tools = connect(&McpConfig {
        include: ["read_text_file", "write_file", "list_*"]
            .map(str::to_owned)
            .to_vec(),
        exclude: vec!["list_directory_with_sizes".to_owned()],
        ..config
    });
    assert_eq!(
        names(tools.tools()),
        [
            "read_text_file",
            "write_file",
            "list_directory",
            "list_allowed_directories"
        ]
    );
    for _ in 0..2 {
        let mut session = open(&tools);
        let mut act = |tool: &str, arguments| call(&mut *session, tool, arguments);
        assert_eq!(
            act("list_allowed_directories", json!({})),
            said("Allowed directories:\n/scratch")
        );
        assert_eq!(act("list_directory", json!({"path": "/scratch"})), said(""));
        let note = json!({"path": "/scratch/note.txt", "content": "milk"});
        assert_eq!(
            act("write_file", note),
            said("Successfully wrote to /scratch/note.txt")
        );
        let read = act("read_text_file", json!({"path": "/scratch/note.txt"}));
        assert_eq!(read, said("milk"));
        let outside = act("read_text_file", json!({"path": "/etc/hostname"}));
        assert!(
            outside.failed && outside.text.contains("Access denied"),
            "{outside:?}"
        );
    }
}

/// What the server that has everything says, however it is reached.
fn check_everything(config: &McpConfig) {
    let tools = connect(config);
    let listed = names(tools.tools());
    assert!(
        listed.contains(&"echo") && listed.contains(&"get-sum"),
        "{listed:?}"
    );
    let mut session = open(&tools);
    let mut act = |tool: &str, arguments| call(&mut *session, tool, arguments);
    assert_eq!(act("echo", json!({"message": "hi"})), said("Echo: hi"));
    let sum = act("get-sum", json!({"a": 2, "b": 3}));
    assert_eq!(sum, said("The sum of 2 and 3 is 5."));
    let wrong = act("get-sum", json!({"a": "two"}));
    assert!(
        wrong.failed && wrong.text.contains("Invalid arguments"),
        "{wrong:?}"
    );
    let image = act("get-tiny-image", json!({})).text;
    let lines: Vec<&str> = image.lines().collect();
    assert!(lines[1].starts_with("[image, image/png, "), "{image}");
    assert_eq!(lines.len(), 3);
}

#[test]
fn the_server_that_has_everything_is_read_over_standard_input_and_output() {
    let Some(config) = node("server-everything", &["stdio"]) else {
        return;
    };
    check_everything(&config);
}

/// A server that is ended with the test.
struct Listening(Child);

impl Drop for Listening {
    fn drop(&mut self) {
        // Fails only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the server over HTTP on a port that nobody else has, and waits until it listens.
fn listen(port: u16) -> Option<Listening> {
    let script = installed()?.join("server-everything/dist/index.js");
    let mut command = Command::new("node");
    command
        .arg(script)
        .arg("streamableHttp")
        .env("PORT", port.to_string());
    let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let server = Listening(server.unwrap());
    let is_up = (0..200).any(|_| {
        thread::sleep(Duration::from_millis(100));
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    assert!(is_up, "the server listens within 20 seconds");
    Some(server)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn the_server_that_has_everything_is_read_over_streamable_http() {
    let port = free_port();
    let Some(server) = listen(port) else {
        return;
    };
    let config = McpConfig {
        url: Some(format!("http://127.0.0.1:{port}/mcp")),
        headers: BTreeMap::from([("X-Home".to_owned(), "HOME".to_owned())]),
        call_seconds: 5.0,
        ..McpConfig::default()
    };
    check_everything(&config);
    check_everything(&McpConfig {
        session: Sharing::Shared,
        ..config.clone()
    });

    let tools = connect(&config);
    let mut session = open(&tools);
    let mut echo = || call(&mut *session, "echo", json!({"message": "hi"}));
    assert_eq!(echo(), said("Echo: hi"));
    drop(server);
    assert_eq!(echo(), failed("error: the server is lost: it has ended"));
    let next = tools.open(&Default::default()).err().unwrap();
    assert!(next.contains("error sending request"), "{next}");
    assert!(refused(&config).contains("error sending request"));

    let _again = listen(port).unwrap();
    assert_eq!(
        call(&mut *open(&tools), "echo", json!({"message": "hi"})),
        said("Echo: hi")
    );
}
