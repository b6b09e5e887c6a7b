//! `TravelAPI`: flights, the cards that pay them, and bookings.

use std::sync::Arc;

use python::{
    Comparison, Dict, Exception, Value, add, compare, divide, float_of, multiply, round, subtract,
};

use super::configuration::Configuration;
use super::operations::{date_of, field, raised, set_field};
use super::{Arguments, Backend, DefaultValue, Method, dict, error, method, optional, required};
use crate::calendar::Date;
use crate::tables::Tables;
use crate::twister::Twister;

const MODULE: &str = "travel_booking";
const SEED: u64 = 141_053;

pub(super) struct TravelApi {
    random: Twister,
    tables: Arc<Tables>,
    /// The day on which travellers tell their age.
    today: Date,
    /// Ids to cards.
    credit_card_list: Dict,
    /// Ids to bookings.
    booking_record: Dict,
    access_token: Value,
    token_type: Value,
    token_expires_in: Value,
    token_scope: Value,
    user_first_name: Value,
    user_last_name: Value,
    budget_limit: Value,
    long_context: bool,
}

impl TravelApi {
    pub(super) const CLASS: &'static str = "TravelAPI";

    /// In long contexts further cards and bookings are added. The original adds the same objects
    /// to all episodes of a process, which then pay for each other's flights: here each has its
    /// own.
    pub(super) fn open(configuration: Configuration<'_>) -> Result<Self, Exception> {
        let mut credit_card_list = configuration.dict("credit_card_list")?;
        let mut booking_record = configuration.dict("booking_record")?;
        if configuration.long_context {
            let tables = configuration.tables;
            add_absent(
                &mut credit_card_list,
                tables.long_context("CREDIT_CARD_EXTENSION")?,
            )?;
            add_absent(
                &mut booking_record,
                tables.long_context("BOOKING_RECORD_EXTENSION")?,
            )?;
        }
        Ok(Self {
            random: configuration.random(SEED)?,
            tables: Arc::clone(configuration.tables),
            today: configuration.tables.today,
            credit_card_list,
            booking_record,
            access_token: configuration.value("access_token"),
            token_type: configuration.value("token_type"),
            token_expires_in: configuration.value("token_expires_in"),
            token_scope: configuration.value("token_scope"),
            user_first_name: configuration.value("user_first_name"),
            user_last_name: configuration.value("user_last_name"),
            budget_limit: configuration.value("budget_limit"),
            long_context: configuration.long_context,
        })
    }

    fn authenticate_travel(&mut self, arguments: &Arguments) -> Value {
        self.token_expires_in = Value::Int(2);
        self.access_token = self.id(100_000, 999_999);
        self.token_type = "Bearer".into();
        self.token_scope = arguments["grant_type"].clone();
        self.user_first_name = arguments["user_first_name"].clone();
        self.user_last_name = arguments["user_last_name"].clone();
        dict([
            ("expires_in", self.token_expires_in.clone()),
            ("access_token", self.access_token.clone()),
            ("token_type", self.token_type.clone()),
            ("scope", self.token_scope.clone()),
        ])
    }

    fn travel_get_login_status(&self) -> Value {
        let expired = self.token_expires_in.is_none() || self.token_expires_in == Value::Int(0);
        dict([("status", (!expired).into())])
    }

    fn register_credit_card(&mut self, arguments: &Arguments) -> Result<Value, Exception> {
        let number = &arguments["card_number"];
        if self.token_expires_in.is_none() {
            return error("Token not initialized");
        }
        if let Some(fault) = self.fault_of(&arguments["access_token"]) {
            return error(fault);
        }
        if self.credit_card_list.get_key(number)?.is_some() {
            return error("Card already registered");
        }
        let id = self.id(100_000_000_000, 999_999_999_999);
        let card = dict([
            ("card_number", number.clone()),
            ("expiration_date", arguments["expiration_date"].clone()),
            ("cardholder_name", arguments["cardholder_name"].clone()),
            (
                "card_verification_number",
                arguments["card_verification_number"].clone(),
            ),
            ("balance", self.random.randint(10_000, 99_999).into()),
        ]);
        self.credit_card_list.insert_key(id.clone(), card)?;
        Ok(dict([("card_id", id)]))
    }

    /// In long contexts: what all routes cost on this date, in this class.
    fn get_flight_cost(&self, arguments: &Arguments) -> Result<Value, Exception> {
        let route = [&arguments["travel_from"], &arguments["travel_to"]];
        let [date, class] = [&arguments["travel_date"], &arguments["travel_class"]];
        let cost = self.cost(route, date, class)?;
        if !self.long_context {
            return Ok(dict([("travel_cost_list", vec![cost.into()].into())]));
        }
        let mut costs = Vec::new();
        for row in self.tables.list(MODULE, "base_costs")? {
            let [_, price] = pair(row)?;
            costs.push(Value::Float(float_of(price)? * factor(class, date)?));
        }
        Ok(dict([("travel_cost_list", costs.into())]))
    }

    /// What a flight costs, in dollars.
    fn cost(&self, route: [&Value; 2], date: &Value, class: &Value) -> Result<f64, Exception> {
        route
            .iter()
            .try_for_each(|airport| airport.check_hashable())?;
        let price = self.find("base_costs", route)?;
        let price = price.ok_or_else(|| raised("No available route for the given airports."))?;
        Ok(float_of(price)? * factor(class, date)?)
    }

    /// The value of a pair in a table of the benchmark, whose rows are `[[from, to], value]`.
    fn find(&self, table: &str, wanted: [&Value; 2]) -> Result<Option<&Value>, Exception> {
        for row in self.tables.list(MODULE, table)? {
            let [key, value] = pair(row)?;
            if pair(key)? == wanted {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn get_credit_card_balance(&self, token: &Value, card: &Value) -> Result<Value, Exception> {
        if let Some(fault) = self.fault_of(token) {
            return error(fault);
        }
        let Some(card) = self.credit_card_list.get_key(card)? else {
            let ids = Value::List(self.credit_card_list.keys().cloned().collect());
            return error(format!(
                "Card not registered. Here are a list of card_id's: {ids}"
            ));
        };
        Ok(dict([("card_balance", field(card, "balance")?.clone())]))
    }

    fn book_flight(&mut self, arguments: &Arguments) -> Result<Value, Exception> {
        let refuse = |text: &str| refuse("booking_status", text);
        let [card_id, date, class] =
            ["card_id", "travel_date", "travel_class"].map(|name| &arguments[name]);
        let [from, to] = [&arguments["travel_from"], &arguments["travel_to"]];
        if let Some(fault) = self.fault_of(&arguments["access_token"]) {
            return refuse(fault);
        }
        let Some(card) = self.credit_card_list.get_key(card_id)? else {
            return refuse("Card not registered");
        };
        let Some(balance) = card.as_dict().and_then(|card| card.get("balance")).cloned() else {
            return refuse("Balance not found");
        };
        let airports = self.tables.backend(MODULE, "list_all_airports")?;
        if !airports.contains(from)? {
            return refuse(&format!("Invalid departure airport code: {from}"));
        }
        if !airports.contains(to)? {
            return refuse(&format!("Invalid destination airport code: {to}"));
        }
        if date_of(date)?.is_err() {
            return refuse("Invalid date format. Use YYYY-MM-DD.");
        }
        class.check_hashable()?;
        if class_factor(class).is_none() {
            // The original prints a set: this is its order with the hash seed 0.
            return refuse("Invalid travel class. Must be one of {'first', 'business', 'economy'}");
        }
        let cost = match self.cost([from, to], date, class) {
            Ok(cost) => Value::Float(cost),
            Err(exception) => return refuse(&exception.text),
        };
        if compare(&balance, Comparison::Less, &cost)? {
            return refuse("Insufficient funds");
        }
        if !self.budget_limit.is_none() && compare(&balance, Comparison::Less, &self.budget_limit)?
        {
            return refuse("Balance is less than budget limit");
        }
        self.set_balance(card_id, subtract(&balance, &cost)?)?;
        let booking_id = self.id(1_000_000, 9_999_999);
        let transaction_id = self.id(10_000_000, 99_999_999);
        let booking = dict([
            ("card_id", card_id.clone()),
            ("travel_date", date.clone()),
            ("travel_from", from.clone()),
            ("travel_to", to.clone()),
            ("travel_class", class.clone()),
            ("travel_cost", cost),
            ("transaction_id", transaction_id.clone()),
        ]);
        self.booking_record
            .insert_key(booking_id.clone(), booking)?;
        let history = if self.long_context {
            self.booking_record.clone()
        } else {
            Dict::new()
        };
        Ok(dict([
            ("booking_id", booking_id),
            ("transaction_id", transaction_id),
            ("booking_status", true.into()),
            ("booking_history", history.into()),
        ]))
    }

    fn retrieve_invoice(&self, token: &Value, booking_id: &Value) -> Result<Value, Exception> {
        if let Some(fault) = self.fault_of(token) {
            return error(fault);
        }
        let Some(booking) = self.booking_record.get_key(booking_id)? else {
            return error("Booking not found");
        };
        let mut invoice = Dict::from([("booking_id", booking_id.clone())]);
        for name in [
            "travel_date",
            "travel_from",
            "travel_to",
            "travel_class",
            "travel_cost",
            "transaction_id",
        ] {
            invoice.insert(name, field(booking, name)?.clone());
        }
        Ok(dict([("invoice", invoice.into())]))
    }

    fn get_booking_history(&self, token: &Value) -> Result<Value, Exception> {
        match self.fault_of(token) {
            Some(fault) => error(fault),
            None => Ok(dict([(
                "booking_history",
                self.booking_record.clone().into(),
            )])),
        }
    }

    fn cancel_booking(&mut self, token: &Value, booking_id: &Value) -> Result<Value, Exception> {
        let refuse = |text: &str| refuse("cancel_status", text);
        if let Some(fault) = self.fault_of(token) {
            return refuse(fault);
        }
        let Some(booking) = self.booking_record.get_key(booking_id)? else {
            return refuse("Booking not found");
        };
        let (card_id, cost) = (
            field(booking, "card_id")?.clone(),
            field(booking, "travel_cost")?.clone(),
        );
        let balance = field(self.credit_card_list.item(&card_id)?, "balance")?;
        self.set_balance(&card_id, add(balance, &cost)?)?;
        self.booking_record.remove_key(booking_id)?;
        Ok(dict([("cancel_status", true.into())]))
    }

    fn compute_exchange_rate(
        &self,
        base: &Value,
        target: &Value,
        value: &Value,
    ) -> Result<Value, Exception> {
        let exchanged = if let Some(rate) = self.find("exchange_rates", [base, target])? {
            Value::Float(float_of(&multiply(value, rate)?)?)
        } else if let Some(rate) = self.find("exchange_rates", [target, base])? {
            round(&divide(value, rate)?, &Value::Int(2))?
        } else {
            return Err(raised(
                "No available exchange rate for the given currencies.",
            ));
        };
        Ok(dict([("exchanged_value", exchanged)]))
    }

    fn get_nearest_airport_by_city(&self, city: &Value) -> Result<Value, Exception> {
        let airport = self.tables.dict(MODULE, "airport_map")?.get_key(city)?;
        let airport = airport.cloned().unwrap_or_else(|| "Unknown".into());
        Ok(dict([("nearest_airport", airport)]))
    }

    fn verify_traveler_information(&self, arguments: &Arguments) -> Result<Value, Exception> {
        let refuse = |text: &str| {
            Ok(dict([
                ("verification_status", false.into()),
                ("verification_failure", text.into()),
            ]))
        };
        let [first_name, last_name] = [&arguments["first_name"], &arguments["last_name"]];
        if *first_name != self.user_first_name || *last_name != self.user_last_name {
            return refuse(&format!(
                "Cannot book flight information for another user.\
                 Expected {} {}, got {first_name} {last_name}",
                self.user_first_name, self.user_last_name
            ));
        }
        let Ok(birth) = date_of(&arguments["date_of_birth"])? else {
            return refuse("Invalid date of birth format. Please use YYYY-MM-DD.");
        };
        if birth.age(self.today) < 18 {
            return refuse("Traveler must be at least 18 years old.");
        }
        match &arguments["passport_number"] {
            Value::Str(number) if number.starts_with("US") => {
                Ok(dict([("verification_status", true.into())]))
            }
            Value::Str(_) => refuse("Passport must be issued by the United States."),
            other => Err(Exception::attribute_error(other, "startswith")),
        }
    }

    fn set_budget_limit(&mut self, token: &Value, limit: &Value) -> Result<Value, Exception> {
        if let Some(fault) = self.fault_of(token) {
            return error(fault);
        }
        self.budget_limit = Value::Float(float_of(limit)?);
        Ok(dict([("budget_limit", self.budget_limit.clone())]))
    }

    fn purchase_insurance(&mut self, arguments: &Arguments) -> Result<Value, Exception> {
        let refuse = |text: &str| refuse("insurance_status", text);
        let [cost, card_id] = [&arguments["insurance_cost"], &arguments["card_id"]];
        if let Some(fault) = self.fault_of(&arguments["access_token"]) {
            return refuse(fault);
        }
        let limit = &self.budget_limit;
        if !limit.is_none() && compare(limit, Comparison::Less, cost)? {
            return refuse("Exceeded budget limit");
        }
        if self
            .booking_record
            .get_key(&arguments["booking_id"])?
            .is_none()
        {
            return refuse("Booking not found");
        }
        let Some(card) = self.credit_card_list.get_key(card_id)? else {
            return refuse("Credit card not registered");
        };
        self.set_balance(card_id, subtract(field(card, "balance")?, cost)?)?;
        Ok(dict([
            ("insurance_id", self.id(100_000_000, 999_999_999)),
            ("insurance_status", true.into()),
        ]))
    }

    fn contact_customer_support(&self, booking_id: &Value) -> Result<Value, Exception> {
        if self.booking_record.get_key(booking_id)?.is_none() {
            return error("Booking not found");
        }
        let thanks = "Thank you for contacting customer support. \
                      Your message has been received and we will get back to you shortly.";
        Ok(dict([("customer_support_message", thanks.into())]))
    }

    /// What is wrong with an access token.
    fn fault_of(&self, token: &Value) -> Option<&'static str> {
        if self.token_expires_in == Value::Int(0) {
            Some("Token expired")
        } else if self.access_token != *token {
            Some("Invalid access token")
        } else {
            None
        }
    }

    /// A new id: a number of a range, as text.
    fn id(&mut self, least: i64, most: i64) -> Value {
        self.random.randint(least, most).to_string().into()
    }

    fn set_balance(&mut self, card_id: &Value, balance: Value) -> Result<(), Exception> {
        let card = self.credit_card_list.get_key_mut(card_id)?;
        set_field(
            card.ok_or_else(|| Exception::key_error(card_id))?,
            "balance",
            balance,
        )
    }
}

/// How methods with a status refuse.
fn refuse(status: &str, text: &str) -> Result<Value, Exception> {
    Ok(dict([(status, false.into()), ("error", text.into())]))
}

fn add_absent(dict: &mut Dict, extension: &Value) -> Result<(), Exception> {
    for (id, value) in extension.as_dict().into_iter().flat_map(Dict::iter) {
        if dict.get_key(id)?.is_none() {
            dict.insert_key(id.clone(), value.clone())?;
        }
    }
    Ok(())
}

/// A row of a table of two columns.
fn pair(row: &Value) -> Result<[&Value; 2], Exception> {
    match row.as_list() {
        Some([first, second]) => Ok([first, second]),
        _ => Err(Exception::value_error(format!("not a pair: {row}"))),
    }
}

/// What a class multiplies the price with.
fn class_factor(class: &Value) -> Option<f64> {
    match class.as_str() {
        Some("economy") => Some(1.0),
        Some("business") => Some(2.0),
        Some("first") => Some(5.0),
        _ => None,
    }
}

/// What class and date multiply the price with: twice as much where the sum of the date's digits
/// is even.
fn factor(class: &Value, date: &Value) -> Result<f64, Exception> {
    let Some(factor) = class_factor(class) else {
        return Err(raised(
            "Invalid travel class. Options are: economy, business, first.",
        ));
    };
    let mut sum = 0;
    for character in date.iterate()? {
        let Some(character) = character.as_str() else {
            return Err(Exception::attribute_error(&character, "isdigit"));
        };
        sum += character
            .chars()
            .filter_map(|c| c.to_digit(10))
            .sum::<u32>();
    }
    Ok(if sum % 2 == 0 { factor * 2.0 } else { factor })
}

const METHODS: &[Method] = &[
    method(
        "authenticate_travel",
        &[
            required("client_id"),
            required("client_secret"),
            required("refresh_token"),
            required("grant_type"),
            required("user_first_name"),
            required("user_last_name"),
        ],
    ),
    method(
        "book_flight",
        &[
            required("access_token"),
            required("card_id"),
            required("travel_date"),
            required("travel_from"),
            required("travel_to"),
            required("travel_class"),
        ],
    ),
    method(
        "cancel_booking",
        &[required("access_token"), required("booking_id")],
    ),
    method(
        "compute_exchange_rate",
        &[
            required("base_currency"),
            required("target_currency"),
            required("value"),
        ],
    ),
    method(
        "contact_customer_support",
        &[required("booking_id"), required("message")],
    ),
    method("get_all_credit_cards", &[]),
    method("get_booking_history", &[required("access_token")]),
    method(
        "get_budget_fiscal_year",
        &[
            optional("lastModifiedAfter", DefaultValue::None),
            optional("includeRemoved", DefaultValue::None),
        ],
    ),
    method(
        "get_credit_card_balance",
        &[required("access_token"), required("card_id")],
    ),
    method(
        "get_flight_cost",
        &[
            required("travel_from"),
            required("travel_to"),
            required("travel_date"),
            required("travel_class"),
        ],
    ),
    method("get_nearest_airport_by_city", &[required("location")]),
    method("list_all_airports", &[]),
    method(
        "purchase_insurance",
        &[
            required("access_token"),
            required("insurance_type"),
            required("booking_id"),
            required("insurance_cost"),
            required("card_id"),
        ],
    ),
    method(
        "register_credit_card",
        &[
            required("access_token"),
            required("card_number"),
            required("expiration_date"),
            required("cardholder_name"),
            required("card_verification_number"),
        ],
    ),
    method(
        "retrieve_invoice",
        &[
            required("access_token"),
            optional("booking_id", DefaultValue::None),
            optional("insurance_id", DefaultValue::None),
        ],
    ),
    method(
        "set_budget_limit",
        &[required("access_token"), required("budget_limit")],
    ),
    method("travel_get_login_status", &[]),
    method(
        "verify_traveler_information",
        &[
            required("first_name"),
            required("last_name"),
            required("date_of_birth"),
            required("passport_number"),
        ],
    ),
];

impl Backend for TravelApi {
    fn class(&self) -> &'static str {
        Self::CLASS
    }

    fn methods(&self) -> &'static [Method] {
        METHODS
    }

    fn call(&mut self, method: &str, arguments: &Arguments) -> Result<Value, Exception> {
        match method {
            "authenticate_travel" => Ok(self.authenticate_travel(arguments)),
            "travel_get_login_status" => Ok(self.travel_get_login_status()),
            "get_budget_fiscal_year" => Ok(dict([("budget_fiscal_year", "2018".into())])),
            "register_credit_card" => self.register_credit_card(arguments),
            "get_flight_cost" => self.get_flight_cost(arguments),
            "get_credit_card_balance" => {
                self.get_credit_card_balance(&arguments["access_token"], &arguments["card_id"])
            }
            "book_flight" => self.book_flight(arguments),
            "retrieve_invoice" => {
                self.retrieve_invoice(&arguments["access_token"], &arguments["booking_id"])
            }
            "get_booking_history" => self.get_booking_history(&arguments["access_token"]),
            "list_all_airports" => self.tables.backend(MODULE, "list_all_airports").cloned(),
            "cancel_booking" => {
                self.cancel_booking(&arguments["access_token"], &arguments["booking_id"])
            }
            "compute_exchange_rate" => self.compute_exchange_rate(
                &arguments["base_currency"],
                &arguments["target_currency"],
                &arguments["value"],
            ),
            "verify_traveler_information" => self.verify_traveler_information(arguments),
            "set_budget_limit" => {
                self.set_budget_limit(&arguments["access_token"], &arguments["budget_limit"])
            }
            "get_nearest_airport_by_city" => {
                self.get_nearest_airport_by_city(&arguments["location"])
            }
            "purchase_insurance" => self.purchase_insurance(arguments),
            "contact_customer_support" => self.contact_customer_support(&arguments["booking_id"]),
            "get_all_credit_cards" => Ok(dict([(
                "credit_card_list",
                self.credit_card_list.clone().into(),
            )])),
            _ => unreachable!("`{method}` is in no table"),
        }
    }

    fn state(&self) -> Dict {
        Dict::from([
            ("credit_card_list", self.credit_card_list.clone().into()),
            ("booking_record", self.booking_record.clone().into()),
            ("access_token", self.access_token.clone()),
            ("token_type", self.token_type.clone()),
            ("token_expires_in", self.token_expires_in.clone()),
            ("token_scope", self.token_scope.clone()),
            ("user_first_name", self.user_first_name.clone()),
            ("user_last_name", self.user_last_name.clone()),
            ("budget_limit", self.budget_limit.clone()),
            ("long_context", self.long_context.into()),
        ])
    }
}
