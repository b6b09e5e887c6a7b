//! One file from a host to the disk, in bounded time.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo, RepoType};
use ureq::Agent;

use super::Hubs;

/// No file here is so large that an hour is not enough for it.
const LONGEST: Duration = Duration::from_secs(3600);
/// A host that is there answers sooner.
const ANSWER: Duration = Duration::from_secs(60);

/// Copies a data set's file from Hugging Face's hub, by way of its cache.
pub(super) fn from_hugging_face(
    repository: &str,
    path: &str,
    to: &Path,
    hubs: &Hubs,
) -> Result<(), String> {
    let (send, receive) = channel();
    let (hubs, file) = (hubs.clone(), path.to_owned());
    let repository = Repo::new(repository.to_owned(), RepoType::Dataset);
    // The hub's client waits as long as the hub does.
    thread::spawn(move || send.send(cached(&hubs, repository, &file)));
    let cached = receive.recv_timeout(LONGEST);
    let cached = cached.map_err(|_| format!("not there after {} seconds", LONGEST.as_secs()))??;
    fs::copy(&cached, to).map_err(|error| format!("`{}`: {error}", cached.display()))?;
    Ok(())
}

fn cached(hubs: &Hubs, repository: Repo, path: &str) -> Result<PathBuf, String> {
    let mut api = ApiBuilder::from_cache(Cache::new(hubs.cache.clone()))
        .with_endpoint(hubs.hugging_face.trim_end_matches('/').to_owned())
        .with_progress(false);
    // Without one, a token that its own tools keep beside the cache is taken.
    if hubs.token.is_some() {
        api = api.with_token(hubs.token.clone());
    }
    let api = api.build().map_err(|error| error.to_string())?;
    let file = api.repo(repository).get(path);
    file.map_err(|error| error.to_string())
}

/// Copies a file from GitHub. A file that is kept elsewhere, and only named there, is none.
pub(super) fn from_github(url: &str, to: &Path) -> Result<(), String> {
    let config = Agent::config_builder()
        .timeout_global(Some(LONGEST))
        .timeout_connect(Some(ANSWER))
        .timeout_recv_response(Some(ANSWER));
    let agent: Agent = config.build().into();
    let mut response = agent.get(url).call().map_err(|error| error.to_string())?;
    let mut body = response.body_mut().with_config().limit(u64::MAX).reader();
    let mut file = File::create(to).map_err(|error| error.to_string())?;
    let length = io::copy(&mut body, &mut file).map_err(|error| error.to_string())?;
    if length < 1024 && fs::read(to).is_ok_and(|text| text.starts_with(LARGE_FILE)) {
        return Err("only a pointer to a file that Git LFS keeps elsewhere".to_owned());
    }
    Ok(())
}

const LARGE_FILE: &[u8] = b"version https://git-lfs.github.com/spec/";
