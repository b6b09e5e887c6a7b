//! What a server offers, and what it is told of the machine.

use std::collections::BTreeMap;

use env::Suite;
use env::own::Toolbox;
use remote::mcp::{McpConfig, Sharing};
use serde_json::json;

use super::{call, connect, failed, has_python, names, open, python, refused, said, suite};

#[test]
fn a_servers_tools_are_offered_with_their_schemas() {
    if !has_python() {
        return;
    }
    let tools = connect(&python(&[]));
    assert_eq!(
        tools.tools()[0],
        json!({"type": "function", "function": {
            "name": "echo",
            "description": "Does echo.",
            "parameters": {"type": "object", "properties": {"text": {"type": "string"}}},
        }})
    );
    let mut session = open(&tools);
    assert_eq!(
        call(&mut *session, "echo", json!({"text": "é\n"})),
        said("é\n")
    );
    assert_eq!(
        call(&mut *session, "fail", json!({})),
        failed("it is not so")
    );
    assert_eq!(
        call(&mut *session, "refuse", json!({})),
        failed("error: there is no refuse")
    );
}

#[test]
fn a_list_in_pages_is_read_to_its_end() {
    if !has_python() {
        return;
    }
    let whole = connect(&python(&[]));
    let paged = connect(&python(&["--pages"]));
    assert_eq!(paged.tools(), whole.tools());
}

#[test]
fn a_prefix_keeps_the_names_of_two_servers_apart() {
    if !has_python() {
        return;
    }
    let config = McpConfig {
        prefix: "my_".to_owned(),
        include: vec!["e*".to_owned(), "count".to_owned()],
        exclude: vec!["environ".to_owned()],
        ..python(&[])
    };
    let tools = connect(&config);
    assert_eq!(names(tools.tools()), ["my_echo", "my_count"]);
    let mut session = open(&tools);
    assert_eq!(
        call(&mut *session, "my_echo", json!({"text": "a"})),
        said("a")
    );
}

#[test]
fn every_episode_has_a_server_of_its_own_unless_they_share_one() {
    if !has_python() {
        return;
    }
    let counts = |session: Sharing| {
        let tools = connect(&McpConfig {
            session,
            ..python(&[])
        });
        let mut sessions = [open(&tools), open(&tools)];
        [0, 1, 0].map(|it| call(&mut *sessions[it], "count", json!({})).text)
    };
    assert_eq!(counts(Sharing::Episode), ["1", "1", "2"]);
    assert_eq!(counts(Sharing::Shared), ["1", "2", "3"]);
}

#[test]
fn a_server_sees_only_the_variables_that_it_is_given() {
    if !has_python() {
        return;
    }
    let config = McpConfig {
        inherit: vec!["PATH".to_owned(), "NOBODY_HAS_THIS".to_owned()],
        env: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
        ..python(&[])
    };
    let tools = connect(&config);
    let seen = call(&mut *open(&tools), "environ", json!({})).text;
    let seen: BTreeMap<String, String> = serde_json::from_str(&seen).unwrap();
    assert_eq!(seen["GREETING"], "hello");
    let python_own = ["LC_CTYPE", "__CF_USER_TEXT_ENCODING"];
    let names: Vec<&str> = seen.keys().map(String::as_str).collect();
    let names: Vec<&str> = names
        .into_iter()
        .filter(|it| !python_own.contains(it))
        .collect();
    assert!(names.contains(&"PATH"));
    let known = ["GREETING", "PATH"];
    // A `python3` that is a script may add its own variables; what this test's process has
    // beside those is not among them.
    for (name, value) in std::env::vars() {
        let is_passed_on = seen.get(&name) == Some(&value);
        assert!(
            !is_passed_on || known.contains(&&*name) || name.starts_with("PYENV"),
            "{name}"
        );
    }
}

#[test]
fn a_session_has_a_folder_of_its_own_by_the_name_of_scratch() {
    if !has_python() {
        return;
    }
    let from = tempfile::tempdir().unwrap();
    std::fs::write(from.path().join("given"), "").unwrap();
    let config = McpConfig {
        cwd: Some("{scratch}".into()),
        scratch_from: Some(from.path().to_owned()),
        ..python(&[])
    };
    let tools = connect(&config);
    for _ in 0..2 {
        let mut session = open(&tools);
        let listed = |session: &mut dyn env::own::Session, path: &str| {
            call(session, "read", json!({"text": path})).text
        };
        assert_eq!(listed(&mut *session, "/scratch"), "given");
        assert_eq!(
            call(&mut *session, "write", json!({"text": "/scratch/new"})),
            said("wrote /scratch/new")
        );
        assert_eq!(listed(&mut *session, "."), "given new");
    }
    let left = std::fs::read_dir(from.path()).unwrap().count();
    assert_eq!(left, 1, "what episodes begin with is not written to");
}

#[test]
fn a_server_that_prints_what_is_no_message_is_understood() {
    if !has_python() {
        return;
    }
    let tools = connect(&python(&["--noisy"]));
    assert_eq!(call(&mut *open(&tools), "count", json!({})), said("1"));
}

#[test]
fn tools_that_no_task_could_use_are_refused_by_name() {
    if !has_python() {
        return;
    }
    let check = |mode: &str, expected: &str| {
        let problem = suite(connect(&python(&[mode]))).err().unwrap();
        assert!(problem.contains(expected), "{problem}");
    };
    check("--none", "tools of `test`: it offers no tools");
    check(
        "--double",
        "tool `echo` is also one of `test`\nhint: rename one, or give",
    );
    check(
        "--bad-schema",
        "tool `echo`: `parameters.properties.text.type` is \"words\", expected one of string",
    );
    check(
        "--no-schema",
        "tool `bare`: `parameters` is \"nothing\", expected a schema, which is an object",
    );
    let suite = suite(connect(&python(&[]))).unwrap_or_else(|problem| panic!("{problem}"));
    assert_eq!(suite.tasks()[0].tools.len(), 12);
}

#[test]
fn a_server_that_cannot_be_used_is_an_error_that_says_why() {
    if !has_python() {
        return;
    }
    let check = |config: McpConfig, expected: &str| {
        let problem = refused(&config);
        assert!(problem.contains(expected), "{problem}");
    };
    check(
        McpConfig::default(),
        "tools of `test`: neither `command` nor `url`",
    );
    check(
        McpConfig {
            command: vec!["no-such-program".to_owned()],
            ..McpConfig::default()
        },
        "the server of the tools of `test`: cannot run `no-such-program`: No such file",
    );
    check(python(&["--dies"]), "it says: no licence for today");
    check(
        McpConfig {
            start_seconds: 1.0,
            ..python(&["--mute"])
        },
        "no handshake within 1 seconds",
    );
    check(python(&["--endless"]), "tools/list: more than 100 pages");
    check(python(&["--no-capability"]), "no method tools/list");
    check(python(&["--listless"]), "tools/list: no `tools` in [1]");
    check(
        McpConfig {
            include: vec!["ecko".to_owned()],
            ..python(&[])
        },
        "no tool is called `ecko`\nhint: the server has echo, count",
    );
    check(
        McpConfig {
            headers: BTreeMap::from([("Authorization".to_owned(), "NOBODY_HAS_THIS".to_owned())]),
            ..python(&[])
        },
        "`headers.Authorization`: the environment variable `NOBODY_HAS_THIS` is not set",
    );
}
