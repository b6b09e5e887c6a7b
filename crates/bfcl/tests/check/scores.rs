//! Result files that say what is accepted, written and scored.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::oracle::data_folder;
use bfcl::checker::Rule;
use bfcl::decode::Handler;
use bfcl::records::{DataSet, Record, Truth};
use bfcl::result_file::{
    Outcome, Response, ResultRecord, model_folder, result_path, write_results,
};
use bfcl::score::{ScoreReport, score_results};
use bfcl::{BfclError, Category, Group};
use python::{Call, Dict, JsonStyle, Value, json_dumps, parse_call};

/// The parameters of every function of the records, in order.
fn parameters(data: &DataSet, records: &[Record]) -> BTreeMap<String, Vec<String>> {
    let mut names = BTreeMap::new();
    for class in records.iter().flat_map(|record| &record.classes) {
        for doc in data.docs(class).unwrap() {
            let properties = doc["parameters"]["properties"].as_object().unwrap();
            let function = doc["name"].as_str().unwrap().to_owned();
            names.insert(function, properties.keys().cloned().collect());
        }
    }
    names
}

/// What a model would say to make one call of the ground truth.
fn said(handler: Handler, call: &str, parameters: &BTreeMap<String, Vec<String>>) -> Response {
    let call = parse_call(call).unwrap();
    let names = parameters[&call.function].iter().cloned();
    let keywords: Vec<_> = names.zip(call.positional).chain(call.keywords).collect();
    Response::Text(match handler {
        Handler::Prompting => {
            let call = Call {
                function: call.function,
                positional: Vec::new(),
                keywords,
            };
            format!("[{}]", call.to_text(", "))
        }
        Handler::Fc => {
            let arguments: Dict = keywords.into_iter().collect();
            let call = Dict::from([
                ("name", Value::from(call.function)),
                ("arguments", Value::from(arguments)),
            ]);
            let json = json_dumps(&Value::from(call), &JsonStyle::ascii()).unwrap();
            format!("<tool_call>\n{json}\n</tool_call>")
        }
    })
}

fn text(text: &str) -> Response {
    Response::Text(text.to_owned())
}

/// One call a step, then a word that ends the turn; or the first accepted answer.
fn gold(
    record: &Record,
    handler: Handler,
    parameters: &BTreeMap<String, Vec<String>>,
) -> ResultRecord {
    let turns = match &record.truth {
        Truth::Calls(turns) => turns
            .iter()
            .map(|calls| {
                let calls = calls.iter().map(|call| said(handler, call, parameters));
                calls.chain([text("Done.")]).collect()
            })
            .collect(),
        Truth::Answers(accepted) => vec![vec![text(&format!("It is {}.", accepted[0]))]],
        Truth::Nothing => panic!("{}: asks nothing", record.id),
    };
    ResultRecord {
        id: record.id.clone(),
        outcome: Outcome::Turns(turns),
        ..ResultRecord::default()
    }
}

fn score(data: &DataSet, folder: &Path) -> ScoreReport {
    score_results(data.folder(), folder, None).unwrap()
}

#[test]
fn what_is_accepted_scores_everything_in_every_category() {
    let Some(folder) = data_folder() else { return };
    let data = DataSet::new(folder);
    let results = tempfile::tempdir().unwrap();
    for (model, handler) in [("gold-FC", Handler::Fc), ("gold", Handler::Prompting)] {
        let folder = model_folder(results.path(), model);
        for category in Category::ALL {
            let records = data.load(category).unwrap();
            let parameters = parameters(&data, &records);
            let spoken: Vec<ResultRecord> = records
                .iter()
                .map(|record| gold(record, handler, &parameters))
                .collect();
            write_results(&result_path(&folder, category, false), &spoken).unwrap();
        }
        let report = score(&data, &folder);
        assert_eq!(report.handler, handler);
        assert_eq!(report.categories.len(), Category::ALL.len());
        for category in report.categories {
            let wrong: Vec<_> = category.records.iter().filter(|it| !it.valid).collect();
            assert!(wrong.is_empty(), "{}: {wrong:?}", category.category);
            assert_eq!((category.accuracy, category.missing), (1.0, 0));
        }
        let overall = report.leaderboard.overall.accuracy;
        assert!((overall - 0.7).abs() < 1e-12, "{overall}");
    }
}

#[test]
fn a_record_that_went_wrong_says_how() {
    let Some(folder) = data_folder() else { return };
    let data = DataSet::new(folder);
    let results = tempfile::tempdir().unwrap();
    let folder = model_folder(results.path(), "some/model");
    let mut expected = BTreeMap::new();
    let mut write = |category: Category, cases: Vec<(Outcome, Option<Rule>)>| {
        let records = data.load(category).unwrap();
        let mut spoken = Vec::new();
        for (record, (outcome, rule)) in records.iter().zip(cases) {
            expected.insert(record.id.clone(), rule);
            spoken.push(ResultRecord {
                id: record.id.clone(),
                outcome,
                ..ResultRecord::default()
            });
        }
        write_results(&result_path(&folder, category, false), &spoken).unwrap();
    };
    let error = || Outcome::Error("Error during inference: no".to_owned());
    write(
        Category::MultiTurnBase,
        vec![
            (error(), Some(Rule::NoTurns)),
            (Outcome::Turns(vec![]), Some(Rule::ForceTerminated)),
        ],
    );
    write(
        Category::WebSearchBase,
        vec![
            (error(), Some(Rule::NotOneTurn)),
            (Outcome::Turns(vec![vec![], vec![]]), Some(Rule::NotOneTurn)),
            (Outcome::Turns(vec![vec![]]), Some(Rule::NoAnswer)),
            (
                Outcome::Turns(vec![vec![text("no"), text("[f()]")]]),
                Some(Rule::AnswerNotFound),
            ),
        ],
    );
    let report = score(&data, &folder);
    let all = Group::MultiTurn.categories().count();
    assert_eq!(report.leaderboard.multi_turn.not_run.len(), all - 1);
    for category in &report.categories {
        assert_eq!(category.accuracy, 0.0);
        assert!(category.missing > 0);
        for record in &category.records {
            let rule = record.failure.as_ref().map(|failure| failure.rule);
            assert_eq!(rule, expected[&record.id], "{}", record.id);
        }
    }
}

#[test]
fn a_folder_that_cannot_be_scored_says_why() {
    let Some(folder) = data_folder() else { return };
    let results = tempfile::tempdir().unwrap();
    let error = score_results(&folder, results.path(), None).unwrap_err();
    assert!(matches!(error, BfclError::NoResults { .. }), "{error}");

    let path = result_path(results.path(), Category::MultiTurnBase, false);
    let line = r#"{"id": "multi_turn_base_x", "result": []}"#;
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, line).unwrap();
    let error = score_results(&folder, results.path(), None).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`multi_turn_base_x` is no record"),
        "{error}"
    );
    let error = score_results(results.path(), results.path(), None).unwrap_err();
    assert!(error.to_string().contains("hint:"), "{error}");
}
