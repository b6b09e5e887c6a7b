//! What the back ends do that no recording shows, with small tables of our own.

use std::fs;
use std::sync::Arc;

use bfcl::calendar::Date;
use bfcl::executor::Instances;
use bfcl::tables::Tables;
use python::{Dict, Value, json_loads};

const BACKENDS: &str = r#"{
  "posting_api": {"DEFAULT_STATE": {"username": "john", "password": "x", "authenticated": true,
    "tweets": {}, "comments": {}, "retweets": {}, "following_list": [], "tweet_counter": 0}},
  "trading_bot": {"DEFAULT_STATE": {"orders": {}, "account_info": {"balance": 10.0},
    "authenticated": true, "market_status": "Open", "order_counter": 1, "stocks": {},
    "watch_list": [], "transaction_history": [
      {"amount": 1, "timestamp": "2024-03-01 00:00:00"},
      {"amount": 2, "timestamp": "2024-03-01 08:00:00"},
      {"amount": 3, "timestamp": "2024-03-05 00:00:00"}]}},
  "travel_booking": {"DEFAULT_STATE": {"credit_card_list": {}, "booking_record": {},
      "access_token": "t", "token_type": null, "token_expires_in": 9, "token_scope": null,
      "user_first_name": "Ann", "user_last_name": "Lee", "budget_limit": null},
    "base_costs": [[["SFO", "LAX"], 200], [["LAX", "SFO"], 100]],
    "exchange_rates": [[["USD", "EUR"], 0.8]],
    "list_all_airports": ["SFO", "LAX"], "airport_map": {}}
}"#;

const LONG_CONTEXT: &str = r#"{
  "CREDIT_CARD_EXTENSION": {"1": {"balance": 5000.0}},
  "BOOKING_RECORD_EXTENSION": {"b": {"card_id": "1", "travel_cost": 400.0}}
}"#;

fn tables() -> Tables {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("backend_tables.json"), BACKENDS).unwrap();
    fs::write(
        folder.path().join("long_context_constants.json"),
        LONG_CONTEXT,
    )
    .unwrap();
    Tables::load(folder.path()).unwrap()
}

fn open(class: &str, long_context: bool) -> Instances {
    let tables = Arc::new(tables());
    Instances::open(&[class.to_owned()], &Dict::new(), long_context, &tables).unwrap()
}

#[test]
fn who_is_mentioned_by_default_is_mentioned_in_one_episode_alone() {
    let mut episode = open("TwitterAPI", false);
    episode.execute("post_tweet('one')");
    episode.execute("post_tweet('two', mentions=[])");
    episode.execute("mention(0, ['@z'])");
    let third = episode.execute("post_tweet('three')");
    assert!(third.ends_with(r#""mentions": ["@z"]}"#), "{third}");
    let second = episode.execute("get_tweet(1)");
    assert!(second.ends_with(r#""mentions": []}"#), "{second}");

    let other = open("TwitterAPI", false).execute("post_tweet('one')");
    assert!(other.ends_with(r#""mentions": []}"#), "{other}");
}

#[test]
fn a_booking_on_a_card_of_all_long_contexts_is_paid_in_one_episode_alone() {
    let mut episode = open("TravelAPI", true);
    let booked = episode.execute("book_flight('t', '1', '2024-01-01', 'SFO', 'LAX', 'economy')");
    assert!(booked.contains(r#""booking_status": true"#), "{booked}");
    let balance = "get_credit_card_balance('t', '1')";
    assert_eq!(episode.execute(balance), r#"{"card_balance": 4600.0}"#);
    let other = open("TravelAPI", true).execute(balance);
    assert_eq!(other, r#"{"card_balance": 5000.0}"#);
}

#[test]
fn a_long_context_lists_what_all_routes_cost() {
    let call = "get_flight_cost('LAX', 'SFO', '2024-01-01', 'business')";
    let costs = open("TravelAPI", false).execute(call);
    assert_eq!(costs, r#"{"travel_cost_list": [400.0]}"#);
    let costs = open("TravelAPI", true).execute(call);
    assert_eq!(costs, r#"{"travel_cost_list": [800.0, 400.0]}"#);
}

#[test]
fn a_cancelled_booking_is_paid_back() {
    let mut episode = open("TravelAPI", true);
    assert_eq!(
        episode.execute("cancel_booking('t', 'b')"),
        r#"{"cancel_status": true}"#
    );
    let balance = episode.execute("get_credit_card_balance('t', '1')");
    assert_eq!(balance, r#"{"card_balance": 5400.0}"#);
}

#[test]
fn a_traveller_is_as_old_as_on_the_day_of_the_tables() {
    let verify = |today: Date| {
        let mut tables = tables();
        tables.today = today;
        let classes = ["TravelAPI".to_owned()];
        let tables = Arc::new(tables);
        let mut episode = Instances::open(&classes, &Dict::new(), false, &tables).unwrap();
        episode.execute("verify_traveler_information('Ann', 'Lee', '2007-01-02', 'US1')")
    };
    let the_day_before = verify(Date::default());
    assert!(
        the_day_before.contains("must be at least 18"),
        "{the_day_before}"
    );
    let birthday = Date {
        day: 2,
        ..Date::default()
    };
    assert_eq!(verify(birthday), r#"{"verification_status": true}"#);
}

#[test]
fn transactions_are_listed_from_one_midnight_to_another() {
    let mut episode = open("TradingBot", false);
    let mut amounts = |arguments: &str| {
        let history = episode.execute(&format!("get_transaction_history({arguments})"));
        let history = json_loads(&history).unwrap();
        let history = history
            .as_dict()
            .unwrap()
            .get("transaction_history")
            .unwrap()
            .iterate()
            .unwrap();
        let amount = |row: &Value| {
            row.as_dict()
                .unwrap()
                .get("amount")
                .unwrap()
                .as_int()
                .unwrap()
        };
        history.iter().map(amount).collect::<Vec<_>>()
    };
    assert_eq!(amounts(""), [1, 2, 3]);
    assert_eq!(amounts("end_date='2024-03-01'"), [1]);
    assert_eq!(amounts("'2024-03-01', '2024-03-05'"), [1, 2, 3]);
    assert_eq!(amounts("start_date='2024-3-2'"), [3]);
}

#[test]
fn a_configuration_of_another_form_is_refused_by_name() {
    let tables = Arc::new(tables());
    let config = Dict::from([("TradingBot", Dict::from([("orders", "none".into())]).into())]);
    let classes = ["TradingBot".to_owned()];
    let problem = Instances::open(&classes, &config, false, &tables)
        .err()
        .unwrap();
    assert_eq!(
        problem.to_string(),
        "`initial_config` of `TradingBot`: `orders` is not a dict"
    );
}
