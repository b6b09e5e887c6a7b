//! Anybody's result files, scored: each record's verdict, each category's accuracy, and the
//! leaderboard's numbers. Nothing is asked of a model.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use python::Value;
use serde::Serialize;

use crate::aggregate::{Leaderboard, aggregate};
use crate::checker::{Failure, Rule, agentic, multi_turn};
use crate::decode::{Handler, api_calls};
use crate::executor::Instances;
use crate::records::{DataSet, Record, Truth};
use crate::result_file::{Outcome, Response, ResultRecord, read_results, result_path};
use crate::tables::Tables;
use crate::{BfclError, Category};

/// What a model's result files are worth.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScoreReport {
    /// How texts were read.
    pub handler: Handler,
    /// The categories that have a file, in the leaderboard's order.
    pub categories: Vec<CategoryScore>,
    /// Their means; a category without a file counts as 0 and is named there.
    pub leaderboard: Leaderboard,
}

/// What a category's result file is worth.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CategoryScore {
    /// The official name.
    pub category: &'static str,
    /// Correct records of those that have a result; a fraction of 1, and 0 where none has.
    pub accuracy: f64,
    /// How many are correct.
    pub correct: usize,
    /// How many records of the data set have no result. The official evaluator refuses such a
    /// file unless it is told that it is partial.
    pub missing: usize,
    /// Each record that has a result, in the file's order.
    pub records: Vec<RecordScore>,
}

/// The verdict on a record.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RecordScore {
    /// The official id.
    pub id: String,
    /// Whether it is correct.
    pub valid: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Scores the result files in a model's folder. `handler` is how its texts tell calls; where it
/// is not given, the folder's name says it, as a model's does in the leaderboard. Calls that an
/// interface returned are read as such.
pub fn score_results(
    data: &Path,
    model_folder: &Path,
    handler: Option<Handler>,
) -> Result<ScoreReport, BfclError> {
    let name = model_folder.file_name().unwrap_or_default();
    let handler = handler.unwrap_or_else(|| Handler::of_model(&name.to_string_lossy()));
    let scorer = Scorer {
        data: DataSet::new(data),
        tables: Arc::new(Tables::load(data)?),
        handler,
    };
    let mut categories = Vec::new();
    for category in Category::ALL {
        let path = result_path(model_folder, category, false);
        if path.is_file() {
            categories.push(scorer.category(category, &path)?);
        }
    }
    if categories.is_empty() {
        return Err(BfclError::NoResults {
            folder: model_folder.to_owned(),
            example: result_path(model_folder, Category::MultiTurnBase, false),
        });
    }
    let accuracy = |name: &str| {
        let found = categories.iter().find(|score| score.category == name);
        found.map(|score| score.accuracy)
    };
    Ok(ScoreReport {
        handler,
        leaderboard: aggregate(accuracy),
        categories,
    })
}

struct Scorer {
    data: DataSet,
    tables: Arc<Tables>,
    handler: Handler,
}

impl Scorer {
    fn category(&self, category: Category, path: &Path) -> Result<CategoryScore, BfclError> {
        let mut waiting: BTreeMap<String, Record> = self
            .data
            .load(category)?
            .into_iter()
            .map(|record| (record.id.clone(), record))
            .collect();
        let mut records = Vec::new();
        for result in read_results(path)? {
            let Some(record) = waiting.remove(&result.id) else {
                return Err(BfclError::Disagreement {
                    path: path.to_owned(),
                    problem: format!("`{}` is no record, or has a second result", result.id),
                });
            };
            let failure = self.verdict(&record, &result)?.err();
            records.push(RecordScore {
                id: result.id,
                valid: failure.is_none(),
                failure,
            });
        }
        let correct = records.iter().filter(|record| record.valid).count();
        Ok(CategoryScore {
            category: category.name(),
            accuracy: correct as f64 / records.len().max(1) as f64,
            correct,
            missing: waiting.len(),
            records,
        })
    }

    fn verdict(
        &self,
        record: &Record,
        result: &ResultRecord,
    ) -> Result<Result<(), Failure>, BfclError> {
        let turns = match &result.outcome {
            Outcome::Turns(turns) => turns,
            Outcome::Error(_) => return Ok(Err(not_asked(&record.truth))),
        };
        match &record.truth {
            Truth::Calls(truth) => {
                let decode =
                    |steps: &Vec<Response>| steps.iter().map(|it| self.calls(it)).collect();
                let model: Vec<Vec<Vec<String>>> = turns.iter().map(decode).collect();
                let (model_instances, truth_instances) =
                    (self.instances(record)?, self.instances(record)?);
                Ok(multi_turn::check(
                    (&model, model_instances),
                    (truth, truth_instances),
                ))
            }
            Truth::Answers(accepted) => match turns.as_slice() {
                [steps] => Ok(agentic::check(self.answer(steps), accepted)),
                _ => Ok(Err(not_asked(&record.truth))),
            },
            Truth::Nothing => unreachable!("a category's records have an accepted outcome"),
        }
    }

    fn instances(&self, record: &Record) -> Result<Instances, BfclError> {
        let config = Value::from(&serde_json::Value::Object(record.config.clone()));
        let config = config.as_dict().expect("an object is a dict");
        let long_context = record.id.contains("long_context");
        Instances::open(&record.classes, config, long_context, &self.tables).map_err(|error| {
            BfclError::Question {
                id: record.id.clone(),
                problem: error.to_string(),
            }
        })
    }

    /// The call strings of a step; none where it cannot be read.
    fn calls(&self, step: &Response) -> Vec<String> {
        let decoded = match step {
            Response::Text(text) => self.handler.decode(text),
            Response::Calls(calls) => api_calls(
                calls
                    .iter()
                    .map(|(name, json)| (name.as_str(), json.as_str())),
            ),
        };
        decoded.unwrap_or_default()
    }

    /// The last step that calls nothing.
    fn answer<'a>(&self, steps: &'a [Response]) -> Option<&'a str> {
        let last = steps.iter().rfind(|step| self.calls(step).is_empty())?;
        match last {
            Response::Text(text) => Some(text),
            // Calls that cannot be read.
            Response::Calls(_) => None,
        }
    }
}

/// What is wrong with a result that is not the turns it should be.
fn not_asked(truth: &Truth) -> Failure {
    let rule = match truth {
        Truth::Calls(_) => Rule::NoTurns,
        _ => Rule::NotOneTurn,
    };
    Failure::new(
        rule,
        "Error during inference phase. Model did not output a list of model responses.",
    )
}
