//! A study's page and plots, from those of its runs that are done.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use report::{ListedMethod, ListedRun, StudyList, study_page};

use super::plan::{Choices, Plan, Run, State};

/// Writes `NAME.md` and its plots into `folder`; returns the page's path.
pub(super) fn write(plan: &Plan, name: &str, folder: &Path) -> Result<PathBuf> {
    let page = study_page(&list(plan)?, name)?;
    fs::create_dir_all(folder).map_err(|error| anyhow!("`{}`: {error}", folder.display()))?;
    let file = format!("{name}.md");
    let path = folder.join(&file);
    for (file, text) in page.plots.iter().chain([&(file, page.markdown)]) {
        let path = folder.join(file);
        fs::write(&path, text).map_err(|error| anyhow!("`{}`: {error}", path.display()))?;
    }
    Ok(path)
}

fn list(plan: &Plan) -> Result<StudyList> {
    let study = &plan.study;
    let mut methods = Vec::new();
    for group in study.groups() {
        for (name, method) in study.methods.iter().filter(|(_, it)| it.group == group) {
            methods.push(ListedMethod {
                name: name.clone(),
                group: method.group.clone(),
                searched: searched(plan, name)?,
                runs: runs(plan, name)?,
            });
        }
    }
    Ok(StudyList {
        sentence: study.sentence.clone(),
        metric: study.file.metric.clone(),
        baseline: study.file.baseline.clone(),
        reference: study.file.reference.clone(),
        searched_key: study.file.search.as_ref().map(|it| it.key.clone()),
        methods,
    })
}

/// The searched value of a method's runs, as its file has it.
fn searched(plan: &Plan, method: &str) -> Result<Option<String>> {
    let Some(searched) = plan.study.searched(method) else {
        return Ok(None);
    };
    let choice = plan.choice(searched)?;
    let setting = choice.map(|choice| plan.setting(choice.value));
    Ok(setting.and_then(|it| Some(it.split_once('=')?.1.to_owned())))
}

/// A method's runs that are done. All else that they go on from is done before them.
fn runs(plan: &Plan, wanted: &str) -> Result<Vec<ListedRun>> {
    let mut runs = Vec::new();
    for run in &plan.runs {
        if !matches!(run, Run::Compared { method, .. } if method == wanted)
            || plan.state(run)? != State::Done
        {
            continue;
        }
        let mut earlier = Vec::new();
        let mut start = plan.start(run, &Choices::new());
        while let Some(before @ Run::Compared { .. }) = start {
            earlier.push(plan.folder(&before));
            start = plan.start(&before, &Choices::new());
        }
        runs.push(ListedRun {
            folder: plan.folder(run),
            earlier,
        });
    }
    Ok(runs)
}
