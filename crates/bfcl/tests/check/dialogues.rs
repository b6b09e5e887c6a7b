//! Verdicts on dialogues, against what the official checker says of the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::oracle::{data_folder, oracle};
use bfcl::checker::multi_turn;
use bfcl::executor::Instances;
use bfcl::records::{DataSet, Record, Truth};
use bfcl::tables::Tables;
use bfcl::{Category, Group};
use python::Value;
use serde::Deserialize;

fn instances(record: &Record, tables: &Arc<Tables>) -> Instances {
    let config = Value::from(&serde_json::Value::Object(record.config.clone()));
    let long_context = record.id.contains("long_context");
    let config = config.as_dict().unwrap();
    Instances::open(&record.classes, config, long_context, tables).unwrap()
}

fn accepted(record: &Record) -> &[Vec<String>] {
    match &record.truth {
        Truth::Calls(turns) => turns,
        other => panic!("{}: {other:?} is no dialogue's", record.id),
    }
}

#[derive(Deserialize)]
struct CheckRow {
    id: String,
    mutation: String,
    model: Vec<Vec<Vec<String>>>,
    valid: bool,
    error_type: Option<String>,
    error_message: Option<String>,
    differences: Option<Vec<String>>,
    missing_items: Option<Vec<String>>,
}

#[test]
fn dialogues_are_judged_as_officially() {
    let rows: Vec<CheckRow> = oracle(&["mutation", "model", "valid"]);
    let Some(folder) = data_folder() else { return };
    let tables = Arc::new(Tables::load(&folder).unwrap());
    let data = DataSet::new(&folder);
    let categories: BTreeSet<Category> = rows
        .iter()
        .map(|row| Category::of_id(&row.id).unwrap())
        .collect();
    let mut records = BTreeMap::new();
    for category in categories {
        for record in data.multi_turn(category.name()).unwrap() {
            records.insert(record.id.clone(), record);
        }
    }
    for row in rows {
        let record = &records[&row.id];
        let place = format!("{}, {}", row.id, row.mutation);
        let verdict = multi_turn::check(
            (&row.model, instances(record, &tables)),
            (accepted(record), instances(record, &tables)),
        );
        assert_eq!(verdict.is_ok(), row.valid, "{place}: {verdict:?}");
        let Err(failure) = verdict else { continue };
        assert_eq!(
            Some(failure.rule.name()),
            row.error_type.as_deref(),
            "{place}"
        );
        assert_eq!(Some(failure.message), row.error_message, "{place}");
        let mut differences = failure.differences;
        differences.sort();
        assert_eq!(differences, row.differences.unwrap_or_default(), "{place}");
        assert_eq!(
            failure.missing_items,
            row.missing_items.unwrap_or_default(),
            "{place}"
        );
    }
}

/// The whole turn as one step, and one call a step.
#[test]
fn what_is_accepted_passes() {
    let Some(folder) = data_folder() else { return };
    let tables = Arc::new(Tables::load(&folder).unwrap());
    let data = DataSet::new(&folder);
    for category in Group::MultiTurn.categories() {
        let records = data.multi_turn(category.name()).unwrap();
        for record in &records {
            let truth = accepted(record);
            let whole = truth.iter().map(|turn| vec![turn.clone()]).collect();
            let single = |turn: &Vec<String>| turn.iter().map(|it| vec![it.clone()]).collect();
            for model in [whole, truth.iter().map(single).collect::<Vec<_>>()] {
                let verdict = multi_turn::check(
                    (&model, instances(record, &tables)),
                    (truth, instances(record, &tables)),
                );
                assert_eq!(verdict, Ok(()), "{}", record.id);
            }
        }
        println!("{category}: {} records", records.len());
    }
}
