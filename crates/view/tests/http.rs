//! The viewer as anybody meets it: requests over a socket, a folder that grows behind it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use view::{ViewError, Viewer};

/// An episode of one turn, whose tokens are the bytes of `text`.
fn episode(task: &str, sample: usize, step: u64, reward: f64, text: &str) -> Value {
    let tokens: Vec<u8> = format!("Q:{text}").into_bytes();
    let (prompt, all) = (2, tokens.len());
    let column = |before: Value, after: Value| {
        let of = |at| if at < prompt { &before } else { &after };
        (0..all).map(|at| of(at).clone()).collect::<Vec<_>>()
    };
    json!({
        "step": step, "anchored": false, "advantages": [reward - 0.5],
        "under_trace": vec![-0.25; all - prompt],
        "task": task, "scenario": "single_hop", "sample": sample, "seed": u64::MAX,
        "stop": if reward > 0.0 { "answered" } else { "turn-limit" },
        "score": {"reward": reward, "metrics": {"solve-f1": reward}}, "prompt_tokens": prompt,
        "turns": [{
            "segment": 0, "start": prompt, "end": all, "text": text, "content": text,
            "calls": [{"name": "look", "arguments": {"at": text}}], "failures": [],
            "observations": [{"text": "seen", "failed": reward == 0.0}],
        }],
        "segments": [{
            "tokens": tokens,
            "authors": column(json!("template"), json!("policy")),
            "parts": column(json!("context"), json!("answer")),
            "logprobs": column(json!(0.0), json!(-1.0)),
        }],
    })
}

fn lines(values: &[Value]) -> String {
    values.iter().map(|value| format!("{value}\n")).collect()
}

/// A run's folder of three episodes, and a viewer of it.
struct Served {
    folder: TempDir,
    port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a request came to.
struct Answered {
    status: u16,
    head: String,
    body: String,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Served {
    fn new() -> Self {
        Self::of(&[
            episode("a", 0, 0, 1.0, "Eins"),
            episode("a", 1, 0, 0.0, "<b>zwei</b>\u{202e}\u{1b}[31m"),
            episode("b", 0, 1, 0.5, "drei €"),
        ])
    }

    fn of(episodes: &[Value]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("config.toml"), "").expect("a file");
        fs::write(folder.path().join("episodes.jsonl"), lines(episodes)).expect("a file");
        let bytes = Box::new(|token: u32| vec![token as u8]);
        let viewer = Viewer::open(folder.path(), Some(bytes)).expect("a run");
        let listener = view::listen(Some(0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let serve = move || {
            let asked = || stopped.load(Ordering::Relaxed);
            viewer.serve(listener, asked).expect("it serves");
        };
        let served = Self {
            folder,
            port,
            stop,
            thread: Some(std::thread::spawn(serve)),
        };
        served.await_run(|run| run["complete"] == true && run["sources"] != json!([]));
        served
    }

    /// Sends a request as it is.
    fn raw(&self, request: &str) -> Answered {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut text = Vec::new();
        stream.read_to_end(&mut text).expect("it answers");
        let text = String::from_utf8(text).expect("it answers in UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
        Answered {
            status: status.unwrap_or_else(|| panic!("no status: {head}")),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    fn request(&self, method: &str, path: &str, headers: &str) -> Answered {
        let port = self.port;
        self.raw(&format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n{headers}\r\n"
        ))
    }

    fn get(&self, path: &str) -> Answered {
        self.request("GET", path, "")
    }

    /// The numbers of the episodes that a query lists.
    #[track_caller]
    fn listed(&self, query: &str) -> Vec<u64> {
        let answer = self.get(&format!("/api/episodes?{query}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        let episodes = answer.json()["episodes"].clone();
        let episodes = episodes.as_array().expect("a list").iter();
        episodes.filter_map(|row| row["number"].as_u64()).collect()
    }

    /// Waits until what is told of the run is so.
    #[track_caller]
    fn await_run(&self, is_so: impl Fn(&Value) -> bool) {
        for _ in 0..400 {
            if is_so(&self.get("/api/run").json()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("never so: {}", self.get("/api/run").body);
    }

    fn append(&self, text: &str) {
        let path = self.folder.path().join("episodes.jsonl");
        let file = fs::File::options().append(true).open(path);
        let mut file = file.expect("a file");
        file.write_all(text.as_bytes()).expect("a write");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.expect("a thread").expect("the viewer ends when told");
        }
    }
}

#[test]
fn only_this_machine_by_its_own_name_is_answered() {
    let served = Served::new();
    let port = served.port;
    let with_host = |host: &str| {
        let request = format!("GET /api/run HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
        served.raw(&request).status
    };
    assert_eq!(with_host(&format!("Host: localhost:{port}\r\n")), 200);
    for host in [
        String::new(),
        "Host: evil.example\r\n".into(),
        format!("Host: evil.example:{port}\r\n"),
        "Host: 127.0.0.1:1\r\n".into(),
        "Host: 127.0.0.1\r\n".into(),
        format!("Host: 127.0.0.1:{port}\r\nHost: evil.example\r\n"),
    ] {
        assert!([400, 403].contains(&with_host(&host)), "{host:?}");
    }
    let elsewhere = format!("http://evil.example:{port}/api/run");
    assert_eq!(served.get(&elsewhere).status, 403);
}

#[test]
fn no_other_sites_page_is_answered() {
    let served = Served::new();
    let with = |path: &str, header: &str| served.request("GET", path, header).status;
    let ours = format!("Origin: http://127.0.0.1:{}\r\n", served.port);
    assert_eq!(with("/api/run", &ours), 200);
    assert_eq!(with("/api/run", "Origin: http://evil.example\r\n"), 403);
    assert_eq!(with("/api/run", "Origin: null\r\n"), 403);
    let cross = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: ";
    assert_eq!(with("/api/run", &format!("{cross}no-cors\r\n")), 403);
    assert_eq!(with("/main.js", &format!("{cross}no-cors\r\n")), 403);
    let link = format!("{cross}navigate\r\n");
    assert_eq!(with("/?episode=1", &link), 200, "a link may lead here");
    assert_eq!(with("/api/run", &link), 403);
}

#[test]
fn nothing_can_be_written() {
    let served = Served::new();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        assert_eq!(
            served.request(method, "/api/run", "").status,
            405,
            "{method}"
        );
    }
    let head = served.request("HEAD", "/api/run", "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn every_answer_forbids_what_it_does_not_need() {
    let served = Served::new();
    for path in ["/", "/main.js", "/api/run", "/none"] {
        let head = served.get(path).head;
        assert!(
            head.contains("default-src 'none'; script-src 'self'"),
            "{head}"
        );
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        assert!(!head.contains("access-control-allow"), "{head}");
    }
}

#[test]
fn no_address_names_a_file() {
    let served = Served::new();
    for path in [
        "/../config.toml",
        "/config.toml",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc/passwd",
        "//etc/passwd",
        "/api/episode/..%2fconfig.toml",
        "/api/episode/../../config.toml",
        "/api/episode/-1",
        "/api/episode/99999999999999999999999",
        "/api/episode/3",
        "/api/episode/0?source=../config.toml",
        "/api/episode/0?source=%2Fetc%2Fpasswd",
        "/api/episodes?source=..%2F..%2Fetc",
        "/api/group/x",
    ] {
        assert_eq!(served.get(path).status, 404, "{path}");
    }
}

#[test]
fn a_list_is_filtered_sorted_and_cut_into_pages() {
    let served = Served::new();
    assert_eq!(served.listed(""), [0, 1, 2]);
    assert_eq!(served.listed("source=training"), [0, 1, 2]);
    assert_eq!(served.listed("reward-from=0.5"), [0, 2]);
    assert_eq!(served.listed("reward-from=0.1&reward-to=0.9"), [2]);
    assert_eq!(served.listed("stop=turn-limit"), [1]);
    assert_eq!(served.listed("step-from=1"), [2]);
    assert_eq!(served.listed("step-to=0&failed=true"), [1]);
    assert_eq!(served.listed("scenario=multi_hop"), [0; 0]);
    assert_eq!(served.listed("sort=worst"), [1, 2, 0]);
    assert_eq!(served.listed("sort=best"), [0, 2, 1]);
    assert_eq!(served.listed("sort=newest&after=1"), [1, 0]);
    assert_eq!(served.listed("after=9999999"), [0; 0]);
    let located = served.get("/api/episodes?sort=worst&locate=0").json();
    assert_eq!(located["position"], 2);
    for wrong in [
        "reward-from=much",
        "stop=never",
        "sort=upwards",
        "rewards=1",
    ] {
        let path = format!("/api/episodes?{wrong}");
        assert_eq!(served.get(&path).status, 400, "{wrong}");
    }
}

#[test]
fn words_are_found_in_tasks_and_in_turns() {
    let served = Served::new();
    assert_eq!(served.listed("text=eins"), [0], "case does not matter");
    assert_eq!(
        served.listed("text=EINS"),
        [0],
        "a search goes on where it was"
    );
    assert_eq!(served.listed("text=SEEN"), [0, 1, 2], "what tools said");
    assert_eq!(served.listed("text=%E2%82%AC"), [2]);
    assert_eq!(served.listed("text=seen&stop=turn-limit"), [1]);
    assert_eq!(served.listed("text=segments"), [0; 0], "no names of fields");
    let answer = served.get("/api/episodes?text=eins").json();
    assert_eq!(
        (&answer["searched"], &answer["known"]),
        (&json!(3), &json!(3))
    );
}

#[test]
fn an_episode_is_told_token_by_token() {
    let served = Served::new();
    let answer = served.get("/api/episode/2").json();
    let episode = &answer["episode"];
    assert_eq!(episode["seed"], u64::MAX.to_string());
    assert_eq!(episode["note"], Value::Null);
    let segment = &episode["segments"][0];
    let texts = ["Q", ":", "d", "r", "e", "i", " ", "", "", "€"];
    assert_eq!(segment["texts"], json!(texts));
    assert_eq!(segment["logprobs"][1], Value::Null, "it was not sampled");
    assert_eq!(segment["logprobs"][2], -1.0);
    assert_eq!(segment["advantages"][2], 0.0);
    assert_eq!(
        segment["lifts"][2], 0.75,
        "-0.25 under the trace, -1 without"
    );
    assert_eq!(episode["turns"][0]["calls"][0]["name"], "look");
}

#[test]
fn hostile_text_comes_as_it_is_and_only_as_data() {
    let served = Served::new();
    let answer = served.get("/api/episode/1");
    assert!(answer.head.contains("content-type: application/json"));
    let text = "<b>zwei</b>\u{202e}\u{1b}[31m";
    assert_eq!(answer.json()["episode"]["turns"][0]["text"], text);
}

#[test]
fn a_group_is_shown_with_the_experts_trace() {
    let served = Served::new();
    let trace = json!({
        "step": 0, "task": "a", "messages": [{"role": "user", "content": "Zähle."}],
        "trace": {"task": "a", "turns": [{"reasoning": "one", "calls": [
            {"name": "look", "arguments": {}}], "results": ["seen"]}], "answer": "Eins"},
    });
    let path = served.folder.path().join("traces.jsonl");
    fs::write(path, lines(&[trace])).expect("a file");
    let group = (0..400).find_map(|_| {
        std::thread::sleep(Duration::from_millis(25));
        let group = served.get("/api/group/1").json();
        (!group["trace"].is_null()).then_some(group)
    });
    let group = group.expect("the trace is found");
    let numbers = group["episodes"].as_array().expect("a list").iter();
    let numbers: Vec<_> = numbers.map(|row| row["number"].clone()).collect();
    assert_eq!(numbers, [json!(0), json!(1)]);
    assert_eq!(
        group["trace"]["turns"][0]["observations"][0]["text"],
        "seen"
    );
    assert_eq!(group["trace"]["turns"][1]["content"], "Eins");
    assert_eq!(group["messages"][0]["content"], "Zähle.");
    assert_eq!(served.get("/api/group/2").json()["trace"], Value::Null);
}

#[test]
fn a_run_that_goes_on_is_followed() {
    let served = Served::new();
    let line = lines(&[episode("c", 0, 2, 1.0, "vier")]);
    let (head, tail) = line.split_at(40);
    served.append(head);
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(served.listed(""), [0, 1, 2], "half a line is none");
    served.append(tail);
    served.await_run(|run| run["sources"][0]["episodes"] == 4);
    let evaluations = served.folder.path().join("evaluations");
    fs::create_dir(&evaluations).expect("a folder");
    let path = evaluations.join("step-000002-greedy.jsonl");
    fs::write(path, lines(&[episode("held-out", 0, 2, 1.0, "x")])).expect("a file");
    served.await_run(|run| run["sources"][1]["episodes"] == 1);
    assert_eq!(served.listed("source=step-000002-greedy"), [0]);
}

#[test]
fn a_step_that_was_skipped_is_listed_with_its_reason_and_read_as_any_other() {
    let served = Served::new();
    let skipped = served.folder.path().join("skipped");
    fs::create_dir(&skipped).expect("a folder");
    let top = json!({"step": 7, "tasks": ["c"], "refused": [
        {"what": "loss", "grad-norm": 2.5, "losses": [{"task": "c", "sample": 1}]},
    ]});
    let episodes = [
        episode("c", 0, 7, 1.0, "vier"),
        episode("c", 1, 7, 0.0, "fünf"),
    ];
    let file = |step: u64| skipped.join(format!("step-{step:06}.jsonl"));
    fs::write(file(7), format!("{top}\n{}", lines(&episodes))).expect("a file");
    fs::write(file(8), lines(&episodes[..1])).expect("a file");
    served.await_run(|run| run["sources"][2]["episodes"] == 1);

    let run = served.get("/api/run").json();
    let source = &run["sources"][1];
    assert_eq!(source["name"], "step-000007-skipped");
    assert_eq!(
        (&source["episodes"], &source["broken"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(
        source["reason"],
        "  the loss was not finite, the gradient's norm 2.500e0\n    the loss of task c, sample 1\n"
    );
    assert_eq!(run["sources"][0]["reason"], Value::Null);
    assert_eq!(served.listed("source=step-000007-skipped"), [0, 1]);
    let answer = served
        .get("/api/episode/1?source=step-000007-skipped")
        .json();
    assert_eq!(answer["episode"]["turns"][0]["text"], "fünf");

    // A file without its reason has its episodes still.
    assert_eq!(run["sources"][2]["reason"], Value::Null);
    assert_eq!(served.listed("source=step-000008-skipped"), [0]);

    // Done again after a resume, and skipped for another reason.
    let other = json!({"step": 7, "tasks": ["c"], "refused": [{"what": "gradient"}]});
    let anew = skipped.join("anew");
    fs::write(&anew, format!("{other}\n")).expect("a file");
    fs::rename(anew, file(7)).expect("a rename");
    served.await_run(|run| run["sources"][1]["reason"] == "  the gradient was not finite\n");
    assert_eq!(served.listed("source=step-000007-skipped"), [0; 0]);
}

#[test]
fn a_run_taken_back_by_a_resume_is_read_anew() {
    let served = Served::new();
    let path = served.folder.path().join("episodes.jsonl");
    let kept = served.folder.path().join("kept");
    fs::write(&kept, lines(&[episode("a", 0, 0, 1.0, "Eins")])).expect("a file");
    fs::rename(kept, path).expect("a rename");
    served.await_run(|run| run["sources"][0]["episodes"] == 1);
    assert_eq!(served.listed("text=drei"), [0; 0]);
}

#[test]
fn broken_lines_are_counted_named_and_passed_over() {
    let served = Served::new();
    let fine = lines(&[episode("d", 0, 3, 1.0, "fünf")]);
    served.append(&format!("{{\"step\": 2,\n\u{0}\n{fine}"));
    served.await_run(|run| run["sources"][0]["episodes"] == 4);
    let run = served.get("/api/run").json();
    assert_eq!(run["sources"][0]["broken"], 2);
    assert_eq!(run["sources"][0]["broken_lines"][0][0], 4);
    assert_eq!(served.get("/api/episode/3").json()["episode"]["task"], "d");
}

#[test]
fn tokens_that_do_not_fit_are_said_not_to() {
    let mut wrong = episode("a", 0, 0, 1.0, "Eins");
    wrong["turns"][0]["text"] = json!("Zwei");
    let mut outside = episode("a", 1, 0, 1.0, "Eins");
    outside["turns"][0]["end"] = json!(u32::MAX);
    let mut short = episode("a", 2, 0, 1.0, "Eins");
    short["segments"][0]["logprobs"] = json!([0.0]);
    let served = Served::of(&[wrong, outside, short]);
    let note = |number: usize| {
        let answer = served.get(&format!("/api/episode/{number}")).json();
        answer["episode"]["note"].as_str().unwrap_or("").to_owned()
    };
    assert!(note(0).contains("do not spell its text"), "{}", note(0));
    assert!(
        note(1).contains("turn 1 lies outside its segment"),
        "{}",
        note(1)
    );
    assert!(note(2).contains("segment 1 has 6 tokens"), "{}", note(2));
}

#[test]
fn what_is_no_run_of_ours_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = |path: &Path| Viewer::open(path, None).map(|_| ());
    let nothing = open(&folder.path().join("none")).expect_err("it is not there");
    assert!(matches!(nothing, ViewError::NotARun { .. }), "{nothing}");
    assert!(open(folder.path()).is_err(), "an empty folder is no run");
    fs::write(folder.path().join("config.toml"), "").expect("a file");
    open(folder.path()).expect("a run that has not begun");
    fs::write(folder.path().join("run.json"), "{\"form").expect("a file");
    open(folder.path()).expect("a run that is half copied");
    fs::write(folder.path().join("run.json"), "{\"format\": 9}").expect("a file");
    let newer = open(folder.path()).expect_err("nobody knows it yet");
    assert!(newer.to_string().contains("has format 9"), "{newer}");
}

#[test]
fn a_port_in_use_is_said_with_the_way_out() {
    let taken = view::listen(Some(0)).expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let error = view::listen(Some(port)).expect_err("somebody listens there");
    assert!(
        error.to_string().contains(&format!("port {port}")),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("hint: choose another with `--port N`")
    );
    assert!(
        view::listen(None).is_ok(),
        "without a port a free one is found"
    );
}
