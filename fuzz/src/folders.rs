//! Readers of a run folder: one file of it, all of them, and what a run goes on from.

use std::io;
use std::path::Path;
use std::sync::Arc;

use episode::{EvaluationMode, RunRecord, Status};
use live::{Moment, RunState, View};
use report::{Follower, PageRun, RunFolder, Tensorboard, csv, episode_rows, run_summary};
use store::{Disk, Operation, RealDisk};
use train::Checkpoint;
use view::Viewer;

use crate::choice;
use crate::files::with_files;

/// A file of a run folder; the first byte chooses which.
pub fn runs(bytes: &[u8]) {
    const FILES: [&str; 6] = [
        "config.toml",
        "run.json",
        "metrics.jsonl",
        "episodes.jsonl",
        "evaluations.jsonl",
        "status.json",
    ];
    let Some((file, bytes)) = choice(bytes) else {
        return;
    };
    let name = FILES[usize::from(file) % FILES.len()];
    let config = ("config.toml", &b""[..]);
    let file = (name, bytes);
    let both = [config, file];
    let files = if name == config.0 { &both[1..] } else { &both };
    with_files(files, |folder| {
        // A run of a later form is refused.
        let Ok(run) = RunFolder::open(folder) else {
            return;
        };
        let _ = run.record();
        let _ = run.config();
        let _ = run.metrics();
        let _ = run.evaluations();
        if let Ok(episodes) = run.episodes() {
            for recorded in episodes.flatten() {
                let _ = report::episode_text(&recorded.episode, &|_| String::new(), false);
            }
        }
        let _ = run_summary(folder);
        if let Ok(rows) = episode_rows(&run) {
            let _ = csv(&rows);
        }
        let _ = Follower::of_end(&folder.join(name), 100).poll();
        let _ = serde_json::from_slice::<Status>(bytes);
    });
}

/// The files of a run folder in this order, parted by zero bytes, as they are shown by whom the
/// first byte chooses: its page, its picture in a terminal, its viewer, or the commands that print
/// a part of it.
pub fn folders(bytes: &[u8]) {
    const FILES: [&str; 10] = [
        "config.toml",
        "metrics.jsonl",
        "episodes.jsonl",
        "evaluations.jsonl",
        "evaluations/step-000000-greedy.jsonl",
        SKIPPED,
        "traces.jsonl",
        "log.jsonl",
        "status.json",
        "run.json",
    ];
    const READERS: [fn(&Path); 4] = [page, picture, viewer, printed];
    let Some((reader, bytes)) = choice(bytes) else {
        return;
    };
    let parts = bytes.splitn(FILES.len(), |&byte| byte == 0);
    let files: Vec<(&str, &[u8])> = FILES.into_iter().zip(parts).collect();
    with_files(&files, READERS[usize::from(reader) % READERS.len()]);
}

const SKIPPED: &str = "skipped/step-000001.jsonl";

fn printed(folder: &Path) {
    let _ = report::skipped_text(&folder.join(SKIPPED));
    let Ok(run) = RunFolder::open(folder) else {
        return;
    };
    for mode in [EvaluationMode::Greedy, EvaluationMode::Sampled] {
        let _ = run.evaluated_episodes(0, mode).map(Iterator::count);
    }
    for recorded in run.episodes().into_iter().flatten().flatten() {
        let _ = report::episode_text(&recorded.episode, &text_of, true);
    }
    let _ = Tensorboard::begin(&folder.join("tensorboard"), folder, 0, 1e9)
        .and_then(|mut board| board.follow(1e9));
}

fn viewer(folder: &Path) {
    if let Ok(viewer) = Viewer::open(folder, Some(Box::new(bytes_of))) {
        viewer.read_whole();
    }
}

fn page(folder: &Path) {
    let run = PageRun {
        name: None,
        folder: folder.to_owned(),
        decode: Some(Box::new(text_of)),
    };
    if let Ok(page) = report::Page::read(&[run], &toml::Table::new()) {
        let _ = (page.to_html(), page.to_markdown(), page.to_json());
    }
}

fn picture(folder: &Path) {
    let Ok(run) = RunState::open(folder) else {
        return;
    };
    let moment = Moment {
        now: 1e9,
        is_here: false,
        decode: Some(&text_of),
        notice: None,
        colour: true,
        keys: &[],
    };
    let mut view = View::default();
    for shown in [live::Page::Run, live::Page::Episode] {
        view.page = shown;
        let _ = live::page(&run, &mut view, &moment, 80, 24);
        view.older();
    }
}

/// A token is a byte here.
fn bytes_of(token: u32) -> Vec<u8> {
    vec![token as u8]
}

fn text_of(tokens: &[u32]) -> String {
    let bytes: Vec<u8> = tokens.iter().copied().flat_map(bytes_of).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a run goes on from, parted by zero bytes: a checkpoint's `state.json` and
/// `manifest.json`, the run's record, metrics and traces, and at the end, where zeros part
/// nothing, the optimiser's moments.
pub fn checkpoints(bytes: &[u8]) {
    const FILES: [&str; 6] = [
        "checkpoints/step-000001/state.json",
        "checkpoints/step-000001/manifest.json",
        "run.json",
        "metrics.jsonl",
        "traces.jsonl",
        "checkpoints/step-000001/optimizer.safetensors",
    ];
    let parts = bytes.splitn(FILES.len(), |&byte| byte == 0);
    let mut files: Vec<(&str, &[u8])> = FILES.into_iter().zip(parts).collect();
    files.push(("config.toml", b""));
    with_files(&files, |folder| {
        let _ = Checkpoint::newest(folder);
        let latest = Checkpoint::latest(folder).ok();
        let checkpoint = latest.and_then(|latest| latest.checkpoint);
        if let Some(checkpoint) = &checkpoint {
            let _ = checkpoint.optimizer();
        }
        if let Ok(mut run) = train::RunFolder::open(Arc::new(Unsynced), folder) {
            let _ = run.run_record();
            let _ = run.go_on("", &RunRecord::default(), checkpoint.as_ref());
            let _ = run.evaluations();
        }
    });
}

/// The file system without its waits for the platter.
struct Unsynced;

impl Disk for Unsynced {
    fn perform(&self, operation: Operation<'_>) -> io::Result<()> {
        use Operation::{SyncFile, SyncFolder, SyncTree};
        match operation {
            SyncFile(_) | SyncFolder(_) | SyncTree(_) => Ok(()),
            other => RealDisk.perform(other),
        }
    }
}
