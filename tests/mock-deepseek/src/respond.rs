//! From a request that was read to what is said: let in → ordered refusal → check → account → answer.

use bytes::Bytes;
use http::{HeaderValue, header, request::Parts};

use crate::{
    answer::answer,
    api::Api,
    check::House,
    endpoint::Endpoint,
    exchange::Exchange,
    request::{Hints, parse},
    scenario::Scenario,
    state::State,
    wire::{
        embeddings,
        errors::{ErrorKind, Refusal},
        models,
        sse::{Frame, Frames, Part},
    },
};

/// What is said to a request that was not refused.
pub(crate) enum Said {
    Json(Bytes),
    Answer { frames: Frames, length: Option<usize>, is_stream: bool },
}

/// All that an answer depends on.
pub(crate) struct Asked<'a> {
    pub(crate) state: &'a State,
    pub(crate) scenario: &'a Scenario,
    pub(crate) head: &'a Parts,
    pub(crate) body: &'a Bytes,
    pub(crate) hints: &'a Hints,
    pub(crate) key: Option<&'a str>,
}

impl Asked<'_> {
    /// Lets the request in, checks it, and answers.
    pub(crate) fn respond(&self, endpoint: Endpoint, exchange: &mut Exchange) -> Result<Said, Refusal> {
        if !endpoint.takes(&self.head.method) {
            return Err(Refusal::of(ErrorKind::Method));
        }
        if endpoint == Endpoint::Unknown
            || (endpoint == Endpoint::Embeddings && !self.state.options.flavor.embeds())
        {
            return Err(Refusal::of(ErrorKind::NotFound));
        }
        let key = self.let_in()?;
        self.ordered_refusal()?;
        let options = &self.state.options;
        let name = options.account_of(key);
        let account = self.state.account(name).under(self.scenario);
        let (api, beta) = match endpoint {
            Endpoint::Models => return Ok(Said::Json(models::list(options).into())),
            Endpoint::Balance => return Ok(Said::Json(models::balance(&account).into())),
            Endpoint::Chat { beta } => (Api::Chat, beta),
            Endpoint::Fim { beta } => (Api::Fim, beta),
            Endpoint::Messages => (Api::Messages, false),
            Endpoint::Responses => (Api::Responses, false),
            Endpoint::Embeddings if options.flavor.embeds() => {
                let house = House { options, scenario: self.scenario, beta: false };
                return Ok(Said::Json(embeddings::answer(parse(self.body)?, house)?.into()));
            }
            Endpoint::Embeddings | Endpoint::Unknown => return Err(Refusal::of(ErrorKind::NotFound)),
        };
        self.content_type()?;
        let house = House { options, scenario: self.scenario, beta };
        let ask = api.ask(self.body, house)?;
        if account.is_broke() {
            return Err(Refusal::of(ErrorKind::Balance));
        }
        let user = self.hints.user();
        exchange.take_slot(name, &ask.model, user, &account)?;

        if let Some(name) = &self.scenario.recorded {
            let recordings = &self.state.recordings;
            let (found, length) = if ask.stream {
                (recordings.frames(name, &ask, self.scenario), None)
            } else {
                let bytes = recordings.whole(name, &ask);
                let length = bytes.as_ref().map(Bytes::len);
                (bytes.map(halves), length)
            };
            let missing =
                || Refusal::saying(ErrorKind::Server, format!("mock: nothing is recorded under `{name}`"));
            return Ok(Said::Answer { frames: found.ok_or_else(missing)?, length, is_stream: ask.stream });
        }
        let answer = answer(&ask, self.scenario, options, self.body);
        if ask.stream {
            return Ok(Said::Answer { frames: api.frames(&answer), length: None, is_stream: true });
        }
        let whole = api.whole(&answer);
        let length = Some(whole.len());
        Ok(Said::Answer { frames: halves(whole), length, is_stream: false })
    }

    /// The key, if it is accepted.
    fn let_in(&self) -> Result<&str, Refusal> {
        let key = match self.key {
            Some(key) => key,
            None if self.state.options.is_open() => "",
            None => return Err(Refusal::of(ErrorKind::AuthFormat)),
        };
        if self.state.options.accepts(key) {
            return Ok(key);
        }
        let tail: String = key.chars().skip(key.chars().count().saturating_sub(4)).collect();
        Err(Refusal::saying(
            ErrorKind::Auth,
            format!("Authentication Fails, Your api key: ****{tail} is invalid"),
        ))
    }

    /// The refusal that the scenario orders.
    fn ordered_refusal(&self) -> Result<(), Refusal> {
        let Scenario { status, error, error_after, message, .. } = self.scenario;
        let kind = match (error, status) {
            (Some(kind), _) => *kind,
            (None, Some(status)) => ErrorKind::of_status(*status),
            (None, None) => return Ok(()),
        };
        if error_after.is_some() {
            // It is for the frame.
            return Ok(());
        }
        let refusal =
            message.as_ref().map_or_else(|| Refusal::of(kind), |text| Refusal::saying(kind, text.clone()));
        Err(refusal.with_status(*status))
    }

    fn content_type(&self) -> Result<(), Refusal> {
        let given = self.head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        if given == Some(b"application/json") || !self.state.options.flavor.is_deepseek() {
            return Ok(());
        }
        Err(Refusal::of(ErrorKind::ContentType))
    }
}

/// A whole answer as two frames, so that it can be cut in the middle.
fn halves(mut whole: Bytes) -> Frames {
    let first = whole.split_to(whole.len() / 2);
    let frames = [Frame { part: Part::Data, bytes: first }, Frame { part: Part::Finish, bytes: whole }];
    Box::new(frames.into_iter())
}
