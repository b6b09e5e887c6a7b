//! `TicketAPI`: support tickets, and who works on them.

use python::{Comparison, Dict, Exception, Value, compare};

use super::configuration::Configuration;
use super::operations::{field, lower, set_field};
use super::{Arguments, Backend, DefaultValue, Method, dict, error, method, optional, required};

/// The fields of a ticket that may be edited.
const EDITABLE: [&str; 4] = ["title", "description", "status", "priority"];

pub(super) struct TicketApi {
    ticket_queue: Vec<Value>,
    ticket_counter: i64,
    /// A name, or None.
    current_user: Value,
}

impl TicketApi {
    pub(super) const CLASS: &'static str = "TicketAPI";

    pub(super) fn open(configuration: Configuration<'_>) -> Result<Self, Exception> {
        Ok(Self {
            ticket_queue: configuration.list("ticket_queue")?,
            ticket_counter: configuration.int("ticket_counter")?,
            current_user: configuration.value("current_user"),
        })
    }

    fn create_ticket(
        &mut self,
        title: &Value,
        description: &Value,
        priority: &Value,
    ) -> Result<Value, Exception> {
        if !self.current_user.is_true() {
            return error("User not authenticated. Please log in to create a ticket.");
        }
        if compare(priority, Comparison::Less, &Value::Int(1))?
            || compare(priority, Comparison::Greater, &Value::Int(5))?
        {
            return error("Invalid priority. Priority must be between 1 and 5.");
        }
        let ticket = dict([
            ("id", Value::Int(self.ticket_counter)),
            ("title", title.clone()),
            ("description", description.clone()),
            ("status", "Open".into()),
            ("priority", priority.clone()),
            ("created_by", self.current_user.clone()),
        ]);
        self.ticket_queue.push(ticket.clone());
        self.ticket_counter += 1;
        Ok(ticket)
    }

    fn get_ticket(&self, id: &Value) -> Result<Value, Exception> {
        match self.find(id)? {
            Some(index) => Ok(self.ticket_queue[index].clone()),
            None => no_ticket(id),
        }
    }

    fn close_ticket(&mut self, id: &Value) -> Result<Value, Exception> {
        let Some(index) = self.find(id)? else {
            return no_ticket(id);
        };
        let ticket = &mut self.ticket_queue[index];
        if field(ticket, "status")?.as_str() == Some("Closed") {
            return error(format!("Ticket with ID {id} is already closed."));
        }
        set_field(ticket, "status", "Closed")?;
        Ok(dict([(
            "status",
            format!("Ticket {id} has been closed successfully.").into(),
        )]))
    }

    fn resolve_ticket(&mut self, id: &Value, resolution: &Value) -> Result<Value, Exception> {
        let Some(index) = self.find(id)? else {
            return no_ticket(id);
        };
        let ticket = &mut self.ticket_queue[index];
        if field(ticket, "status")?.as_str() == Some("Resolved") {
            return error(format!("Ticket with ID {id} is already resolved."));
        }
        set_field(ticket, "status", "Resolved")?;
        set_field(ticket, "resolution", resolution.clone())?;
        Ok(dict([(
            "status",
            format!("Ticket {id} has been resolved successfully.").into(),
        )]))
    }

    /// The original lists unknown fields in the order of a set, which depends on a hash seed: here
    /// they stand as they were given.
    fn edit_ticket(&mut self, id: &Value, updates: &Value) -> Result<Value, Exception> {
        let Some(index) = self.find(id)? else {
            return no_ticket(id);
        };
        let Value::Dict(updates) = updates else {
            return Err(Exception::attribute_error(updates, "keys"));
        };
        let unknown = updates
            .keys()
            .filter(|name| !name.as_str().is_some_and(|name| EDITABLE.contains(&name)));
        let unknown: Vec<String> = unknown.map(Value::to_string).collect();
        if !unknown.is_empty() {
            return error(format!("Invalid fields for update: {}", unknown.join(", ")));
        }
        for (name, value) in updates.iter().filter(|(_, value)| !value.is_none()) {
            let name = name.as_str().expect("an editable field is text");
            set_field(&mut self.ticket_queue[index], name, value.clone())?;
        }
        Ok(dict([(
            "status",
            format!("Ticket {id} has been updated successfully.").into(),
        )]))
    }

    fn ticket_login(&mut self, username: &Value, password: &Value) -> Value {
        let success = username.is_true() && password.is_true();
        if success {
            self.current_user = username.clone();
        }
        dict([("success", success.into())])
    }

    fn ticket_get_login_status(&self) -> Value {
        dict([("login_status", self.current_user.is_true().into())])
    }

    fn logout(&mut self) -> Value {
        let was_in = self.current_user.is_true();
        if was_in {
            self.current_user = Value::None;
        }
        dict([("success", was_in.into())])
    }

    fn get_user_tickets(&self, status: &Value) -> Result<Value, Exception> {
        if !self.current_user.is_true() {
            let refused = error("User not authenticated. Please log in to view tickets.")?;
            return Ok(Value::List(vec![refused]));
        }
        let mut tickets = Vec::new();
        for ticket in &self.ticket_queue {
            if *field(ticket, "created_by")? == self.current_user {
                tickets.push(ticket.clone());
            }
        }
        if !status.is_true() {
            return Ok(Value::List(tickets));
        }
        let mut of_status = Vec::new();
        for ticket in tickets {
            if lower(field(&ticket, "status")?)? == lower(status)? {
                of_status.push(ticket);
            }
        }
        Ok(Value::List(of_status))
    }

    /// Where in the queue the ticket is.
    fn find(&self, id: &Value) -> Result<Option<usize>, Exception> {
        for (index, ticket) in self.ticket_queue.iter().enumerate() {
            if field(ticket, "id")? == id {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }
}

fn no_ticket(id: &Value) -> Result<Value, Exception> {
    error(format!("Ticket with ID {id} not found."))
}

const METHODS: &[Method] = &[
    method("close_ticket", &[required("ticket_id")]),
    method(
        "create_ticket",
        &[
            required("title"),
            optional("description", DefaultValue::Str("")),
            optional("priority", DefaultValue::Int(1)),
        ],
    ),
    method("edit_ticket", &[required("ticket_id"), required("updates")]),
    method("get_ticket", &[required("ticket_id")]),
    method(
        "get_user_tickets",
        &[optional("status", DefaultValue::None)],
    ),
    method("logout", &[]),
    method(
        "resolve_ticket",
        &[required("ticket_id"), required("resolution")],
    ),
    method("ticket_get_login_status", &[]),
    method(
        "ticket_login",
        &[required("username"), required("password")],
    ),
];

impl Backend for TicketApi {
    fn class(&self) -> &'static str {
        Self::CLASS
    }

    fn methods(&self) -> &'static [Method] {
        METHODS
    }

    fn call(&mut self, method: &str, arguments: &Arguments) -> Result<Value, Exception> {
        match method {
            "create_ticket" => self.create_ticket(
                &arguments["title"],
                &arguments["description"],
                &arguments["priority"],
            ),
            "get_ticket" => self.get_ticket(&arguments["ticket_id"]),
            "close_ticket" => self.close_ticket(&arguments["ticket_id"]),
            "resolve_ticket" => {
                self.resolve_ticket(&arguments["ticket_id"], &arguments["resolution"])
            }
            "edit_ticket" => self.edit_ticket(&arguments["ticket_id"], &arguments["updates"]),
            "ticket_login" => Ok(self.ticket_login(&arguments["username"], &arguments["password"])),
            "ticket_get_login_status" => Ok(self.ticket_get_login_status()),
            "logout" => Ok(self.logout()),
            "get_user_tickets" => self.get_user_tickets(&arguments["status"]),
            _ => unreachable!("`{method}` is in no table"),
        }
    }

    fn state(&self) -> Dict {
        Dict::from([
            ("ticket_queue", self.ticket_queue.clone().into()),
            ("ticket_counter", self.ticket_counter.into()),
            ("current_user", self.current_user.clone()),
        ])
    }
}
