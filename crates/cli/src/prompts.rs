//! Whether prompts fit. A task whose prompt is too long scores nothing and is counted, as any
//! failed episode; where none fits, nobody can have meant it.

use anyhow::{Result, anyhow, bail};
use chat::Chat;
use episode::Task;

/// BFCL's own form of a function is no tool to most templates.
fn hint(task: &Task) -> &'static str {
    let is_plain = |tool: &serde_json::Value| tool["function"].is_object();
    match task.tools.iter().all(is_plain) {
        true => "",
        false => {
            "\nhint: `--format fc` is for Qwen3's template; `--format api` shows functions as most \
             templates print them"
        }
    }
}

/// Refuses tasks of which not one has a prompt within `limit` tokens; says how many have not.
pub(crate) fn check(chat: &Chat, tasks: &[&Task], limit: usize) -> Result<()> {
    let mut longest = 0;
    let mut too_long = 0;
    for task in tasks {
        let transcript = chat.transcript(task);
        let tokens = transcript
            .map_err(|error| anyhow!("task `{}`: {error}{}", task.id, hint(task)))?
            .prompt_tokens();
        longest = longest.max(tokens);
        too_long += usize::from(tokens > limit);
    }
    if too_long == 0 {
        return Ok(());
    }
    let problem = format!(
        "{too_long} of {} prompts are longer than `rollout.max-prompt-tokens`, which is \
         {limit}; the longest has {longest} tokens",
        tasks.len()
    );
    if too_long == tasks.len() {
        bail!("{problem}\nhint: `--set rollout.max-prompt-tokens={longest}` lets them all in");
    }
    eprintln!("warning: {problem}; they score nothing");
    Ok(())
}
