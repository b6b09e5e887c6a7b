//! Episodes of BFCL as the files that its own evaluator reads.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use bfcl::decode::Handler;
use bfcl::result_file::{model_folder, result_path, write_results};
use bfcl::{BfclSuite, Category};
use episode::Group;

use crate::args::Eval;

/// Writes the first episode of each task below `folder`, as the official program lays results
/// out: `result/MODEL/…/BFCL_v4_CATEGORY_result.json`. As there, `-FC` at the end of a model's name
/// says that it has calls of its own.
pub(super) fn write(
    suite: &BfclSuite,
    arguments: &Eval,
    groups: &[Group],
    folder: &Path,
) -> Result<()> {
    let mut records = BTreeMap::<&str, Vec<_>>::new();
    let first = groups.iter().filter_map(|group| group.episodes.first());
    for episode in first {
        let category = records.entry(episode.scenario.as_str()).or_default();
        category.push(suite.result_record(episode));
    }
    let model = arguments.subject.model.as_deref().unwrap_or("replay");
    let model = Path::new(model).file_name().unwrap_or_default();
    let mut model = model.to_string_lossy().into_owned();
    match suite.format().handler() {
        Handler::Fc if Handler::of_model(&model) != Handler::Fc => model += "-FC",
        Handler::Fc => {}
        Handler::Prompting => model = model.replace("FC", "fc"),
    }
    let results = model_folder(&folder.join("result"), &model);
    for (name, records) in records {
        let category: Category = name.parse()?;
        write_results(&result_path(&results, category, false), &records)?;
    }
    Ok(())
}
