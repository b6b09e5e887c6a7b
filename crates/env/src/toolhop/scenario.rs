//! How ToolHop asks: three prompts for the same question.

use serde::{Deserialize, Serialize};

/// What the agent is told of its tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// There are none: one turn, from its own knowledge.
    Direct,
    /// It must use them at every step.
    #[default]
    Mandatory,
    /// It may use them.
    Free,
}

impl Scenario {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Direct, Self::Mandatory, Self::Free];

    /// As reports name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Mandatory => "mandatory",
            Self::Free => "free",
        }
    }

    /// Whether the agent is shown the tools.
    pub fn has_tools(self) -> bool {
        self != Self::Direct
    }

    /// ToolHop's prompt, with its slips: the one user message of an episode.
    pub fn prompt(self, question: &str) -> String {
        let with_tools = "You will be asked a question with some tools, and should provide a \
                          short final answer.\n";
        let must_call = "Please note that you must call the tool at every step, you must not use \
                         your own knowledge. Your final answer must also be returned from the \
                         tool.\n";
        match self {
            Self::Direct => {
                let opening = "You will be asked a question, and should provide a short answer.\n";
                opening.to_owned() + &form("", "answer", "your", question)
            }
            Self::Mandatory => {
                with_tools.to_owned() + must_call + &form("final ", "nswer", "final", question)
            }
            Self::Free => with_tools.to_owned() + &form("final ", "nswer", "final", question),
        }
    }
}

/// What all prompts say of the answer's form, and the question.
fn form(which: &str, answer: &str, whose: &str, question: &str) -> String {
    format!(
        "If the {which}answer is a date, format is as follows: YYYY-MM-DD (ISO standard)\n\
         If the {which}{answer} is a name, format it as follows: Firstname Lastname\n\
         If the {which}answer contains any number, format it as a number, not a word, and only \
         output that number. Do not include leading 0s.\n\n\
         Please provide the {which}answer in the following format: \
         <answer>{whose} answer here</answer>\n\
         Answer as short as possible.\n\
         Question: {question}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: &str = "Answer as short as possible.\nQuestion: Where?";

    #[test]
    fn each_scenario_asks_in_its_own_words() {
        let direct = "You will be asked a question, and should provide a short answer.\nIf the answer is a date, format is as follows: YYYY-MM-DD (ISO standard)\nIf the answer is a name, format it as follows: Firstname Lastname\nIf the answer contains any number, format it as a number, not a word, and only output that number. Do not include leading 0s.\n\nPlease provide the answer in the following format: <answer>your answer here</answer>\n";
        assert_eq!(Scenario::Direct.prompt("Where?"), format!("{direct}{LAST}"));
        let opening = "You will be asked a question with some tools, and should provide a short final answer.\n";
        let rule = "Please note that you must call the tool at every step, you must not use your own knowledge. Your final answer must also be returned from the tool.\n";
        let form = "If the final answer is a date, format is as follows: YYYY-MM-DD (ISO standard)\nIf the final nswer is a name, format it as follows: Firstname Lastname\nIf the final answer contains any number, format it as a number, not a word, and only output that number. Do not include leading 0s.\n\nPlease provide the final answer in the following format: <answer>final answer here</answer>\n";
        assert_eq!(
            Scenario::Mandatory.prompt("Where?"),
            format!("{opening}{rule}{form}{LAST}")
        );
        assert_eq!(
            Scenario::Free.prompt("Where?"),
            format!("{opening}{form}{LAST}")
        );
    }
}
