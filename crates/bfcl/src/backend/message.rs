//! `MessageAPI`: the users of a workspace and the messages that they send each other.
//!
//! A message is a dict of one item, receiver to text. Of what a configuration puts into one beyond
//! that, only the first item counts.

use std::collections::BTreeSet;

use python::{Dict, Exception, ExceptionKind, Value};

use super::configuration::Configuration;
use super::operations::{append, int, lower};
use super::{Arguments, Backend, Method, dict, error, method, required};
use crate::twister::Twister;

const SEED: u64 = 200_191;

/// What its authors say to whoever has not logged in.
const NO_LOGIN: &str = "No user is currently logged in.";

pub(super) struct MessageApi {
    random: Twister,
    generated_ids: BTreeSet<i64>,
    user_count: i64,
    /// Names to ids.
    user_map: Dict,
    inbox: Vec<Value>,
    message_count: i64,
    /// An id, or None.
    current_user: Value,
}

impl MessageApi {
    pub(super) const CLASS: &'static str = "MessageAPI";

    pub(super) fn open(configuration: Configuration<'_>) -> Result<Self, Exception> {
        Ok(Self {
            random: configuration.random(SEED)?,
            generated_ids: BTreeSet::new(),
            user_count: configuration.int("user_count")?,
            user_map: configuration.dict("user_map")?,
            inbox: configuration.list("inbox")?,
            message_count: configuration.int("message_count")?,
            current_user: configuration.value("current_user"),
        })
    }

    fn list_users(&self) -> Value {
        dict([(
            "user_list",
            Value::List(self.user_map.keys().cloned().collect()),
        )])
    }

    fn get_user_id(&self, user: &Value) -> Result<Value, Exception> {
        match self.user_map.get_key(user)? {
            Some(id) => Ok(dict([("user_id", id.clone())])),
            None => error(format!("User '{user}' not found in the workspace.")),
        }
    }

    fn message_login(&mut self, id: &Value) -> Value {
        if !self.is_user(id) {
            return dict([
                ("login_status", false.into()),
                ("message", format!("User ID '{id}' not found.").into()),
            ]);
        }
        self.current_user = id.clone();
        dict([
            ("login_status", true.into()),
            (
                "message",
                format!("User '{id}' logged in successfully.").into(),
            ),
        ])
    }

    fn message_get_login_status(&self) -> Value {
        dict([("login_status", self.current_user.is_true().into())])
    }

    fn send_message(&mut self, receiver: &Value, message: &Value) -> Result<Value, Exception> {
        if !self.is_user(receiver) {
            return error(format!("Receiver ID '{receiver}' not found."));
        }
        let id = self.new_id();
        let mut sent = Dict::new();
        sent.insert_key(receiver.clone(), message.clone())?;
        self.inbox.push(sent.into());
        self.message_count += 1;
        Ok(dict([
            ("sent_status", true.into()),
            ("message_id", dict([("new_id", id.into())])),
            (
                "message",
                format!("Message sent to '{receiver}' successfully.").into(),
            ),
        ]))
    }

    /// Five digits that no message has had.
    fn new_id(&mut self) -> i64 {
        loop {
            let id = self.random.randint(10_000, 99_999);
            if self.generated_ids.insert(id) {
                return id;
            }
        }
    }

    /// Finds the receiver's latest message, and removes the earliest that equals it, as
    /// `list.remove` does.
    fn delete_message(&mut self, receiver: &Value) -> Result<Value, Exception> {
        for message in self.inbox.iter().rev() {
            if entry(message)?.0 == receiver {
                let equal = self
                    .inbox
                    .iter()
                    .position(|other| other == message)
                    .expect("a message equals itself");
                self.inbox.remove(equal);
                return Ok(dict([
                    ("deleted_status", true.into()),
                    ("receiver_id", receiver.clone()),
                    (
                        "message",
                        format!("Receiver {receiver}'s latest message deleted successfully.")
                            .into(),
                    ),
                ]));
            }
        }
        error(format!("Receiver ID {receiver} not found."))
    }

    fn view_messages_sent(&self) -> Result<Value, Exception> {
        let mut messages = Dict::new();
        for message in &self.inbox {
            let (receiver, text) = entry(message)?;
            match messages.get_key_mut(receiver)? {
                Some(texts) => append(texts, text.clone())?,
                None => messages.insert_key(receiver.clone(), vec![text.clone()].into())?,
            }
        }
        Ok(dict([("messages", Value::Dict(messages))]))
    }

    fn add_contact(&mut self, name: &Value) -> Result<Value, Exception> {
        if self.user_map.get_key(name)?.is_some() {
            return error(format!("User name '{name}' already exists."));
        }
        // Counted even when the id is found to be taken, as the original does.
        self.user_count += 1;
        let id = Value::from(format!("USR{:03}", self.user_count));
        if self.is_user(&id) {
            return error(format!("User ID '{id}' already exists."));
        }
        self.user_map.insert_key(name.clone(), id.clone())?;
        Ok(dict([
            ("added_status", true.into()),
            ("user_id", id),
            (
                "message",
                format!("Contact '{name}' added successfully.").into(),
            ),
        ]))
    }

    fn search_messages(&self, keyword: &Value) -> Result<Value, Exception> {
        let keyword = lower(keyword)?;
        let mut results = Vec::new();
        for message in &self.inbox {
            let (receiver, text) = entry(message)?;
            if lower(text)?.contains(&keyword) {
                results.push(dict([
                    ("receiver_id", receiver.clone()),
                    ("message", text.clone()),
                ]));
            }
        }
        Ok(dict([("results", Value::List(results))]))
    }

    fn get_message_stats(&self) -> Result<Value, Exception> {
        let mut receivers: Vec<&Value> = Vec::new();
        for message in &self.inbox {
            let (receiver, _) = entry(message)?;
            if !receivers.contains(&receiver) {
                receivers.push(receiver);
            }
        }
        let stats = [
            ("received_count", int(self.inbox.len())),
            ("total_contacts", int(receivers.len())),
        ];
        Ok(dict([("stats", dict(stats))]))
    }

    fn is_user(&self, id: &Value) -> bool {
        self.user_map.values().any(|other| other == id)
    }
}

/// A message's receiver and its text.
fn entry(message: &Value) -> Result<(&Value, &Value), Exception> {
    let Value::Dict(message) = message else {
        return Err(Exception::attribute_error(message, "items"));
    };
    let first = message.iter().next();
    first.ok_or_else(|| Exception::new(ExceptionKind::Index, "list index out of range"))
}

const METHODS: &[Method] = &[
    method("add_contact", &[required("user_name")]),
    method("delete_message", &[required("receiver_id")]),
    method("get_message_stats", &[]),
    method("get_user_id", &[required("user")]),
    method("list_users", &[]),
    method("message_get_login_status", &[]),
    method("message_login", &[required("user_id")]),
    method("search_messages", &[required("keyword")]),
    method(
        "send_message",
        &[required("receiver_id"), required("message")],
    ),
    method("view_messages_sent", &[]),
];

impl Backend for MessageApi {
    fn class(&self) -> &'static str {
        Self::CLASS
    }

    fn methods(&self) -> &'static [Method] {
        METHODS
    }

    fn call(&mut self, method: &str, arguments: &Arguments) -> Result<Value, Exception> {
        match method {
            "list_users" => return Ok(self.list_users()),
            "get_user_id" => return self.get_user_id(&arguments["user"]),
            "message_login" => return Ok(self.message_login(&arguments["user_id"])),
            "message_get_login_status" => return Ok(self.message_get_login_status()),
            "add_contact" => return self.add_contact(&arguments["user_name"]),
            _ if !self.current_user.is_true() => return error(NO_LOGIN),
            _ => {}
        }
        match method {
            "send_message" => self.send_message(&arguments["receiver_id"], &arguments["message"]),
            "delete_message" => self.delete_message(&arguments["receiver_id"]),
            "view_messages_sent" => self.view_messages_sent(),
            "search_messages" => self.search_messages(&arguments["keyword"]),
            "get_message_stats" => self.get_message_stats(),
            _ => unreachable!("`{method}` is in no table"),
        }
    }

    fn state(&self) -> Dict {
        let ids = self.generated_ids.iter().copied();
        Dict::from([
            ("generated_ids", Value::Set(ids.map(Value::Int).collect())),
            ("user_count", self.user_count.into()),
            ("user_map", self.user_map.clone().into()),
            ("inbox", self.inbox.clone().into()),
            ("message_count", self.message_count.into()),
            ("current_user", self.current_user.clone()),
        ])
    }
}
