//! Carries a request to its endpoint until there is a reply, or none to be had.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use episode::Seed;

use super::client::Client;
use super::failure::{Failure, Outlook};
use super::pace::Pace;
use super::reply::Reply;
use super::{Clock, Endpoint};

/// Between two tries, and after a wish of the endpoint's, no longer than this.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);
const LONGEST_WISH: Duration = Duration::from_secs(600);

/// What all requests to an endpoint share.
pub(crate) struct Courier {
    endpoint: Endpoint,
    client: Client,
    pace: Pace,
    /// Whether the endpoint has ever replied as one does.
    has_replied: AtomicBool,
}

/// A request on its way.
pub(crate) struct Letter {
    pub(crate) body: String,
    /// Of the reply, as the local chat counts them.
    pub(crate) max_tokens: usize,
    /// Spreads the tries of many requests that failed together.
    pub(crate) seed: Seed,
    /// Closed when nobody wants the reply, or more of it.
    pub(crate) wanted: Receiver<()>,
}

/// What is worth knowing before the reply is there.
pub(crate) enum News {
    /// For people to read.
    Notice(String),
    /// A streamed reply as far as it has come, as one that was cut; it may be too long by now.
    SoFar(Reply),
}

/// The last failure of a request that has no reply, and how often it was tried.
pub(crate) struct Undelivered {
    pub(crate) failure: Failure,
    pub(crate) tries: u32,
}

impl Courier {
    pub(crate) fn new(endpoint: Endpoint, clock: Clock, connections: usize) -> Self {
        Self {
            client: Client::new(&endpoint, connections),
            pace: Pace::new(clock, endpoint.requests_per_minute),
            has_replied: AtomicBool::new(false),
            endpoint,
        }
    }

    /// Asks until there is a reply; `None` where it is no longer wanted.
    pub(crate) fn deliver(
        &self,
        letter: &Letter,
        tell: &mut dyn FnMut(News),
    ) -> Option<Result<Reply, Undelivered>> {
        let mut tries = 0;
        loop {
            letter.sleep(self.pace.reserve())?;
            tries += 1;
            let failure = match self.ask(letter, tell) {
                Ok(reply) => {
                    self.has_replied.store(true, Ordering::Relaxed);
                    return Some(Ok(reply));
                }
                Err(failure) => self.without_key(failure),
            };
            if !self.may_pass(&failure) || tries > self.endpoint.max_retries {
                return Some(Err(Undelivered { failure, tries }));
            }
            let of = self.endpoint.max_retries + 1;
            tell(News::Notice(format!(
                "endpoint `{}`: {}; asks again (try {} of {of})",
                self.endpoint.address,
                failure.what,
                tries + 1
            )));
            if let Some(wish) = failure.retry_after {
                self.pace.hold(wish);
            }
            letter.sleep(self.back_off(letter.seed, tries))?;
        }
    }

    fn ask(&self, letter: &Letter, tell: &mut dyn FnMut(News)) -> Result<Reply, Failure> {
        // A token has a byte or more, so nothing shorter is too long; after that it is told of
        // whenever it has grown by an eighth, since all of it is tokenised each time.
        let mut told = letter.max_tokens;
        self.client.ask(&letter.body, &mut |assembly| {
            if assembly.bytes() > told {
                told = assembly.bytes() + assembly.bytes() / 8;
                tell(News::SoFar(assembly.so_far()));
            }
            letter.is_wanted()
        })
    }

    fn may_pass(&self, failure: &Failure) -> bool {
        let wish = failure.retry_after.unwrap_or_default();
        wish <= LONGEST_WISH
            && match failure.outlook {
                Outlook::Busy | Outlook::Broken => true,
                Outlook::Doubtful => self.has_replied.load(Ordering::Relaxed),
                Outlook::Lasting | Outlook::TooLong => false,
            }
    }

    /// Twice as long after each try; at random between half of that and all of it.
    fn back_off(&self, seed: Seed, tries: u32) -> Duration {
        let doubled = 2u32.saturating_pow(tries - 1);
        let longest = (self.endpoint.back_off.saturating_mul(doubled)).min(LONGEST_BACK_OFF);
        let fraction = seed.named("back-off").child(u64::from(tries)).0 as f64 / u64::MAX as f64;
        longest.mul_f64(0.5 + 0.5 * fraction)
    }

    /// The failure without the key, which servers quote.
    fn without_key(&self, failure: Failure) -> Failure {
        match &self.endpoint.key {
            Some(key) => Failure {
                what: key.scrub(&failure.what),
                ..failure
            },
            None => failure,
        }
    }
}

impl Letter {
    fn is_wanted(&self) -> bool {
        self.wanted.try_recv() != Err(TryRecvError::Disconnected)
    }

    /// Waits; `None` if meanwhile the reply is no longer wanted.
    fn sleep(&self, wait: Duration) -> Option<()> {
        match self.wanted.recv_timeout(wait) {
            Err(RecvTimeoutError::Disconnected) => None,
            _ => Some(()),
        }
    }
}
