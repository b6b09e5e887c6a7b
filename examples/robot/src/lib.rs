//! A robot that carries things through a house: an environment of your own, in Rust.
//!
//! Two traits are all that there is to implement. [`Suite`] knows the tasks and opens an
//! [`Environment`] for each episode; an environment runs calls and says what the episode is
//! worth. Nothing an agent does is an error: whatever goes wrong is an [`Observation`]. A turn
//! that calls nothing ends the episode, unless [`Environment::answer`] has a user who goes on;
//! [`Environment::is_over`] would end it after a call.

use env::{Environment, Suite};
use episode::{CallFormat, Message, Observation, Role, Score, Task, ToolCall, Trace, TraceTurn};
use serde_json::{Map, Value, json};

/// The rooms, each with those that have a door to it.
const HOUSE: [(&str, &[&str]); 6] = [
    ("hall", &["kitchen", "study", "stairs"]),
    ("kitchen", &["hall", "cellar"]),
    ("study", &["hall"]),
    ("cellar", &["kitchen"]),
    ("stairs", &["hall", "attic"]),
    ("attic", &["stairs"]),
];
const THINGS: [&str; 2] = ["lamp", "book"];
/// Where the robot begins.
const START: &str = "hall";

/// Every errand in the house: one of the things from one of the rooms to another.
pub struct RobotSuite {
    tasks: Vec<Task>,
    errands: Vec<Errand>,
}

#[derive(Clone, Copy)]
struct Errand {
    thing: &'static str,
    from: &'static str,
    to: &'static str,
}

impl RobotSuite {
    /// The tasks, always the same and in the same order.
    pub fn new() -> Self {
        let rooms = HOUSE.map(|(room, _)| room);
        let ways = rooms.iter().flat_map(|from| rooms.map(|to| (*from, to)));
        let errands: Vec<Errand> = ways
            .filter(|(from, to)| from != to)
            .flat_map(|(from, to)| THINGS.map(|thing| Errand { thing, from, to }))
            .collect();
        Self {
            tasks: errands.iter().map(task).collect(),
            errands,
        }
    }

    /// How an expert does each task: along the shortest way. Its observations are what the
    /// environment returns.
    pub fn traces(&self) -> Vec<Trace> {
        let traces = self.tasks.iter().zip(&self.errands);
        traces.map(|(task, errand)| solve(task, errand)).collect()
    }

    fn errand(&self, task: &Task) -> Errand {
        let place = self.tasks.iter().position(|it| it.id == task.id);
        self.errands[place.expect("an episode is opened for a task of this suite")]
    }
}

impl Default for RobotSuite {
    fn default() -> Self {
        Self::new()
    }
}

// ANCHOR: suite
impl Suite for RobotSuite {
    fn name(&self) -> &'static str {
        "robot"
    }

    fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    fn open(&self, task: &Task) -> Box<dyn Environment> {
        Box::new(House::new(self.errand(task)))
    }

    /// The metric that an evaluation puts first.
    fn headline(&self) -> &'static str {
        "delivered"
    }

    /// Calls return at once: no other thread is needed to wait for them.
    fn is_instant(&self) -> bool {
        true
    }
}
// ANCHOR_END: suite

/// One episode.
struct House {
    errand: Errand,
    robot: &'static str,
    /// Where the thing is; `None` while the robot holds it.
    thing: Option<&'static str>,
    calls: usize,
}

impl House {
    fn new(errand: Errand) -> Self {
        Self {
            errand,
            robot: START,
            thing: Some(errand.from),
            calls: 0,
        }
    }

    /// What a call does, or why it does nothing.
    fn act(&mut self, tool: &str, argument: Option<&str>) -> Result<String, String> {
        let Errand { thing, .. } = self.errand;
        match (tool, argument) {
            ("look", None) => Ok(self.look()),
            ("go", Some(room)) => {
                let doors = doors(self.robot);
                let room = doors.iter().find(|door| **door == room);
                self.robot = room.ok_or("there is no door to it")?;
                Ok(self.look())
            }
            ("take", Some(it)) if it == thing && self.thing == Some(self.robot) => {
                self.thing = None;
                Ok(format!("you have the {thing}"))
            }
            ("take", Some(it)) => Err(format!("there is no {it} here")),
            ("drop", None) if self.thing.is_none() => {
                self.thing = Some(self.robot);
                Ok(format!("the {thing} is in the {}", self.robot))
            }
            ("drop", None) => Err("you have nothing".to_owned()),
            _ => Err(format!("`{tool}` is not called like that")),
        }
    }

    fn look(&self) -> String {
        let doors = doors(self.robot).join(", ");
        let seen = match self.thing == Some(self.robot) {
            true => format!(", and there is a {}", self.errand.thing),
            false => String::new(),
        };
        format!("you are in the {}; doors: {doors}{seen}", self.robot)
    }

    fn is_delivered(&self) -> bool {
        self.thing == Some(self.errand.to)
    }
}

// ANCHOR: environment
impl Environment for House {
    fn call(&mut self, call: &ToolCall) -> Observation {
        self.calls += 1;
        let argument = call.arguments.values().next().and_then(Value::as_str);
        match self.act(&call.name, argument) {
            Ok(text) => Observation {
                text,
                failed: false,
            },
            Err(text) => Observation { text, failed: true },
        }
    }

    fn score(&self) -> Score {
        let delivered = f64::from(self.is_delivered());
        let metrics = [("delivered", delivered), ("calls", self.calls as f64)];
        Score {
            reward: delivered,
            metrics: metrics.map(|(name, value)| (name.to_owned(), value)).into(),
            ..Score::default()
        }
    }
}
// ANCHOR_END: environment

fn doors(room: &str) -> &'static [&'static str] {
    let place = HOUSE.iter().find(|(name, _)| *name == room);
    place.map_or(&[], |(_, doors)| doors)
}

fn task(errand: &Errand) -> Task {
    let Errand { thing, from, to } = errand;
    let question = format!("Bring the {thing} from the {from} to the {to}.");
    Task {
        id: format!("{thing}-{from}-{to}"),
        scenario: format!("{} rooms", way(from, to).len()),
        messages: vec![Message::new(Role::User, question)],
        tools: vec![
            tool("look", "Where the robot is, and what it sees.", None),
            tool("go", "Through a door into the next room.", Some("room")),
            tool("take", "Picks a thing up.", Some("thing")),
            tool("drop", "Puts down what the robot has.", None),
        ],
        answer: None,
        calls: CallFormat::Tagged,
    }
}

/// A tool as chat templates read it.
fn tool(name: &str, description: &str, parameter: Option<&str>) -> Value {
    let properties: Map<String, Value> = (parameter.iter())
        .map(|name| ((*name).to_owned(), json!({"type": "string"})))
        .collect();
    let required: Vec<&str> = parameter.into_iter().collect();
    let parameters = json!({"type": "object", "properties": properties, "required": required});
    json!({"type": "function", "function": {
        "name": name, "description": description, "parameters": parameters,
    }})
}

/// The rooms that are entered on the way, the last included. The house has no circle, so there
/// is one way only.
fn way(from: &'static str, to: &'static str) -> Vec<&'static str> {
    fn search(path: &[&'static str], to: &str) -> Option<Vec<&'static str>> {
        let here = *path.last()?;
        if here == to {
            return Some(path[1..].to_vec());
        }
        let ahead = doors(here).iter().filter(|door| !path.contains(door));
        ahead
            .map(|door| [path, &[door]].concat())
            .find_map(|path| search(&path, to))
    }
    search(&[from], to).expect("every room can be reached from every other")
}

fn solve(task: &Task, errand: &Errand) -> Trace {
    let call = |name: &str, arguments: Value| ToolCall {
        name: name.to_owned(),
        arguments: arguments.as_object().cloned().unwrap_or_default(),
    };
    let go = |room: &&str| call("go", json!({ "room": room }));
    let mut calls: Vec<ToolCall> = way(START, errand.from).iter().map(go).collect();
    calls.push(call("take", json!({"thing": errand.thing})));
    calls.extend(way(errand.from, errand.to).iter().map(go));
    calls.push(call("drop", json!({})));
    let mut house = House::new(*errand);
    let turns = calls.into_iter().map(|call| TraceTurn {
        results: vec![house.call(&call).text],
        calls: vec![call],
        ..TraceTurn::default()
    });
    Trace {
        task: task.id.clone(),
        source: "shortest way".to_owned(),
        turns: turns.collect(),
        answer: Some(format!("The {} is in the {}.", errand.thing, errand.to)),
        ..Trace::default()
    }
}
