//! What stands around the processes beside the layers, where the machine has it; and every
//! version of Python that is installed.

use std::process::Command;

use sandbox::{Isolation, Pool, PythonConfig, PythonTool, SandboxConfig, doctor};
use serde_json::{Map, json};

fn call(pool: &Pool, body: &str) -> String {
    let source = format!("def f():\n    import os, socket\n    {body}");
    let tool = PythonTool {
        name: "f",
        source: &source,
    };
    pool.call(tool, &Map::new()).text
}

fn works(pool: &Pool) {
    assert_eq!(
        call(pool, "return {'où': [1, None]}"),
        r#"{"où": [1, null]}"#
    );
    assert_eq!(
        call(pool, "open('x', 'w').write('y'); return open('x').read()"),
        "y"
    );
    assert_eq!(call(pool, "return os.listdir('.')"), "[]");
    let left = call(pool, "os._exit(3)");
    assert_eq!(
        left,
        "an error occured when call f: the tool ended its process (exit status 3)"
    );
    let late = call(pool, "while True: pass");
    assert_eq!(
        late,
        "an error occured when call f: timed out after 2 seconds"
    );
    let mut session = pool.session().unwrap();
    session
        .load(
            "kept = 1\ndef g(x: int = 2):\n    global kept\n    kept += x\n    return kept",
            "t.py",
        )
        .unwrap();
    assert_eq!(
        session.functions().unwrap()[0].parameters["properties"]["x"],
        json!({"type": "integer", "default": 2})
    );
    assert_eq!(session.call("g", &Map::new(), None).as_deref(), Ok("3"));
    assert_eq!(session.call("g", &Map::new(), None).as_deref(), Ok("5"));
}

/// Which of these a machine has differs; that a pool says why it has not does not.
fn isolated(isolation: Isolation, program: &str, probe: &[&str]) {
    let has_python = Command::new("python3").arg("--version").output().is_ok();
    let probed = Command::new(program).args(probe).output();
    if !has_python || !probed.is_ok_and(|output| output.status.success()) {
        println!("skipped: no python3, or `{program}` does not work here");
        return;
    }
    for without in [&[][..], &["landlock", "seccomp"]] {
        let python = PythonConfig {
            workers: 1,
            call_seconds: 2.0,
            ..PythonConfig::default()
        };
        let sandbox = SandboxConfig {
            isolation,
            without: without.iter().map(|&it| it.to_owned()).collect(),
            ..SandboxConfig::default()
        };
        let pool = Pool::new(python, sandbox).unwrap();
        works(&pool);
        // Its own network has nothing but a loop that is down, and its own processes nobody.
        let connect = "s = socket.socket(); s.connect(('1.1.1.1', 53)); return 'connected'";
        let connected = call(&pool, connect);
        assert!(
            connected.contains("[Errno 1]") || connected.contains("[Errno 101]"),
            "{connected}"
        );
        let pids = call(
            &pool,
            "return [int(it) for it in os.listdir('/proc') if it.isdigit()]",
        );
        if without.is_empty() {
            assert!(pids.contains("[Errno 13]"), "{pids}");
        } else {
            let pids: Vec<u32> = serde_json::from_str(&pids).unwrap();
            assert!(
                pids.len() <= 4 && pids.iter().all(|&pid| pid < 100),
                "{pids:?}"
            );
        }
    }
}

#[test]
fn namespaces_show_no_network_and_no_processes() {
    let probe = [
        "--user",
        "--map-root-user",
        "--net",
        "--pid",
        "--fork",
        "--mount-proc",
        "true",
    ];
    isolated(Isolation::Namespaces, "unshare", &probe);
}

#[test]
fn bubblewrap_shows_no_network_and_no_processes() {
    let probe = [
        "--unshare-all",
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
        "true",
    ];
    isolated(Isolation::Bubblewrap, "bwrap", &probe);
}

#[test]
fn every_version_of_python_that_is_installed_runs_tools_under_the_same_layers() {
    let mut active = None;
    for version in 9..=14 {
        let interpreter = format!("python3.{version}");
        let runs = Command::new(&interpreter).arg("--version").output();
        if !runs.is_ok_and(|output| output.status.success()) {
            println!("skipped: no {interpreter}");
            continue;
        }
        let python = PythonConfig {
            interpreter: interpreter.clone(),
            workers: 1,
            call_seconds: 2.0,
            ..PythonConfig::default()
        };
        works(&Pool::new(python.clone(), SandboxConfig::default()).unwrap());
        let report = doctor(&python, &SandboxConfig::default()).unwrap();
        assert!(
            report.version.starts_with(&format!("3.{version}.")),
            "{report}"
        );
        let layers: Vec<bool> = report.layers.iter().map(|layer| layer.active).collect();
        println!("{interpreter}: {layers:?}");
        assert_eq!(*active.get_or_insert_with(|| layers.clone()), layers);
    }
}

#[test]
fn the_doctor_names_every_layer_and_what_is_missing_of_the_required() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: no python3");
        return;
    }
    let sandbox = SandboxConfig {
        require: vec!["landlock".to_owned(), "capabilities".to_owned()],
        without: vec!["landlock".to_owned()],
        ..SandboxConfig::default()
    };
    let report = doctor(&PythonConfig::default(), &sandbox).unwrap();
    println!("{report}");
    let names: Vec<&str> = report.layers.iter().map(|layer| layer.name).collect();
    let all = [
        "limits",
        "no-new-privs",
        "capabilities",
        "landlock",
        "seccomp",
    ];
    assert_eq!(names, all);
    assert_eq!(report.layers[3].what, "left out by `sandbox.without`");
    let missing = report.missing.as_ref().unwrap();
    assert!(
        missing.contains("lacks `landlock` (left out by `sandbox.without`)"),
        "{missing}"
    );
    let text = report.to_string();
    assert!(
        text.contains("landlock      MISSING  left out by `sandbox.without`"),
        "{text}"
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["layers"][3]["active"], false);
}
