//! Against a host of our own, which speaks as the hub and as GitHub do.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;

use super::*;

const HELLO: Checksum =
    Checksum::Sha256("5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
const HELLO_BLOB: Checksum = Checksum::GitBlob("ce013625030ba8dba906f756967f9e9ca394464a");

/// A host that has some files, and remembers what it was asked for.
struct Host {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

fn host(files: &'static [(&'static str, &'static str)]) -> Host {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let remembered = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let path = answer(stream.unwrap(), files);
            remembered.lock().unwrap().push(path);
        }
    });
    Host { url, asked }
}

/// Answers one request, the range that it asks for, and closes.
fn answer(mut stream: TcpStream, files: &[(&str, &str)]) -> String {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let request = lines.next().unwrap().unwrap();
    let path = request.split(' ').nth(1).unwrap().to_owned();
    let mut range = None;
    for line in lines {
        let line = line.unwrap().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(bytes) = line.strip_prefix("range: bytes=") {
            let (first, last) = bytes.split_once('-').unwrap();
            range = Some((first.parse::<usize>().unwrap(), last.parse::<usize>()));
        }
    }
    let response = match files.iter().find(|(known, _)| *known == path) {
        None => {
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
        }
        Some((_, content)) => {
            let (first, last) = match range {
                Some((first, last)) => (first, last.map_or(content.len(), |last| last + 1)),
                None => (0, content.len()),
            };
            let part = &content[first..last.min(content.len())];
            format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nConnection: close\r\n\
                 Content-Range: bytes {first}-{}/{}\r\nETag: \"one\"\r\nx-repo-commit: two\r\n\r\n\
                 {part}",
                part.len(),
                last.saturating_sub(1),
                content.len()
            )
        }
    };
    // A client may have gone already.
    let _ = stream.write_all(response.as_bytes());
    path
}

fn hubs(host: &str, folder: &TempDir) -> Hubs {
    Hubs {
        hugging_face: host.to_owned(),
        github: host.to_owned(),
        ..Hubs::new(folder.path().join("cache"))
    }
}

fn on_hub(checksum: Option<Checksum>) -> RemoteFile {
    RemoteFile {
        at: Source::HuggingFace {
            repository: "owner/set",
            path: "data/rows.json",
        },
        place: "rows.json".to_owned(),
        checksum,
    }
}

fn on_github(checksum: Option<Checksum>) -> RemoteFile {
    RemoteFile {
        at: Source::GitHub {
            repository: "owner/set",
            path: "data/rows.jsonl".to_owned(),
        },
        place: "deep/rows.jsonl".to_owned(),
        checksum,
    }
}

const FILES: &[(&str, &str)] = &[
    ("/datasets/owner/set/resolve/main/data/rows.json", "hello\n"),
    ("/owner/set/HEAD/data/rows.jsonl", "hello\n"),
    (
        "/owner/set/HEAD/pointer",
        "version https://git-lfs.github.com/spec/v1\noid …",
    ),
    (
        "/datasets/bytedance-research/ToolHop/resolve/main/data/ToolHop.json",
        "[]",
    ),
];

#[test]
fn a_file_is_brought_checked_and_not_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(FILES);
    let hubs = hubs(&format!("{}/", host.url), &folder);
    let files = [on_hub(Some(HELLO)), on_github(Some(HELLO_BLOB))];
    let mut told = Vec::new();
    let mut hear = |file: &Fetched| told.push(file.clone());
    let fetched = fetch_files(&files, folder.path(), &hubs, &mut hear).unwrap();
    assert_eq!(told, fetched);
    assert!(fetched.iter().all(|file| !file.was_there));
    assert_eq!(fetched[0].checked, Some(HELLO));
    for place in ["rows.json", "deep/rows.jsonl"] {
        assert_eq!(
            fs::read_to_string(folder.path().join(place)).unwrap(),
            "hello\n"
        );
    }
    let asked = host.asked.lock().unwrap().len();
    let again = fetch_files(&files, folder.path(), &hubs, &mut |_| ()).unwrap();
    assert!(again.iter().all(|file| file.was_there));
    assert_eq!(host.asked.lock().unwrap().len(), asked);
}

#[test]
fn a_file_that_is_another_is_refused_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(FILES);
    let hubs = hubs(&host.url, &folder);
    let error = fetch(DataSet::ToolHop, folder.path(), &hubs, &mut |_| ()).unwrap_err();
    let message = error
        .to_string()
        .replace(&format!("{}/", folder.path().display()), "");
    let url = "/datasets/bytedance-research/ToolHop/resolve/main/data/ToolHop.json";
    assert_eq!(
        message.replace(&host.url, ""),
        format!(
            "`ToolHop.json`: its SHA-256 is \
             4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945, expected \
             0a51f71a44b7025645e452123af3caf2e348301922af91778e268db0188a7fab\n\
             hint: it is not the file that was published, or one that was published later; \
             remove it and download `{url}` again"
        )
    );
    assert!(!folder.path().join("ToolHop.json").exists());
    // One that lies there is not replaced.
    fs::write(folder.path().join("ToolHop.json"), "mine").unwrap();
    let error = fetch(DataSet::ToolHop, folder.path(), &hubs, &mut |_| ()).unwrap_err();
    assert!(matches!(error, HubError::Hash { .. }), "{error}");
    assert_eq!(
        fs::read_to_string(folder.path().join("ToolHop.json")).unwrap(),
        "mine"
    );
}

#[test]
fn a_host_that_does_not_send_it_is_an_error_that_says_how_to_do_it_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(&[]);
    let check = |hubs: &Hubs, file: RemoteFile, expected: &str| {
        let error = fetch_files(&[file], folder.path(), hubs, &mut |_| ()).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("download it by hand to `"), "{message}");
        let left: Vec<_> = fs::read_dir(folder.path().join("deep"))
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(left.len(), 0, "no part of a file is left");
    };
    check(&hubs(&host.url, &folder), on_hub(None), "404");
    check(&hubs(&host.url, &folder), on_github(None), "404");
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let gone = hubs(&format!("http://{closed}"), &folder);
    check(
        &gone,
        on_hub(None),
        "/datasets/owner/set/resolve/main/data/rows.json`: ",
    );
    check(&gone, on_github(None), "/owner/set/HEAD/data/rows.jsonl`: ");
}

#[test]
fn a_pointer_to_a_large_file_is_not_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(FILES);
    let pointer = RemoteFile {
        at: Source::GitHub {
            repository: "owner/set",
            path: "pointer".to_owned(),
        },
        ..on_github(None)
    };
    let hubs = hubs(&host.url, &folder);
    let error = fetch_files(&[pointer], folder.path(), &hubs, &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("only a pointer"), "{error}");
}

#[test]
fn a_wheel_that_is_another_package_and_a_python_that_is_not_there_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Hubs {
        python: "no-such-python".to_owned(),
        ..hubs("http://127.0.0.1:9", &folder)
    };
    let error = fetch(DataSet::Bfcl, folder.path(), &missing, &mut |_| ()).unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with("`no-such-python -m pip download bfcl-eval==2026.3.23`: "));
    assert!(
        message.contains("hint: put `bfcl_eval-2026.3.23-py3-none-any.whl`"),
        "{message}"
    );
    fs::write(
        folder.path().join("bfcl_eval-2026.3.23-py3-none-any.whl"),
        "PK",
    )
    .unwrap();
    let error = fetch(DataSet::Bfcl, folder.path(), &missing, &mut |_| ()).unwrap_err();
    assert!(matches!(error, HubError::Hash { .. }), "{error}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests find their data through PACT_DATA"
)]
fn data_folder() -> PathBuf {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var("PACT_DATA").unwrap_or_else(|_| beside.to_owned());
    Path::new(&root).join("bfcl")
}

/// Needs a package index that pip reaches.
#[test]
fn data_bfcls_wheel_is_laid_out_as_the_data_at_hand() {
    let data = data_folder();
    let pip = Command::new("python3")
        .args(["-m", "pip", "--version"])
        .output();
    if !data.is_dir() || !pip.is_ok_and(|output| output.status.success()) {
        println!("skipped: PACT_DATA not found, or no pip");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let here = Hubs::new(folder.path().join("cache"));
    match fetch(DataSet::Bfcl, folder.path(), &here, &mut |_| ()) {
        Err(HubError::Package { doing, problem, .. }) if doing.contains("pip download") => {
            println!("skipped: pip has no package index: {problem}");
            return;
        }
        other => other.unwrap(),
    };
    let mut same = 0;
    for within in [
        "",
        "possible_answer",
        "multi_turn_func_doc",
        "memory_prereq_conversation",
    ] {
        for entry in fs::read_dir(folder.path().join(within)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let place = path.strip_prefix(folder.path()).unwrap();
            let read = |path: &Path| -> Vec<serde_json::Value> {
                let text = fs::read_to_string(path).unwrap();
                let values = serde_json::Deserializer::from_str(&text).into_iter();
                values.map(Result::unwrap).collect()
            };
            assert_eq!(read(&path), read(&data.join(place)), "{}", place.display());
            same += 1;
        }
    }
    assert!(
        same > 3,
        "questions and answers too, and not only what was extracted"
    );
    println!("{same} files are the same");
}
