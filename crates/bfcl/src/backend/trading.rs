//! `TradingBot`: an account at a stock broker's. Orders never fill, and the clock stands still.

use std::sync::Arc;

use python::{
    Comparison, Dict, Exception, Value, add, compare, fixed, float_of, int_of, multiply, subtract,
};

use super::configuration::Configuration;
use super::operations::{date_of, field, lower, moment_of, set_field};
use super::{Arguments, Backend, DefaultValue, Method, dict, error, method, optional, required};
use crate::calendar::{Date, Moment};
use crate::tables::Tables;
use crate::twister::Twister;

const MODULE: &str = "trading_bot";
const SEED: u64 = 1_053_520;

/// The moment at which everything happens.
const CLOCK: Moment = Moment {
    date: Date {
        year: 2024,
        month: 9,
        day: 1,
    },
    second: (10 * 60 + 30) * 60,
};
const SECONDS_OF_DAY: i64 = 24 * 60 * 60;

pub(super) struct TradingBot {
    random: Twister,
    tables: Arc<Tables>,
    /// Ids to orders. A configuration's ids are text, and become integers where they can.
    orders: Dict,
    account_info: Value,
    authenticated: Value,
    market_status: Value,
    order_counter: i64,
    /// Symbols to stocks.
    stocks: Dict,
    watch_list: Vec<Value>,
    transaction_history: Vec<Value>,
    long_context: bool,
}

impl TradingBot {
    pub(super) const CLASS: &'static str = "TradingBot";

    pub(super) fn open(configuration: Configuration<'_>) -> Result<Self, Exception> {
        Ok(Self {
            random: configuration.random(SEED)?,
            tables: Arc::clone(configuration.tables),
            orders: configuration.numbered("orders")?,
            account_info: configuration.value("account_info"),
            authenticated: configuration.value("authenticated"),
            market_status: configuration.value("market_status"),
            order_counter: configuration.int("order_counter")?,
            stocks: configuration.dict("stocks")?,
            watch_list: configuration.list("watch_list")?,
            transaction_history: configuration.list("transaction_history")?,
            long_context: configuration.long_context,
        })
    }

    fn get_symbol_by_name(&self, name: &Value) -> Result<Value, Exception> {
        let symbol = match self.tables.dict(MODULE, "symbol_map")?.get_key(name)? {
            Some(symbol) => symbol.clone(),
            None => "Stock not found".into(),
        };
        Ok(dict([("symbol", symbol)]))
    }

    fn get_stock_info(&self, symbol: &Value) -> Result<Value, Exception> {
        let Some(stock) = self.stocks.get_key(symbol)? else {
            return error(format!("Stock with symbol '{symbol}' not found."));
        };
        let mut stock = stock.clone();
        if self.long_context {
            for (name, extension) in [("MA(5)", "MA_5_EXTENSION"), ("MA(20)", "MA_20_EXTENSION")] {
                set_field(
                    &mut stock,
                    name,
                    self.tables.long_context(extension)?.clone(),
                )?;
            }
        }
        Ok(stock)
    }

    fn get_order_details(&self, id: &Value) -> Result<Value, Exception> {
        let Some(order) = self.orders.get_key(id)? else {
            let ids = Value::List(self.orders.keys().cloned().collect());
            // There is no blank after the first sentence.
            return error(format!(
                "Order with ID {id} not found.Here is the list of orders_id: {ids}"
            ));
        };
        let mut order = order.clone();
        if self.long_context {
            if !matches!(order, Value::Dict(_) | Value::List(_)) {
                return Err(Exception::attribute_error(&order, "copy"));
            }
            let metadata = self.order_metadata(&field(&order, "symbol")?.to_string())?;
            set_field(&mut order, "metadata", metadata)?;
        }
        Ok(order)
    }

    /// What long contexts tell of an order's company.
    fn order_metadata(&self, symbol: &str) -> Result<Dict, Exception> {
        let mut metadata = Dict::new();
        let extension = self.tables.long_context("ORDER_DETAIL_EXTENSION")?;
        for (name, text) in extension.as_dict().into_iter().flat_map(Dict::iter) {
            let text = text.to_string().replace("{symbol}", symbol);
            metadata.insert_key(name.clone(), text.into())?;
        }
        Ok(metadata)
    }

    fn cancel_order(&mut self, id: &Value) -> Result<Value, Exception> {
        let Some(order) = self.orders.get_key_mut(id)? else {
            return error(format!("Order with ID {id} not found."));
        };
        if field(order, "status")?.as_str() == Some("Completed") {
            return error(format!(
                "Can't cancel order {id}. Order is already completed."
            ));
        }
        set_field(order, "status", "Cancelled")?;
        Ok(dict([
            ("order_id", id.clone()),
            ("status", "Cancelled".into()),
        ]))
    }

    fn place_order(&mut self, arguments: &Arguments) -> Result<Value, Exception> {
        let [order_type, symbol, price, amount] =
            ["order_type", "symbol", "price", "amount"].map(|name| &arguments[name]);
        if !self.authenticated.is_true() {
            return error("User not authenticated. Please log in to place an order.");
        }
        if self.stocks.get_key(symbol)?.is_none() {
            return error(format!("Invalid stock symbol: {symbol}"));
        }
        if is_not_positive(price)? || is_not_positive(amount)? {
            return error("Price and amount must be positive values.");
        }
        if lower(order_type)? == "buy" {
            let cost = multiply(&Value::Float(float_of(price)?), &int_of(amount)?)?;
            let balance = field(&self.account_info, "balance")?;
            if compare(&cost, Comparison::Greater, balance)? {
                return error(format!(
                    "Insufficient funds: required ${} but only ${} available.",
                    fixed(float_of(&cost)?, 2),
                    fixed(float_of(balance)?, 2)
                ));
            }
        }
        let price = Value::Float(float_of(price)?);
        let id = Value::Int(self.order_counter);
        let order = dict([
            ("id", id.clone()),
            ("order_type", order_type.clone()),
            ("symbol", symbol.clone()),
            ("price", price.clone()),
            ("amount", amount.clone()),
            ("status", "Open".into()),
        ]);
        self.orders.insert_key(id.clone(), order)?;
        self.order_counter += 1;
        Ok(dict([
            ("order_id", id),
            ("order_type", order_type.clone()),
            ("status", "Pending".into()),
            ("price", price),
            ("amount", amount.clone()),
        ]))
    }

    fn get_account_info(&self) -> Result<Value, Exception> {
        if !self.authenticated.is_true() {
            return error("User not authenticated. Please log in to view account information.");
        }
        Ok(self.account_info.clone())
    }

    fn trading_login(&mut self) -> Value {
        let status = if self.authenticated.is_true() {
            "Already logged in"
        } else {
            "Logged in successfully"
        };
        self.authenticated = Value::Bool(true);
        dict([("status", status.into())])
    }

    fn trading_logout(&mut self) -> Value {
        let status = if self.authenticated.is_true() {
            "Logged out successfully"
        } else {
            "No user is currently logged in"
        };
        self.authenticated = Value::Bool(false);
        dict([("status", status.into())])
    }

    fn fund_account(&mut self, amount: &Value) -> Result<Value, Exception> {
        if !self.authenticated.is_true() {
            return error("User not authenticated. Please log in to fund the account.");
        }
        if is_not_positive(amount)? {
            return error("Funding amount must be positive.");
        }
        let balance = add(field(&self.account_info, "balance")?, amount)?;
        self.transact("deposit", amount, balance, "Account funded successfully")
    }

    fn withdraw_funds(&mut self, amount: &Value) -> Result<Value, Exception> {
        if !self.authenticated.is_true() {
            return error("User not authenticated. Please log in to make a transaction.");
        }
        if self.market_status.as_str() != Some("Open") {
            return error("Market is closed. Transactions are not allowed.");
        }
        if is_not_positive(amount)? {
            return error("Transaction amount must be positive.");
        }
        let balance = field(&self.account_info, "balance")?;
        if compare(amount, Comparison::Greater, balance)? {
            return error("Insufficient funds for withdrawal.");
        }
        let balance = subtract(balance, amount)?;
        self.transact("withdrawal", amount, balance, "Withdrawal successful")
    }

    /// Writes the new balance, and the transaction with a moment of the next 24 hours.
    fn transact(
        &mut self,
        kind: &str,
        amount: &Value,
        balance: Value,
        status: &str,
    ) -> Result<Value, Exception> {
        set_field(&mut self.account_info, "balance", balance.clone())?;
        let seconds = self.random.randint(0, SECONDS_OF_DAY);
        let moment = CLOCK.after(u32::try_from(seconds).expect("a day's seconds fit"));
        self.transaction_history.push(dict([
            ("type", kind.into()),
            ("amount", amount.clone()),
            ("timestamp", moment.to_string().into()),
        ]));
        Ok(dict([("status", status.into()), ("new_balance", balance)]))
    }

    /// In long contexts this is a bare list, which ends in an Ellipsis that its authors left in.
    fn get_watchlist(&self) -> Result<Value, Exception> {
        if !self.authenticated.is_true() {
            let refused = "Error: User not authenticated. Please log in to view the watchlist.";
            return Ok(Value::List(vec![refused.into()]));
        }
        if self.long_context {
            let watch_list = self.watch_list.clone().into();
            return add(
                &watch_list,
                self.tables.long_context("WATCH_LIST_EXTENSION")?,
            );
        }
        Ok(self.watchlist())
    }

    fn add_to_watchlist(&mut self, stock: &Value) -> Result<Value, Exception> {
        if self.stocks.get_key(stock)?.is_some() && !self.watch_list.contains(stock) {
            self.watch_list.push(stock.clone());
        }
        Ok(self.watchlist())
    }

    fn watchlist(&self) -> Value {
        dict([("watchlist", self.watch_list.clone().into())])
    }

    fn remove_stock_from_watchlist(&mut self, symbol: &Value) -> Result<Value, Exception> {
        if !self.authenticated.is_true() {
            return error("User not authenticated. Please log in to modify the watchlist.");
        }
        let Some(index) = self.watch_list.iter().position(|other| other == symbol) else {
            return error(format!("Stock {symbol} not found in watchlist."));
        };
        self.watch_list.remove(index);
        let status = format!("Stock {symbol} removed from watchlist successfully.");
        Ok(dict([("status", status.into())]))
    }

    fn get_order_history(&self) -> Result<Value, Exception> {
        if !self.authenticated.is_true() {
            return refuse_in_list("User not authenticated. Please log in to view order history.");
        }
        Ok(dict([(
            "history",
            Value::List(self.orders.keys().cloned().collect()),
        )]))
    }

    fn get_transaction_history(&self, start: &Value, end: &Value) -> Result<Value, Exception> {
        if !self.authenticated.is_true() {
            return refuse_in_list(
                "User not authenticated. Please log in to view transaction history.",
            );
        }
        let (start, end) = (bound(start)?, bound(end)?);
        let mut history = Vec::new();
        for transaction in &self.transaction_history {
            let moment = moment_of(field(transaction, "timestamp")?)?;
            if start.is_none_or(|start| start <= moment) && end.is_none_or(|end| moment <= end) {
                history.push(transaction.clone());
            }
        }
        if self.long_context {
            let extension = self.tables.long_context("TRANSACTION_HISTORY_EXTENSION")?;
            history.extend(extension.iterate()?);
        }
        Ok(dict([("transaction_history", history.into())]))
    }

    fn get_available_stocks(&self, sector: &Value) -> Result<Value, Exception> {
        let mut stocks = match self.tables.dict(MODULE, "sector_map")?.get_key(sector)? {
            Some(stocks) => stocks.iterate()?,
            None => Vec::new(),
        };
        if self.long_context {
            let extension = match sector.as_str() {
                Some("Technology") => Some("TECHNOLOGY_EXTENSION"),
                Some("Automobile") => Some("AUTOMOBILE_EXTENSION"),
                _ => None,
            };
            if let Some(name) = extension {
                stocks.extend(self.tables.long_context(name)?.iterate()?);
            }
        }
        Ok(dict([("stock_list", stocks.into())]))
    }

    fn filter_stocks_by_price(
        &self,
        stocks: &Value,
        min: &Value,
        max: &Value,
    ) -> Result<Value, Exception> {
        let mut filtered = Vec::new();
        for stock in stocks.iterate()? {
            let price = match self.stocks.get_key(&stock)? {
                Some(stock) => field(stock, "price")?,
                None => &Value::Int(0),
            };
            if compare(price, Comparison::GreaterOrEqual, min)?
                && compare(price, Comparison::LessOrEqual, max)?
            {
                filtered.push(stock);
            }
        }
        Ok(dict([("filtered_stocks", filtered.into())]))
    }

    fn notify_price_change(&self, stocks: &Value, threshold: &Value) -> Result<Value, Exception> {
        let mut changed = Vec::new();
        for stock in stocks.iterate()? {
            let Some(known) = self.stocks.get_key(&stock)? else {
                continue;
            };
            let change = Value::Float(float_of(field(known, "percent_change")?)?.abs());
            if compare(&change, Comparison::GreaterOrEqual, threshold)? {
                changed.push(stock.to_string());
            }
        }
        let notification = if changed.is_empty() {
            "No significant price changes in the selected stocks.".to_owned()
        } else {
            format!(
                "Stocks {} have significant price changes.",
                changed.join(", ")
            )
        };
        Ok(dict([("notification", notification.into())]))
    }
}

/// The midnight at which a date's day begins; `None` where no date is given.
fn bound(date: &Value) -> Result<Option<Moment>, Exception> {
    if !date.is_true() {
        return Ok(None);
    }
    let date = date_of(date)?.map_err(Exception::value_error)?;
    Ok(Some(Moment::midnight(date)))
}

/// Some methods give a list even of what they refuse.
fn refuse_in_list(text: &str) -> Result<Value, Exception> {
    Ok(Value::List(vec![error(text)?]))
}

/// `value <= 0`
fn is_not_positive(value: &Value) -> Result<bool, Exception> {
    compare(value, Comparison::LessOrEqual, &Value::Int(0))
}

const METHODS: &[Method] = &[
    method("add_to_watchlist", &[required("stock")]),
    method("cancel_order", &[required("order_id")]),
    method(
        "filter_stocks_by_price",
        &[
            required("stocks"),
            required("min_price"),
            required("max_price"),
        ],
    ),
    method("fund_account", &[required("amount")]),
    method("get_account_info", &[]),
    method("get_available_stocks", &[required("sector")]),
    method("get_current_time", &[]),
    method("get_order_details", &[required("order_id")]),
    method("get_order_history", &[]),
    method("get_stock_info", &[required("symbol")]),
    method("get_symbol_by_name", &[required("name")]),
    method(
        "get_transaction_history",
        &[
            optional("start_date", DefaultValue::None),
            optional("end_date", DefaultValue::None),
        ],
    ),
    method("get_watchlist", &[]),
    method(
        "notify_price_change",
        &[required("stocks"), required("threshold")],
    ),
    method(
        "place_order",
        &[
            required("order_type"),
            required("symbol"),
            required("price"),
            required("amount"),
        ],
    ),
    method("remove_stock_from_watchlist", &[required("symbol")]),
    method("trading_get_login_status", &[]),
    method(
        "trading_login",
        &[required("username"), required("password")],
    ),
    method("trading_logout", &[]),
    method("withdraw_funds", &[required("amount")]),
];

impl Backend for TradingBot {
    fn class(&self) -> &'static str {
        Self::CLASS
    }

    fn methods(&self) -> &'static [Method] {
        METHODS
    }

    fn call(&mut self, method: &str, arguments: &Arguments) -> Result<Value, Exception> {
        match method {
            "get_current_time" => Ok(dict([("current_time", "10:30 AM".into())])),
            "get_symbol_by_name" => self.get_symbol_by_name(&arguments["name"]),
            "get_stock_info" => self.get_stock_info(&arguments["symbol"]),
            "get_order_details" => self.get_order_details(&arguments["order_id"]),
            "cancel_order" => self.cancel_order(&arguments["order_id"]),
            "place_order" => self.place_order(arguments),
            "get_account_info" => self.get_account_info(),
            "trading_login" => Ok(self.trading_login()),
            "trading_get_login_status" => {
                Ok(dict([("status", self.authenticated.is_true().into())]))
            }
            "trading_logout" => Ok(self.trading_logout()),
            "fund_account" => self.fund_account(&arguments["amount"]),
            "withdraw_funds" => self.withdraw_funds(&arguments["amount"]),
            "get_watchlist" => self.get_watchlist(),
            "add_to_watchlist" => self.add_to_watchlist(&arguments["stock"]),
            "remove_stock_from_watchlist" => self.remove_stock_from_watchlist(&arguments["symbol"]),
            "get_order_history" => self.get_order_history(),
            "get_transaction_history" => {
                self.get_transaction_history(&arguments["start_date"], &arguments["end_date"])
            }
            "get_available_stocks" => self.get_available_stocks(&arguments["sector"]),
            "filter_stocks_by_price" => self.filter_stocks_by_price(
                &arguments["stocks"],
                &arguments["min_price"],
                &arguments["max_price"],
            ),
            "notify_price_change" => {
                self.notify_price_change(&arguments["stocks"], &arguments["threshold"])
            }
            _ => unreachable!("`{method}` is in no table"),
        }
    }

    fn state(&self) -> Dict {
        Dict::from([
            ("orders", self.orders.clone().into()),
            ("account_info", self.account_info.clone()),
            ("authenticated", self.authenticated.clone()),
            ("market_status", self.market_status.clone()),
            ("order_counter", self.order_counter.into()),
            ("stocks", self.stocks.clone().into()),
            ("watch_list", self.watch_list.clone().into()),
            (
                "transaction_history",
                self.transaction_history.clone().into(),
            ),
            ("long_context", self.long_context.into()),
        ])
    }
}
