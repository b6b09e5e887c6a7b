//! The endpoint as a policy: a thread waits for each request under way.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use chat::{Chat, ChatError};
use episode::CallFormat;
use rollout::{Config, Policy, PolicyError, SampledTurn, TurnEnd, TurnRequest};

use super::courier::{Courier, Letter, News, Undelivered};
use super::failure::{Failure, Outlook};
use super::reply::{Reply, Usage};
use super::request::{self, Said};
use super::{Clock, Endpoint, EndpointError, turn};

/// How long a step waits for a reply before it lets the turn loop look after its tools and
/// limits.
const GLANCE: Duration = Duration::from_millis(20);

/// A served model as a policy.
///
/// A reply is the tokens that the local chat prints for it, with log-probabilities of 0. The same
/// tasks and seed need not give the same episodes: that is the server's to keep.
pub struct EndpointPolicy<'a> {
    chat: &'a Chat,
    endpoint: Endpoint,
    sampling: Config,
    courier: Arc<Courier>,
    under_way: BTreeMap<usize, UnderWay>,
    /// What the model has said in each live episode, turn by turn.
    said: HashMap<usize, Vec<Said>>,
    letters: u64,
    usage: Usage,
    has_replied: bool,
    events: Receiver<Event>,
    report: Sender<Event>,
    on_notice: Box<dyn FnMut(&str) + 'a>,
    last_notice: String,
}

/// A request whose reply is awaited.
struct UnderWay {
    letter: u64,
    max_tokens: usize,
    calls: CallFormat,
    /// The reply is wanted as long as this is held.
    _wanted: Sender<()>,
}

/// What a thread tells.
struct Event {
    episode: usize,
    letter: u64,
    what: What,
}

enum What {
    News(News),
    Replied(Reply),
    Undelivered(Undelivered),
    /// Our own mistake, to be made known where it is seen.
    Panicked(Box<dyn Any + Send>),
}

impl<'a> EndpointPolicy<'a> {
    /// A policy that samples as `sampling` says, with as many requests at once as there are live
    /// episodes. `on_notice` is told what people should know while they wait: that the endpoint
    /// is busy, that it is asked again.
    pub fn new(
        chat: &'a Chat,
        endpoint: Endpoint,
        sampling: &Config,
        clock: Clock,
        on_notice: Box<dyn FnMut(&str) + 'a>,
    ) -> Self {
        let (report, events) = channel();
        let courier = Courier::new(endpoint.clone(), clock, sampling.concurrency);
        Self {
            chat,
            endpoint,
            sampling: *sampling,
            courier: Arc::new(courier),
            under_way: BTreeMap::new(),
            said: HashMap::new(),
            letters: 0,
            usage: Usage::default(),
            has_replied: false,
            events,
            report,
            on_notice,
            last_notice: String::new(),
        }
    }

    /// The tokens of all replies so far, as the endpoint counted them.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    fn take(&mut self, event: Event) -> Result<Option<SampledTurn>, PolicyError> {
        let Event {
            episode,
            letter,
            what,
        } = event;
        if let What::News(News::Notice(text)) = what {
            self.notice(text);
            return Ok(None);
        }
        let is_awaited = |it: &UnderWay| it.letter == letter;
        let Some(asked) = self.under_way.get(&episode).filter(|it| is_awaited(it)) else {
            return Ok(None);
        };
        let turn = match what {
            What::News(News::Notice(_)) => unreachable!("notices are taken above"),
            What::News(News::SoFar(reply)) => {
                let turn = turn::print(self.chat, asked.calls, &reply, asked.max_tokens);
                let turn = turn.map_err(broken)?;
                if turn.tokens.len() < asked.max_tokens {
                    return Ok(None);
                }
                (turn.tokens, turn.end)
            }
            What::Replied(reply) => {
                self.has_replied = true;
                self.usage.prompt_tokens += reply.usage.prompt_tokens;
                self.usage.completion_tokens += reply.usage.completion_tokens;
                let turn = turn::print(self.chat, asked.calls, &reply, asked.max_tokens);
                let turn = turn.map_err(broken)?;
                self.said.entry(episode).or_default().push(turn.said);
                (turn.tokens, turn.end)
            }
            What::Undelivered(Undelivered { failure, tries }) => {
                if !self.is_the_episodes(&failure) {
                    let error = EndpointError::new(&self.endpoint, failure, tries);
                    return Err(PolicyError(Box::new(error)));
                }
                self.notice(format!(
                    "endpoint `{}`: {}; this ends the episode",
                    self.endpoint.address, failure.what
                ));
                (Vec::new(), TurnEnd::Unanswered)
            }
            What::Panicked(panic) => resume_unwind(panic),
        };
        self.under_way.remove(&episode);
        let (tokens, end) = turn;
        Ok(Some(SampledTurn {
            episode,
            logprobs: vec![0.0; tokens.len()],
            tokens,
            end,
        }))
    }

    /// Whether a failure ends the one episode that it befell.
    fn is_the_episodes(&self, failure: &Failure) -> bool {
        match failure.outlook {
            Outlook::TooLong => true,
            Outlook::Broken => self.endpoint.skip_unanswered && self.has_replied,
            Outlook::Busy | Outlook::Doubtful | Outlook::Lasting => false,
        }
    }

    /// Tells people, but not twice in a row what many requests meet alike.
    fn notice(&mut self, text: String) {
        if text != self.last_notice {
            (self.on_notice)(&text);
            self.last_notice = text;
        }
    }
}

impl Policy for EndpointPolicy<'_> {
    fn begin(&mut self, request: &TurnRequest<'_>) -> Result<(), PolicyError> {
        let said = self.said.entry(request.episode).or_default();
        said.truncate(request.turn);
        let (keep, wanted) = channel();
        let letter = Letter {
            body: request::body(&self.endpoint, &self.sampling, request, said),
            max_tokens: request.max_tokens,
            seed: request.seed,
            wanted,
        };
        self.letters += 1;
        let (episode, number) = (request.episode, self.letters);
        let under_way = UnderWay {
            letter: number,
            max_tokens: request.max_tokens,
            calls: request.calls,
            _wanted: keep,
        };
        self.under_way.insert(episode, under_way);

        let (courier, report) = (Arc::clone(&self.courier), self.report.clone());
        let thread = thread::Builder::new().name("endpoint".to_owned());
        let spawned = thread.spawn(move || {
            let tell = |what| {
                // Nobody listens any longer where the policy is gone.
                let _ = report.send(Event {
                    episode,
                    letter: number,
                    what,
                });
            };
            let delivered = catch_unwind(AssertUnwindSafe(|| {
                courier.deliver(&letter, &mut |news| tell(What::News(news)))
            }));
            match delivered {
                Ok(Some(Ok(reply))) => tell(What::Replied(reply)),
                Ok(Some(Err(undelivered))) => tell(What::Undelivered(undelivered)),
                Ok(None) => {}
                Err(panic) => tell(What::Panicked(panic)),
            }
        });
        spawned.map_err(|error| PolicyError(Box::new(error)))?;
        Ok(())
    }

    fn step(&mut self) -> Result<Vec<SampledTurn>, PolicyError> {
        let mut ended = Vec::new();
        let mut event = self.events.recv_timeout(GLANCE).ok();
        while let Some(it) = event {
            ended.extend(self.take(it)?);
            event = self.events.try_recv().ok();
        }
        Ok(ended)
    }

    fn release(&mut self, episode: usize) {
        self.under_way.remove(&episode);
        self.said.remove(&episode);
    }
}

/// The local chat cannot print what was replied.
fn broken(error: ChatError) -> PolicyError {
    PolicyError(Box::new(error))
}
