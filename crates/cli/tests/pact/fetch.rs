//! Data sets brought to a folder through the real binary, from hosts that are not there.

use std::net::TcpListener;

use super::{Place, pact};

#[test]
fn a_plan_names_every_file_its_place_and_its_hash() {
    let place = Place::new();
    let plan = place.pact("data fetch toolhop --out sets --plan").done();
    assert_eq!(
        plan,
        "https://huggingface.co/datasets/bytedance-research/ToolHop/resolve/main/data/ToolHop.json\n  \
         to sets/ToolHop.json\n  \
         SHA-256 0a51f71a44b7025645e452123af3caf2e348301922af91778e268db0188a7fab\n"
    );
    for (set, files) in [("ftrl", 15), ("matchtir", 2), ("bfcl", 1)] {
        let plan = place
            .pact(&format!("data fetch {set} --out sets --plan"))
            .done();
        assert_eq!(plan.lines().count(), 3 * files, "{plan}");
    }
}

#[test]
fn a_mirror_that_is_not_there_is_an_error_that_says_how_to_do_it_by_hand() {
    let place = Place::new();
    let closed = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port");
    let mut command = pact();
    command
        .args(["data", "fetch", "toolhop", "--out", "sets"])
        .env("HF_ENDPOINT", format!("http://{closed}"))
        .env("HF_HOME", place.path("hf"));
    let outcome = place.run(&mut command);
    assert_eq!(outcome.code, Some(1));
    let url = format!("http://{closed}/datasets/bytedance-research/ToolHop/resolve/main/data");
    assert!(outcome.stderr.contains(&url), "{}", outcome.stderr);
    let way_out = "download it by hand to `sets/ToolHop.json`";
    assert!(outcome.stderr.contains(way_out), "{}", outcome.stderr);
}

#[test]
fn a_file_that_lies_there_and_is_another_is_not_taken_for_the_data_set() {
    let place = Place::new();
    place.write("sets/ToolHop.json", "[]");
    let outcome = place.pact("data fetch toolhop --out sets");
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome
            .stderr
            .contains("`sets/ToolHop.json`: its SHA-256 is 4f53cda1")
    );
}
