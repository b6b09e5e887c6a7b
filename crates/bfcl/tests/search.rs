//! The search engines, held to servers, files and folders of this test's own.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bfcl::search::{
    Engine, Hit, Query, Recorded, SearchEngine, SearchOptions, SerpApi, SerpApiOptions,
};

/// A server that answers each path as it is told, and remembers what was asked.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// `answer` takes the number of the request, from 0, and its path.
    fn start(answer: impl Fn(usize, &str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let path = path_of(&stream);
                let number = log.lock().unwrap().len();
                log.lock().unwrap().push(path.clone());
                let answer = answer(number, &path);
                // A client that has left is not the server's affair.
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn path_of(stream: &TcpStream) -> String {
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let first = lines.next().unwrap_or_default();
    let _ = lines.find(String::is_empty);
    first.split(' ').nth(1).unwrap_or_default().to_owned()
}

fn response(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn redirect(to: &str) -> String {
    format!(
        "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
}

/// The live engine, whose service is `url`.
fn serpapi(url: &str) -> SerpApi {
    SerpApi::new(SerpApiOptions {
        url: format!("{url}/search"),
        first_wait: Duration::from_millis(1),
        page_timeout: Duration::from_millis(400),
        private_pages: true,
        ..SerpApiOptions::new("a key")
    })
}

fn query(keywords: &str) -> Query {
    Query {
        keywords: keywords.to_owned(),
        region: "wt-wt".to_owned(),
    }
}

fn hit(title: &str, href: &str, body: Option<&str>) -> Hit {
    Hit {
        title: Some(title.to_owned()),
        href: Some(href.to_owned()),
        body: body.map(str::to_owned),
    }
}

const RESULTS: &str = r#"{"organic_results":[
    {"position":1,"title":"Tea","link":"https://tea.example","snippet":"Da Hong Pao"},
    {"position":2,"title":"Bare","link":"https://bare.example"}]}"#;

#[test]
fn a_search_asks_the_service_as_its_authors_do() {
    let server = Server::start(|_, _| response("200 OK", RESULTS));
    let hits = serpapi(&server.url)
        .search(&query("most expensive tea?"))
        .unwrap();
    let expected = [
        hit("Tea", "https://tea.example", Some("Da Hong Pao")),
        hit("Bare", "https://bare.example", None),
    ];
    assert_eq!(hits, expected);
    let asked = "/search?engine=duckduckgo&q=most%20expensive%20tea%3F&kl=wt-wt&api_key=a%20key";
    assert_eq!(server.asked(), [asked]);
}

#[test]
fn a_search_that_is_asked_for_patience_waits_and_asks_again() {
    let server = Server::start(|number, _| match number {
        0 => response("429 Too Many Requests", "{}"),
        1 => response("200 OK", r#"{"error":"429 Too many searches"}"#),
        _ => response("200 OK", RESULTS),
    });
    assert_eq!(serpapi(&server.url).search(&query("tea")).unwrap().len(), 2);
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn a_service_that_only_asks_for_patience_is_left_alone_in_the_end() {
    let server = Server::start(|_, _| response("429 Too Many Requests", "{}"));
    let text = serpapi(&server.url).search(&query("tea")).unwrap_err();
    assert!(text.contains("429"), "{text}");
    assert_eq!(server.asked().len(), 8);
}

#[test]
fn a_service_that_fails_gives_a_text_without_the_key() {
    let check = |answer: String, expected: &str| {
        let server = Server::start(move |_, _| answer.clone());
        let text = serpapi(&server.url).search(&query("tea")).unwrap_err();
        assert!(text.contains(expected), "{text}");
    };
    let nothing = "Failed to retrieve the search results from server. Please try again later.";
    check(
        response("200 OK", r#"{"error":"Invalid API key"}"#),
        nothing,
    );
    check(response("401 Unauthorized", "{}"), nothing);
    check(response("200 OK", "<html>"), "expected value");

    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let text = serpapi(&url).search(&query("tea")).unwrap_err();
    assert!(
        !text.contains("a key") && !text.contains("a%20key"),
        "{text}"
    );
}

#[test]
fn a_page_is_fetched_through_its_redirects() {
    let server = Server::start(|_, path| match path {
        "/moved" => redirect("/tea"),
        "/tea" => response("200 OK", "<p>Oolong</p>"),
        "/round" => redirect("/round"),
        "/gone" => response("404 Not Found", "nothing here"),
        "/broken" => response("503 Service Unavailable", ""),
        _ => {
            thread::sleep(Duration::from_secs(1));
            response("200 OK", "late")
        }
    });
    let engine = serpapi(&server.url);
    let fetch = |path: &str| engine.fetch(&format!("{}{path}", server.url));
    assert_eq!(fetch("/moved").unwrap(), "<p>Oolong</p>");
    assert_eq!(fetch("/round").unwrap_err(), "Exceeded 10 redirects.");
    let url = &server.url;
    assert_eq!(
        fetch("/gone").unwrap_err(),
        format!("404 Client Error: Not Found for url: {url}/gone")
    );
    assert_eq!(
        fetch("/broken").unwrap_err(),
        format!("503 Server Error: Service Unavailable for url: {url}/broken")
    );
    assert!(fetch("/slow").unwrap_err().starts_with("Read timed out."));
}

#[test]
fn a_page_without_end_is_refused() {
    let server = Server::start(|_, _| response("200 OK", &"x".repeat((16 << 20) + 1)));
    let engine = SerpApi::new(SerpApiOptions {
        private_pages: true,
        ..SerpApiOptions::new("a key")
    });
    let text = engine.fetch(&server.url).unwrap_err();
    assert_eq!(text, "The page exceeds 16777216 bytes.");
}

#[test]
fn pages_of_this_machine_are_out_of_reach() {
    let server = Server::start(|_, _| response("200 OK", "secret"));
    let engine = SerpApi::new(SerpApiOptions::new("a key"));
    let text = engine.fetch(&server.url).unwrap_err();
    assert!(text.contains("the address is private"), "{text}");
    assert_eq!(server.asked(), [] as [String; 0]);
}

#[test]
fn what_is_recorded_is_not_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answers.jsonl");
    let server = Server::start(|number, path| match (path, number) {
        ("/page", 1) => response("500 Internal Server Error", ""),
        ("/page", _) => response("200 OK", "a page"),
        _ => response("200 OK", RESULTS),
    });
    let url = format!("{}/page", server.url);
    let tea = query("tea");

    let live = Recorded::over(Box::new(serpapi(&server.url)), &file).unwrap();
    let hits = live.search(&tea).unwrap();
    assert!(live.fetch(&url).is_err());
    assert_eq!(
        live.fetch(&url).unwrap(),
        "a page",
        "a failure is asked again"
    );
    assert_eq!(live.search(&tea).unwrap(), hits);
    assert_eq!(server.asked().len(), 3);

    let again = Recorded::over(Box::new(serpapi("http://127.0.0.1:1")), &file).unwrap();
    assert_eq!(
        again.search(&tea).unwrap(),
        hits,
        "a later run asks nobody either"
    );

    let replay = Recorded::open(&file).unwrap();
    assert_eq!(replay.search(&tea).unwrap(), hits);
    assert_eq!(replay.fetch(&url).unwrap(), "a page");
    let unknown = "No answer is recorded for this request.";
    assert_eq!(replay.search(&query("coffee")).unwrap_err(), unknown);
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn a_recording_that_cannot_be_read_is_an_error_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answers.jsonl");
    let good = r#"{"fetch":{"url":"http://a.example","answer":{"Ok":"a"}}}"#;
    fs::write(&file, format!("{good}\n{{\"fetch\":{{}}}}\n")).unwrap();
    let error = Recorded::open(&file).err().unwrap().to_string();
    assert!(
        error.contains("answers.jsonl`, line 2: missing field"),
        "{error}"
    );
    let missing = Recorded::open(&folder.path().join("none.jsonl"))
        .err()
        .unwrap();
    assert!(missing.to_string().contains("none.jsonl"), "{missing}");
}

#[test]
fn options_say_which_engine_answers() {
    let error = SearchOptions::default().open().err().unwrap().to_string();
    assert!(error.contains("hint: set SERPAPI_API_KEY"), "{error}");
    let with_key = SearchOptions {
        key: Some("a key".to_owned()),
        ..SearchOptions::default()
    };
    assert!(with_key.open().is_ok());
    let read = |text: &str| serde_json::from_str::<SearchOptions>(text);
    let recorded = read(r#"{"engine":{"recorded":"answers.jsonl"}}"#).unwrap();
    assert_eq!(recorded.engine, Engine::Recorded("answers.jsonl".into()));
    assert!(
        read(r#"{"key":"secret"}"#).is_err(),
        "no key belongs in a config"
    );
    let written = serde_json::to_string(&with_key).unwrap();
    assert!(!written.contains("a key"), "{written}");
}

#[cfg(feature = "search")]
mod documents {
    use super::*;
    use bfcl::search::DocumentFolder;

    const WUYI: &str = "# Wuyi tea\n\nDa Hong Pao is an oolong tea grown in the Wuyi Mountains.\n";
    const COFFEE: &str = "<html><head><title>Coffee</title><script>let tea = 1;</script></head>\
        <body><p>Coffee is roasted; it is not tea.</p></body></html>";

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("hot")).unwrap();
        fs::write(folder.path().join("hot/wuyi.md"), WUYI).unwrap();
        fs::write(folder.path().join("coffee.html"), COFFEE).unwrap();
        fs::write(folder.path().join("photo.jpg"), "oolong").unwrap();
        folder
    }

    #[test]
    fn a_folder_is_searched_by_what_its_documents_say() {
        let folder = folder();
        let engine = DocumentFolder::open(folder.path()).unwrap();
        let hits = engine.search(&query("oolong mountains")).unwrap();
        assert_eq!(hits.len(), 1, "{hits:?}");
        assert_eq!(hits[0].title.as_deref(), Some("Wuyi tea"));
        assert_eq!(hits[0].href.as_deref(), Some("file:///hot/wuyi.md"));
        let snippet = hits[0].body.as_deref().unwrap();
        assert!(snippet.contains("oolong"), "{snippet}");

        let both = engine.search(&query("tea")).unwrap();
        let titles: Vec<_> = both.iter().map(|it| it.title.as_deref().unwrap()).collect();
        assert_eq!(
            titles,
            ["Wuyi tea", "Coffee"],
            "more often named comes first"
        );
        assert_eq!(engine.search(&query("tea")).unwrap(), both);
        assert_eq!(engine.search(&query("zzz")).unwrap(), []);
        assert!(
            engine.search(&query("AND (\"tea :^~[")).is_ok(),
            "no query is wrong"
        );
    }

    #[test]
    fn only_the_folders_documents_can_be_fetched() {
        let folder = folder();
        let engine = DocumentFolder::open(folder.path()).unwrap();
        assert_eq!(engine.fetch("file:///hot/wuyi.md").unwrap(), WUYI);
        assert_eq!(engine.fetch("file:///coffee.html").unwrap(), COFFEE);
        for outside in [
            "file:///photo.jpg",
            "file:///../coffee.html",
            "file:///etc/passwd",
        ] {
            assert_eq!(engine.fetch(outside).unwrap_err(), "No such document.");
        }
    }

    #[test]
    fn a_folder_without_documents_is_refused() {
        let empty = tempfile::tempdir().unwrap();
        let options = SearchOptions {
            engine: Engine::Folder(empty.path().to_owned()),
            ..SearchOptions::default()
        };
        let error = options.open().err().unwrap().to_string();
        assert!(error.contains("holds no document\nhint:"), "{error}");
    }
}

#[cfg(not(feature = "search"))]
#[test]
fn a_build_without_local_search_says_so() {
    let options = SearchOptions {
        engine: Engine::Folder("docs".into()),
        ..SearchOptions::default()
    };
    let error = options.open().err().unwrap().to_string();
    assert!(
        error.contains("hint: build it with `--features search`"),
        "{error}"
    );
}
