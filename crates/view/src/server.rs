//! Requests in, JSON out. Reads the index and the files that it knows; no part of an address
//! ever becomes a path.

use std::sync::{Arc, Mutex, RwLock};

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query as FromQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::assets::ASSETS;
use crate::guard::guard;
use crate::index::{Index, Place, Row, Source, read};
use crate::query::{PAGE, Query};
use crate::reading::{Reading, Recorded, TokenBytes, Traced};
use crate::search::Searches;

/// How many episodes of a group are shown side by side.
const GROUP: usize = 64;

/// What all requests read.
pub(crate) struct Shelf {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) index: RwLock<Index>,
    pub(crate) searches: Mutex<Searches>,
    pub(crate) bytes: Option<TokenBytes>,
}

type Answer = Result<Json<Value>, Refused>;

/// Why a request has no answer.
pub(crate) struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

fn not_found(what: impl Into<String>) -> Refused {
    Refused(StatusCode::NOT_FOUND, what.into())
}

fn unreadable(error: impl std::fmt::Display) -> Refused {
    Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

impl From<QueryRejection> for Refused {
    fn from(rejection: QueryRejection) -> Self {
        Self(StatusCode::BAD_REQUEST, rejection.body_text())
    }
}

impl From<PathRejection> for Refused {
    fn from(_: PathRejection) -> Self {
        not_found("episodes are numbers, from 0")
    }
}

/// The whole of the page and its data, for a server at `port`.
pub(crate) fn router(shelf: Arc<Shelf>, port: u16) -> Router {
    let mut router = Router::new()
        .route("/api/run", get(run))
        .route("/api/episodes", get(episodes))
        .route("/api/episode/{number}", get(episode))
        .route("/api/group/{number}", get(group))
        .fallback(|| async { not_found("there is nothing here") });
    for (path, kind, text) in ASSETS {
        router = router.route(
            path,
            get(move || async move { ([(header::CONTENT_TYPE, kind)], text) }),
        );
    }
    router
        .with_state(shelf)
        .layer(middleware::from_fn_with_state(port, guard))
}

/// Files are read beside the server's own thread: a slow disk holds up nobody else.
async fn beside(work: impl FnOnce() -> Answer + Send + 'static) -> Answer {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(error) => Err(unreadable(error)),
    }
}

async fn run(State(shelf): State<Arc<Shelf>>) -> Answer {
    beside(move || Ok(Json(shelf.facts()))).await
}

async fn episodes(
    State(shelf): State<Arc<Shelf>>,
    query: Result<FromQuery<Query>, QueryRejection>,
) -> Answer {
    let FromQuery(query) = query?;
    beside(move || shelf.list(&query)).await
}

/// Which source a number counts in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Of {
    source: Option<String>,
}

async fn episode(
    State(shelf): State<Arc<Shelf>>,
    number: Result<Path<usize>, PathRejection>,
    of: Result<FromQuery<Of>, QueryRejection>,
) -> Answer {
    let (Path(number), FromQuery(of)) = (number?, of?);
    beside(move || shelf.episode(of.source.as_deref(), number)).await
}

async fn group(
    State(shelf): State<Arc<Shelf>>,
    number: Result<Path<usize>, PathRejection>,
    of: Result<FromQuery<Of>, QueryRejection>,
) -> Answer {
    let (Path(number), FromQuery(of)) = (number?, of?);
    beside(move || shelf.group(of.source.as_deref(), number)).await
}

/// A row of the list.
#[derive(Serialize)]
struct Listed<'a> {
    number: usize,
    step: Option<u64>,
    task: &'a str,
    scenario: &'a str,
    sample: usize,
    reward: f64,
    stop: episode::StopReason,
    turns: u32,
    calls: u32,
    failures: u32,
    sampled_tokens: u64,
    anchored: Option<bool>,
}

impl<'a> Listed<'a> {
    fn of(number: usize, row: &'a Row) -> Self {
        Self {
            number,
            step: row.step,
            task: &row.task,
            scenario: &row.scenario,
            sample: row.sample,
            reward: row.reward,
            stop: row.stop,
            turns: row.turns,
            calls: row.calls,
            failures: row.failures,
            sampled_tokens: row.sampled_tokens,
            anchored: row.anchored,
        }
    }
}

fn source<'a>(index: &'a Index, name: Option<&str>) -> Result<&'a Source, Refused> {
    match name {
        Some(name) => index.source(name),
        None => index.sources.first(),
    }
    .ok_or_else(|| match name {
        Some(name) => not_found(format!("this run has no episodes called {name:?}")),
        None => not_found("this run has no episodes yet"),
    })
}

fn row(source: &Source, number: usize) -> Result<&Row, Refused> {
    source.rows.get(number).ok_or_else(|| {
        let known = source.rows.len();
        not_found(format!(
            "there is no episode {number} in {:?}: {known} are known, numbered from 0",
            source.name
        ))
    })
}

impl Shelf {
    /// What the run is, what it is doing, and how far its episodes are known.
    fn facts(&self) -> Value {
        // Both files may be missing, and may be of an older or a later pact: what can be read is.
        let status = self.json("status.json");
        let status = status.and_then(|it| serde_json::from_value::<episode::Status>(it).ok());
        let index = read(&self.index);
        let sources: Vec<_> = index
            .sources
            .iter()
            .map(|source| {
                json!({
                    "name": source.name,
                    "episodes": source.rows.len(),
                    "first_step": source.rows.first().and_then(|row| row.step),
                    "last_step": source.rows.last().and_then(|row| row.step),
                    "read": source.read,
                    "size": source.size,
                    "broken": source.broken,
                    "broken_lines": source.broken_lines,
                    "trouble": source.trouble,
                    "reason": source.reason,
                })
            })
            .collect();
        json!({
            "name": self.name,
            "run": self.json("run.json"),
            "status": status,
            "sources": sources,
            "scenarios": index.scenarios.iter().map(|it| &**it).collect::<Vec<_>>(),
            "stops": index.stops,
            "complete": index.complete,
            "tokens": self.bytes.is_some(),
        })
    }

    fn json(&self, name: &str) -> Option<Value> {
        let text = std::fs::read(self.place.file(name)?).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn list(&self, query: &Query) -> Answer {
        let text = query.text.as_deref().filter(|text| !text.is_empty());
        let search = match text {
            Some(text) => Some(self.search(query.source.as_deref(), text)?),
            None => None,
        };
        let index = read(&self.index);
        let source = source(&index, query.source.as_deref())?;
        let hits = search.as_ref().map(|search| search.hits.as_slice());
        let numbers = query.select(&source.rows, hits);
        let page = numbers.iter().skip(query.after).take(PAGE);
        let page: Vec<_> = page
            .map(|&number| Listed::of(number, &source.rows[number]))
            .collect();
        let searched = search.map_or(source.rows.len(), |search| search.searched);
        Ok(Json(json!({
            "source": source.name,
            "total": numbers.len(),
            "known": source.rows.len(),
            "searched": searched,
            "position": query.locate.and_then(|it| numbers.iter().position(|&number| number == it)),
            "episodes": page,
        })))
    }

    /// A search, gone on with by a stretch.
    fn search(&self, name: Option<&str>, text: &str) -> Result<crate::search::Search, Refused> {
        let searches = || self.searches.lock().unwrap_or_else(|it| it.into_inner());
        let (mut search, stretch, path) = {
            let index = read(&self.index);
            let source = source(&index, name)?;
            let search = searches().take(source, text);
            let stretch = search.stretch(source);
            (search, stretch, source.path.clone())
        };
        search.read(stretch, &path).map_err(unreadable)?;
        searches().keep(search.clone());
        Ok(search)
    }

    fn episode(&self, name: Option<&str>, number: usize) -> Answer {
        let (span, path, task, source_name) = {
            let index = read(&self.index);
            let source = source(&index, name)?;
            let row = row(source, number)?;
            (
                row.span,
                source.path.clone(),
                row.task.clone(),
                source.name.clone(),
            )
        };
        let line = span.read(&path).map_err(unreadable)?;
        let recorded = Recorded::parse(&line)
            .map_err(|error| unreadable(format!("this line is no whole episode: {error}")))?;
        let reading = Reading::of(recorded, self.bytes.as_ref());
        let messages = self.traced(&task).map(|traced| traced.shown().0);
        Ok(Json(json!({
            "source": source_name,
            "number": number,
            "episode": reading,
            "messages": messages,
        })))
    }

    /// The episodes of the same task and step, and how an expert did it.
    fn group(&self, name: Option<&str>, number: usize) -> Answer {
        let index = read(&self.index);
        let source = source(&index, name)?;
        let row = row(source, number)?;
        let same = |it: &&Row| it.task == row.task && it.step == row.step;
        let rows = source.rows.iter().enumerate();
        let siblings: Vec<_> = rows.filter(|(_, row)| same(row)).collect();
        let shown: Vec<_> = (siblings.iter().take(GROUP))
            .map(|&(number, row)| Listed::of(number, row))
            .collect();
        let answer = json!({
            "task": &*row.task,
            "step": row.step,
            "episodes": shown,
            "total": siblings.len(),
        });
        let task = row.task.clone();
        drop(index);
        let Value::Object(mut answer) = answer else {
            unreachable!("it was written as an object");
        };
        let (messages, trace) = self.traced(&task).map(Traced::shown).unzip();
        answer.insert("messages".into(), json!(messages));
        answer.insert("trace".into(), json!(trace));
        Ok(Json(Value::Object(answer)))
    }

    /// Every answer that there is, to nobody.
    pub(crate) fn answer_all(&self) {
        let _ = self.facts();
        let sources: Vec<(String, usize)> = (read(&self.index).sources.iter())
            .map(|source| (source.name.clone(), source.rows.len()))
            .collect();
        for (name, episodes) in sources {
            let query = Query {
                source: Some(name.clone()),
                text: Some("a".to_owned()),
                ..Query::default()
            };
            let _ = self.list(&query);
            for number in 0..episodes {
                let _ = self.episode(Some(&name), number);
                let _ = self.group(Some(&name), number);
            }
        }
    }

    fn traced(&self, task: &str) -> Option<Traced> {
        let span = *read(&self.index).traces.get(task)?;
        let line = span.read(&self.place.file("traces.jsonl")?).ok()?;
        serde_json::from_slice(&line).ok()
    }
}
