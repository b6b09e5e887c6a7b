//! `TwitterAPI`: an account that posts, and what it and others have posted.

use python::{Dict, Exception, Value};

use super::configuration::Configuration;
use super::operations::{append, field, int, length, lower, set_field};
use super::{Arguments, Backend, DefaultValue, Method, dict, error, method, optional, required};

pub(super) struct TwitterApi {
    username: Value,
    password: Value,
    authenticated: Value,
    /// Ids to tweets. A configuration's ids are text and become integers.
    tweets: Dict,
    /// Ids to comments. A configuration's ids stay text, so that "1" may stand beside 1.
    comments: Dict,
    /// Names to the ids of what they have retweeted.
    retweets: Dict,
    following_list: Vec<Value>,
    tweet_counter: i64,
    /// The ids of tweets posted without mentions. The original gives them all one and the same
    /// list, whose mentions then show in all of them and in every episode of the process. Here
    /// they share it, but within their instance alone.
    without_mentions: Vec<Value>,
    /// What they share.
    shared_mentions: Value,
}

impl TwitterApi {
    pub(super) const CLASS: &'static str = "TwitterAPI";

    pub(super) fn open(configuration: Configuration<'_>) -> Result<Self, Exception> {
        Ok(Self {
            username: configuration.value("username"),
            password: configuration.value("password"),
            authenticated: configuration.value("authenticated"),
            tweets: configuration.numbered("tweets")?,
            comments: configuration.dict("comments")?,
            retweets: configuration.dict("retweets")?,
            following_list: configuration.list("following_list")?,
            tweet_counter: configuration.int("tweet_counter")?,
            without_mentions: Vec::new(),
            shared_mentions: Value::List(Vec::new()),
        })
    }

    fn authenticate_twitter(
        &mut self,
        username: &Value,
        password: &Value,
    ) -> Result<Value, Exception> {
        let matches = *username == self.username && *password == self.password;
        if matches {
            self.authenticated = Value::Bool(true);
        }
        Ok(dict([("authentication_status", matches.into())]))
    }

    fn post_tweet(&mut self, arguments: &Arguments) -> Result<Value, Exception> {
        if !self.authenticated.is_true() {
            return refuse("posting");
        }
        let id = Value::Int(self.tweet_counter);
        let mentions = if arguments.is_given("mentions") {
            arguments["mentions"].clone()
        } else {
            self.without_mentions.push(id.clone());
            self.shared_mentions.clone()
        };
        let tweet = dict([
            ("id", id.clone()),
            ("username", self.username.clone()),
            ("content", arguments["content"].clone()),
            ("tags", arguments["tags"].clone()),
            ("mentions", mentions),
        ]);
        self.tweets.insert_key(id, tweet.clone())?;
        self.tweet_counter += 1;
        Ok(tweet)
    }

    fn retweet(&mut self, id: &Value) -> Result<Value, Exception> {
        if !self.authenticated.is_true() {
            return refuse("retweeting");
        }
        if self.tweets.get_key(id)?.is_none() {
            return no_tweet(id);
        }
        if self.retweets.get_key(&self.username)?.is_none() {
            self.retweets
                .insert_key(self.username.clone(), Value::List(Vec::new()))?;
        }
        let own = self
            .retweets
            .get_key_mut(&self.username)?
            .expect("inserted above");
        let status = if own.contains(id)? {
            "Already retweeted"
        } else {
            append(own, id.clone())?;
            "Successfully retweeted"
        };
        Ok(dict([("retweet_status", status.into())]))
    }

    fn comment(&mut self, id: &Value, content: &Value) -> Result<Value, Exception> {
        if !self.authenticated.is_true() {
            return refuse("commenting");
        }
        if self.tweets.get_key(id)?.is_none() {
            return no_tweet(id);
        }
        if self.comments.get_key(id)?.is_none() {
            self.comments
                .insert_key(id.clone(), Value::List(Vec::new()))?;
        }
        let comments = self.comments.get_key_mut(id)?.expect("inserted above");
        append(
            comments,
            dict([
                ("username", self.username.clone()),
                ("content", content.clone()),
            ]),
        )?;
        Ok(dict([(
            "comment_status",
            "Comment added successfully".into(),
        )]))
    }

    fn mention(&mut self, id: &Value, usernames: &Value) -> Result<Value, Exception> {
        let Some(tweet) = self.tweets.get_key(id)? else {
            return no_tweet(id);
        };
        let Value::List(mentions) = field(tweet, "mentions")? else {
            return Err(Exception::attribute_error(
                field(tweet, "mentions")?,
                "extend",
            ));
        };
        let mentions = Value::List([mentions.clone(), usernames.iterate()?].concat());
        if self.without_mentions.contains(id) {
            for id in &self.without_mentions {
                let tweet = self
                    .tweets
                    .get_key_mut(id)?
                    .expect("no tweet is ever deleted");
                set_field(tweet, "mentions", mentions.clone())?;
            }
            self.shared_mentions = mentions;
        } else {
            let tweet = self.tweets.get_key_mut(id)?.expect("found above");
            set_field(tweet, "mentions", mentions)?;
        }
        let status = "Users mentioned successfully";
        Ok(dict([("mention_status", status.into())]))
    }

    fn follow_user(&mut self, username: &Value) -> Result<Value, Exception> {
        if !self.authenticated.is_true() {
            return refuse("following");
        }
        let is_new = !self.following_list.contains(username);
        if is_new {
            self.following_list.push(username.clone());
        }
        Ok(dict([("follow_status", is_new.into())]))
    }

    fn unfollow_user(&mut self, username: &Value) -> Result<Value, Exception> {
        if !self.authenticated.is_true() {
            return refuse("unfollowing");
        }
        let followed = self
            .following_list
            .iter()
            .position(|other| other == username);
        if let Some(index) = followed {
            self.following_list.remove(index);
        }
        Ok(dict([("unfollow_status", followed.is_some().into())]))
    }

    fn list_all_following(&self) -> Result<Value, Exception> {
        if !self.authenticated.is_true() {
            return refuse("listing following");
        }
        Ok(dict([(
            "following_list",
            self.following_list.clone().into(),
        )]))
    }

    fn get_tweet(&self, id: &Value) -> Result<Value, Exception> {
        match self.tweets.get_key(id)? {
            Some(tweet) => Ok(tweet.clone()),
            None => no_tweet(id),
        }
    }

    fn get_user_tweets(&self, username: &Value) -> Result<Value, Exception> {
        Ok(self.tweets_of(username)?.into())
    }

    fn search_tweets(&self, keyword: &Value) -> Result<Value, Exception> {
        let found = self.tweets_where(|tweet| {
            let wanted = lower(keyword)?;
            if lower(field(tweet, "content")?)?.contains(&wanted) {
                return Ok(true);
            }
            for tag in field(tweet, "tags")?.iterate()? {
                if lower(&tag)? == wanted {
                    return Ok(true);
                }
            }
            Ok(false)
        })?;
        Ok(found.into())
    }

    fn get_tweet_comments(&self, id: &Value) -> Result<Value, Exception> {
        if self.tweets.get_key(id)?.is_none() {
            return no_tweet(id);
        }
        let comments = self.comments.get_key(id)?.cloned();
        Ok(comments.unwrap_or_else(|| Value::List(Vec::new())))
    }

    fn get_user_stats(&self, username: &Value) -> Result<Value, Exception> {
        let tweets = self.tweets_of(username)?;
        let following = if *username == self.username {
            self.following_list.len()
        } else {
            0
        };
        let retweets = match self.retweets.get_key(username)? {
            Some(retweets) => length(retweets)?,
            None => 0,
        };
        Ok(dict([
            ("tweet_count", int(tweets.len())),
            ("following_count", int(following)),
            ("retweet_count", int(retweets)),
        ]))
    }

    fn tweets_of(&self, username: &Value) -> Result<Vec<Value>, Exception> {
        self.tweets_where(|tweet| Ok(field(tweet, "username")? == username))
    }

    fn tweets_where(
        &self,
        wanted: impl Fn(&Value) -> Result<bool, Exception>,
    ) -> Result<Vec<Value>, Exception> {
        let mut tweets = Vec::new();
        for tweet in self.tweets.values() {
            if wanted(tweet)? {
                tweets.push(tweet.clone());
            }
        }
        Ok(tweets)
    }
}

/// What whoever has not authenticated reads.
fn refuse(what: &str) -> Result<Value, Exception> {
    error(format!(
        "User not authenticated. Please authenticate before {what}."
    ))
}

fn no_tweet(id: &Value) -> Result<Value, Exception> {
    error(format!("Tweet with ID {id} not found."))
}

const METHODS: &[Method] = &[
    method(
        "authenticate_twitter",
        &[required("username"), required("password")],
    ),
    method(
        "comment",
        &[required("tweet_id"), required("comment_content")],
    ),
    method("follow_user", &[required("username_to_follow")]),
    method("get_tweet", &[required("tweet_id")]),
    method("get_tweet_comments", &[required("tweet_id")]),
    method("get_user_stats", &[required("username")]),
    method("get_user_tweets", &[required("username")]),
    method("list_all_following", &[]),
    method(
        "mention",
        &[required("tweet_id"), required("mentioned_usernames")],
    ),
    method(
        "post_tweet",
        &[
            required("content"),
            optional("tags", DefaultValue::EmptyList),
            optional("mentions", DefaultValue::EmptyList),
        ],
    ),
    method("posting_get_login_status", &[]),
    method("retweet", &[required("tweet_id")]),
    method("search_tweets", &[required("keyword")]),
    method("unfollow_user", &[required("username_to_unfollow")]),
];

impl Backend for TwitterApi {
    fn class(&self) -> &'static str {
        Self::CLASS
    }

    fn methods(&self) -> &'static [Method] {
        METHODS
    }

    fn call(&mut self, method: &str, arguments: &Arguments) -> Result<Value, Exception> {
        match method {
            "authenticate_twitter" => {
                self.authenticate_twitter(&arguments["username"], &arguments["password"])
            }
            "posting_get_login_status" => Ok(dict([("login_status", self.authenticated.clone())])),
            "post_tweet" => self.post_tweet(arguments),
            "retweet" => self.retweet(&arguments["tweet_id"]),
            "comment" => self.comment(&arguments["tweet_id"], &arguments["comment_content"]),
            "mention" => self.mention(&arguments["tweet_id"], &arguments["mentioned_usernames"]),
            "follow_user" => self.follow_user(&arguments["username_to_follow"]),
            "unfollow_user" => self.unfollow_user(&arguments["username_to_unfollow"]),
            "list_all_following" => self.list_all_following(),
            "get_tweet" => self.get_tweet(&arguments["tweet_id"]),
            "get_user_tweets" => self.get_user_tweets(&arguments["username"]),
            "search_tweets" => self.search_tweets(&arguments["keyword"]),
            "get_tweet_comments" => self.get_tweet_comments(&arguments["tweet_id"]),
            "get_user_stats" => self.get_user_stats(&arguments["username"]),
            _ => unreachable!("`{method}` is in no table"),
        }
    }

    fn state(&self) -> Dict {
        Dict::from([
            ("username", self.username.clone()),
            ("password", self.password.clone()),
            ("authenticated", self.authenticated.clone()),
            ("tweets", self.tweets.clone().into()),
            ("comments", self.comments.clone().into()),
            ("retweets", self.retweets.clone().into()),
            ("following_list", self.following_list.clone().into()),
            ("tweet_counter", self.tweet_counter.into()),
        ])
    }
}
