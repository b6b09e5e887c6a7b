//! One task of the world: what is asked, the tools that are offered, what they know, and
//! the chains of look-ups that lead to the answer. Draws everything from one seed.

use std::collections::{BTreeMap, HashSet};

use episode::{CallFormat, Message, Role, Seed, Task};
use indexmap::IndexMap;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::lexicon::{self, ID, PARAMETERS, REGISTRY, RELATIONS, SYLLABLES};
use super::tool::Tool;
use super::wording;
use super::{Config, Family, Split};

/// Fewest rows that a tool's table has.
const ROWS: usize = 5;

/// The four scenarios, by FTRL's names: which ask twice, and which chain.
const SCENARIOS: [(&str, usize, bool); 4] = [
    ("single_hop", 1, false),
    ("parallel_single_hop", 2, false),
    ("multi_hop", 1, true),
    ("parallel_multi_hop", 2, true),
];

/// The number of the registry's relation, from a person to an identifier.
const REGISTRY_RELATION: usize = RELATIONS.len();

/// The first half of the name of a relation's tool.
fn stem_of(relation: usize) -> &'static str {
    RELATIONS.get(relation).copied().unwrap_or(REGISTRY)
}

/// The word by which a relation is asked for.
fn asked_for(relation: usize) -> &'static str {
    RELATIONS.get(relation).copied().unwrap_or(ID)
}

/// A drawn task, with what only the environment and the expert know.
pub(super) struct Problem {
    pub(super) task: Task,
    pub(super) tools: Vec<Tool>,
    pub(super) branches: Vec<Vec<Step>>,
}

/// One look-up on the way to an answer.
pub(super) struct Step {
    pub(super) tool: String,
    pub(super) key: String,
    /// The key under which the tool answers, where it refuses `key`.
    pub(super) alias: Option<String>,
    pub(super) result: String,
}

impl Problem {
    /// Golden sub-answers by tool, in FTRL's solving order: step by step, over all branches.
    pub(super) fn goldens(&self) -> IndexMap<String, Vec<String>> {
        let mut goldens: IndexMap<String, Vec<String>> = IndexMap::new();
        let longest = self.branches.iter().map(Vec::len).max().unwrap_or(0);
        for depth in 0..longest {
            for step in self.branches.iter().filter_map(|steps| steps.get(depth)) {
                goldens
                    .entry(step.tool.clone())
                    .or_default()
                    .push(step.result.clone());
            }
        }
        goldens
    }
}

/// The `index`-th task of a config, of a family in place of the config's own.
pub(super) fn draw(config: &Config, family: Family, index: u64) -> Problem {
    let seed = Seed(config.seed)
        .named("world")
        .named(family.name())
        .named(config.split.name())
        .child(index);
    let mut drawing = Drawing {
        config,
        family,
        rng: ChaCha8Rng::seed_from_u64(seed.0),
        used: HashSet::new(),
    };
    let (scenario, branches, chained) = drawing.scenario();
    let chains: Vec<Vec<usize>> = (0..branches).map(|_| drawing.chain(chained)).collect();
    let mut tools = drawing.tools(&chains);
    let starts: Vec<String> = chains.iter().map(|_| drawing.person()).collect();
    let branches: Vec<Vec<Step>> = chains
        .iter()
        .zip(&starts)
        .map(|(chain, start)| drawing.branch(chain, start, &tools))
        .collect();
    drawing.fill_tables(&mut tools, &branches);

    let phrases: Vec<String> = chains
        .iter()
        .zip(&starts)
        .map(|(chain, start)| {
            let relations: Vec<&str> = chain.iter().map(|&r| asked_for(r)).collect();
            wording::phrase(&relations, start)
        })
        .collect();
    let question = wording::question(drawing.below(wording::QUESTIONS), &phrases);
    let answers: Vec<&str> = branches
        .iter()
        .filter_map(|steps| steps.last())
        .map(|step| step.result.as_str())
        .collect();
    let (family, split) = (family.name(), config.split.name());
    let task = Task {
        id: format!("{family}-{split}-{}-{index}", config.seed),
        scenario: scenario.to_owned(),
        messages: vec![Message::new(Role::User, question)],
        tools: tools.iter().map(Tool::schema).collect(),
        answer: Some(answers.join(" and ")),
        calls: CallFormat::Tagged,
    };
    Problem {
        task,
        tools,
        branches,
    }
}

/// The random choices of one task, and the names and identifiers that it has used up.
struct Drawing<'a> {
    config: &'a Config,
    family: Family,
    rng: ChaCha8Rng,
    used: HashSet<String>,
}

impl Drawing<'_> {
    fn below(&mut self, count: usize) -> usize {
        self.rng.random_range(0..count)
    }

    fn between(&mut self, [low, high]: [usize; 2]) -> usize {
        self.rng.random_range(low..=high)
    }

    fn scenario(&mut self) -> (&'static str, usize, bool) {
        let weights = self.config.scenarios;
        let mut point = self.rng.random::<f64>() * weights.iter().sum::<f64>();
        for (scenario, weight) in SCENARIOS.iter().zip(weights) {
            if point < weight {
                return *scenario;
            }
            point -= weight;
        }
        // Rounding may leave the point at the very end.
        let last = weights.iter().rposition(|&weight| weight > 0.0);
        SCENARIOS[last.expect("a checked config has a scenario of positive weight")]
    }

    /// The relations of one branch, all different, in the order in which they are solved.
    fn chain(&mut self, chained: bool) -> Vec<usize> {
        let hops = if chained {
            self.between(self.config.hops)
        } else {
            1
        };
        let mut relations = self.shuffled(0..RELATIONS.len());
        relations.truncate(hops);
        let is_plain = self.family == Family::Plain;
        if is_plain && self.rng.random_bool(self.config.identifiers) {
            relations[hops - 1] = REGISTRY_RELATION;
        }
        relations
    }

    fn shuffled(&mut self, range: std::ops::Range<usize>) -> Vec<usize> {
        let mut all: Vec<usize> = range.collect();
        all.shuffle(&mut self.rng);
        all
    }

    /// The tools that the chains need and some that nobody asked for, their tables empty.
    fn tools(&mut self, chains: &[Vec<usize>]) -> Vec<Tool> {
        let mut relations: Vec<usize> = chains.concat();
        relations.sort_unstable();
        relations.dedup();
        let distractors = self.between(self.config.distractors);
        let others = self.shuffled(0..RELATIONS.len());
        let others: Vec<usize> = others
            .into_iter()
            .filter(|r| !relations.contains(r))
            .collect();
        relations.extend(others.into_iter().take(distractors));
        if self.family == Family::Keyed {
            relations.push(REGISTRY_RELATION);
        }
        relations.shuffle(&mut self.rng);
        let providers: Vec<String> = (0..self.config.providers)
            .map(|_| self.provider())
            .collect();
        relations
            .into_iter()
            .map(|relation| {
                let provider = &providers[self.below(providers.len())];
                self.tool(relation, provider)
            })
            .collect()
    }

    /// A provider's name, of the split.
    fn provider(&mut self) -> String {
        loop {
            let (first, second) = (self.below(SYLLABLES), self.below(SYLLABLES));
            let held_out = lexicon::is_held_out_provider(first, second);
            if held_out == (self.config.split != Split::Train) {
                return lexicon::provider(first, second);
            }
        }
    }

    /// A provider's tool for a relation.
    fn tool(&mut self, relation: usize, provider: &str) -> Tool {
        let stem = stem_of(relation);
        let by_id = self.family == Family::Keyed && relation != REGISTRY_RELATION;
        let what = asked_for(relation);
        Tool {
            name: format!("{stem}_{provider}"),
            description: wording::description(self.below(wording::DESCRIPTIONS), what),
            parameter: if by_id {
                ID
            } else {
                PARAMETERS[self.below(self.config.parameter_names)]
            }
            .to_owned(),
            by_id,
            table: BTreeMap::new(),
        }
    }

    /// A person of the split whom the task has not met yet.
    fn person(&mut self) -> String {
        loop {
            let (first, second) = (self.below(SYLLABLES), self.below(SYLLABLES));
            let name = lexicon::person(first, second);
            let fits = lexicon::person_split(first, second) == self.config.split;
            if fits && self.used.insert(name.clone()) {
                return name;
            }
        }
    }

    /// An identifier that the task has not used yet.
    fn id(&mut self) -> String {
        loop {
            let id = format!("#{}", self.rng.random_range(100..1000));
            if self.used.insert(id.clone()) {
                return id;
            }
        }
    }

    /// The look-ups that solve one chain from its first person.
    fn branch(&mut self, chain: &[usize], start: &str, tools: &[Tool]) -> Vec<Step> {
        let name_of = |stem: &str| {
            let tool = tools.iter().find(|tool| tool.stem() == stem);
            tool.expect("every relation asked for has a tool")
                .name
                .clone()
        };
        let mut steps = Vec::new();
        let mut subject = start.to_owned();
        for &relation in chain {
            if self.family == Family::Keyed {
                let id = self.id();
                let alias = self.alias();
                let key = std::mem::replace(&mut subject, id.clone());
                steps.push(Step {
                    tool: name_of(REGISTRY),
                    key,
                    alias,
                    result: id,
                });
            }
            let alias = match self.family {
                Family::Keyed => None,
                Family::Plain => self.alias(),
            };
            let result = match relation {
                REGISTRY_RELATION => self.id(),
                _ => self.person(),
            };
            let key = std::mem::replace(&mut subject, result.clone());
            steps.push(Step {
                tool: name_of(stem_of(relation)),
                key,
                alias,
                result,
            });
        }
        steps
    }

    fn alias(&mut self) -> Option<String> {
        self.rng
            .random_bool(self.config.error_rate)
            .then(|| self.person())
    }

    /// Writes what the steps need into the tables, and beside it rows under the task's other
    /// keys, so that the wrong tool, too, has an answer.
    fn fill_tables(&mut self, tools: &mut [Tool], branches: &[Vec<Step>]) {
        let steps: Vec<&Step> = branches.iter().flatten().collect();
        for tool in tools {
            for step in steps.iter().filter(|step| step.tool == tool.name) {
                let key = match &step.alias {
                    Some(alias) => {
                        let refusal = format!("error: {}", wording::listed_as(&step.key, alias));
                        tool.table.insert(step.key.clone(), refusal);
                        alias
                    }
                    None => &step.key,
                };
                tool.table.insert(key.clone(), step.result.clone());
            }
            let mut keys: Vec<String> = steps.iter().map(|step| step.key.clone()).collect();
            keys.retain(|key| key.starts_with('#') == tool.by_id);
            keys.shuffle(&mut self.rng);
            while tool.table.len() < ROWS {
                let key = keys
                    .pop()
                    .unwrap_or_else(|| if tool.by_id { self.id() } else { self.person() });
                if !tool.table.contains_key(&key) {
                    let is_registry = tool.name.starts_with(REGISTRY);
                    let decoy = if is_registry {
                        self.id()
                    } else {
                        self.person()
                    };
                    tool.table.insert(key, decoy);
                }
            }
        }
    }
}
