//! What the ground truth calls gives what was recorded, and leaves the recorded states.

use crate::records::{Questions, calls, data_folder, list, rows, text};

#[test]
fn data_every_call_of_the_ground_truth_gives_what_was_recorded() {
    let Some(folder) = data_folder() else { return };
    let questions = Questions::load(&folder);
    let oracles = rows(&folder.join("oracles"), &["initial_state", "turns"]);
    let (mut executed, mut states) = (0, 0);
    for (file, row) in &oracles {
        let id = text(row, "id");
        let at = format!("{file}, `{id}`");
        let mut opened = questions.open(id, row.get("long_context").unwrap().is_true());
        let initial = row.get("initial_state").unwrap().as_dict().unwrap();
        assert_eq!(opened.differences(initial), [""; 0], "{at}, at first");
        for (turn, recorded) in list(row, "turns").iter().enumerate() {
            let recorded = recorded.as_dict().unwrap();
            for (call, expected) in calls(recorded) {
                let found = opened.instances.execute(call);
                assert_eq!(found, expected, "{at}, turn {turn}, `{call}`");
                executed += 1;
            }
            let state = recorded.get("state").unwrap().as_dict().unwrap();
            assert_eq!(opened.differences(state), [""; 0], "{at}, turn {turn}");
            states += state.len();
        }
    }
    println!("{executed} calls, {states} states");
    assert!(oracles.is_empty() || executed > 0);
}
