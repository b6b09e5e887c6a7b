//! The help pages: what they say, and that their examples run.

use super::study::STUDY;
use super::{Place, QUICK, pact};

const PAGES: [&str; 29] = [
    "",
    "data",
    "data make",
    "data make world",
    "data check",
    "data convert",
    "data fetch",
    "model",
    "model init",
    "model info",
    "trace",
    "trace build",
    "trace check",
    "trace show",
    "config",
    "config default",
    "config show",
    "config check",
    "config explain",
    "eval",
    "rollout",
    "bench",
    "bench train",
    "bench decode",
    "bench tree",
    "bench rollout",
    "bench scale",
    "bench operations",
    "bench losses",
];

/// Pages whose examples need what those of [`PAGES`] leave behind.
const LATER_PAGES: [&str; 11] = [
    "train",
    "model merge",
    "show",
    "watch",
    "export",
    "view",
    "report",
    "compare",
    "study",
    "completions",
    "man",
];

/// Pages whose examples need a server.
const PAGES_OF_SERVERS: [&str; 1] = ["trace collect"];

#[test]
fn the_short_help_of_every_command_fits_a_page() {
    let place = Place::new();
    for page in PAGES.iter().chain(&LATER_PAGES).chain(&PAGES_OF_SERVERS) {
        let text = place.pact(&format!("{page} -h")).done();
        assert!(text.lines().count() <= 50, "`pact {page} -h` is too long");
    }
}

#[test]
fn the_help_says_what_it_said() {
    let place = Place::new();
    for page in [
        "",
        "train",
        "eval",
        "bench tree",
        "trace build",
        "trace check",
    ] {
        let name = match page {
            "" => "help-pact".to_owned(),
            page => format!("help-{}", page.replace(' ', "-")),
        };
        insta::assert_snapshot!(name, place.pact(&format!("{page} --help")).done());
    }
}

/// Runs what stands under `Examples:`, page after page, in one folder.
#[test]
fn the_examples_of_every_help_page_run() {
    let place = Place::new();
    place.write("runs/quickstart.toml", QUICK);
    let study = STUDY.replace("run.toml", "runs/quickstart.toml");
    place.write("study.toml", &study);
    place.write("tokens.json", "[[5, 2, 9], [7, 7, 1, 3]]");
    let mut count = 0;
    for page in PAGES.iter().chain(&LATER_PAGES) {
        let help = place.pact(&format!("{page} --help")).done();
        let examples = help.split_once("Examples:\n").map(|(_, after)| after);
        let groups_commands = matches!(
            *page,
            "data" | "data make" | "trace" | "model" | "config" | "bench"
        );
        assert_eq!(examples.is_some(), !groups_commands, "`pact {page} --help`");
        for line in examples.unwrap_or_default().lines() {
            let outcome = place.shell(line);
            assert_eq!(outcome.code, Some(0), "{line}\n{}", outcome.stderr);
            count += 1;
        }
    }
    println!("{count} examples");
}

/// Every command has a page of the manual, and `man` can lay it out where there is one.
#[test]
fn the_manual_has_a_page_for_every_command() {
    let place = Place::new();
    assert_eq!(place.pact("man --out man1").done(), "");
    let pages = PAGES.iter().chain(&LATER_PAGES).chain(&PAGES_OF_SERVERS);
    for page in pages {
        let name = format!("pact {page}").trim_end().replace(' ', "-");
        let source = place.read(&format!("man1/{name}.1"));
        assert!(source.contains(&format!(".TH {name} 1")), "{source}");
    }
    let has_man = place.shell("command -v man").code == Some(0);
    match has_man {
        true => {
            let text = place.shell("man -l man1/pact-data-make-world.1").done();
            assert!(text.contains("pact data make world --tasks"), "{text}");
        }
        false => println!("skipped laying a page out: this machine has no `man`"),
    }
}

#[test]
fn without_a_command_the_help_is_shown_and_the_exit_code_says_usage() {
    let outcome = Place::new().run(&mut pact());
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("Usage: pact"), "{}", outcome.stderr);
}
