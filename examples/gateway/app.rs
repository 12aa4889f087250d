//! What clients see: the WebSocket and its commands, the routes, and the token in front of them.
//!
//! It does not know where ticks come from. Its invariant: nothing is answered without the token but a 401.

use super::market::{Counts, Market, is_symbol, topic};
use fleeting::engine::Counters;
use fleeting::{
    App, Error, Handle, Message, Request, Response, SlowConsumer, Socket, SocketOptions, WebSocket,
    WorkerFigures,
};
use serde::Deserialize;
use serde_json::json;
use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

/// Makes the application. Its handlers run on the thread of the loop, so they share the market without a lock.
pub fn app(handle: &Handle, market: &Rc<RefCell<Market>>, token: String) -> App {
    let options = SocketOptions::new().slow_consumer(SlowConsumer::Conflate);
    let (last, health, handle) = (market.clone(), market.clone(), handle.clone());
    App::new()
        .ws_with("/ticks", options, Ticks(market.clone()))
        .get("/ticks/{symbol}", move |req| {
            let market = last.borrow();
            let message = market.message(req.param("symbol")).ok_or(Error::not_found("There is no tick."))?;
            // Copied into the request's arena: the next tick overwrites the original.
            Response::text(req.arena().alloc_str(message)).content_type("application/json")
        })
        .get("/health", move |_req| {
            let (response, responder) = Response::defer();
            let counts = health.borrow().counts;
            // The worker answers in its next turn.
            handle.figures(move |workers| {
                let _ = responder.send(report(counts, &workers));
            });
            Ok(response)
        })
        // A layer sees every request, upgrades and unknown paths included.
        .layer(move |req, next| match is_allowed(req, &token) {
            true => next.call(req),
            false => Err(Error::unauthorized("Bearer", "The token is missing or wrong.")),
        })
}

/// Whether a request has the token (RFC 6750 §2.1).
fn is_allowed(req: &Request<'_>, token: &str) -> bool {
    let credentials = req.header("authorization").and_then(|value| value.split_once(' '));
    let (scheme, given) = credentials.unwrap_or_default();
    // Every byte is compared, so the time that it takes says nothing about the token.
    let differences = given.bytes().zip(token.bytes()).fold(0, |found, (one, other)| found | (one ^ other));
    scheme.eq_ignore_ascii_case("bearer") && given.len() == token.len() && differences == 0
}

/// Makes the answer of `/health`.
fn report(counts: Counts, workers: &[WorkerFigures]) -> Response<'static> {
    let sum = |count: fn(&Counters) -> u64| workers.iter().map(|worker| count(&worker.counters)).sum::<u64>();
    let report = json!({
        "ticks": counts.ticks,
        "late": counts.late,
        "malformed": counts.malformed,
        "delivered": sum(|counters| counters.delivered),
        "conflated": sum(|counters| counters.conflated),
    });
    Response::json_owned(&report).unwrap_or_else(Response::from)
}

/// A command of a client. It borrows the message.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Command<'m> {
    #[serde(borrow)]
    Subscribe(Cow<'m, str>),
    #[serde(borrow)]
    Unsubscribe(Cow<'m, str>),
}

struct Ticks(Rc<RefCell<Market>>);

impl Ticks {
    /// Carries out a command. Returns its answer.
    fn answer(&self, message: Message<'_>, socket: &mut Socket<'_>) -> Result<String, Error> {
        let Message::Text(text) = message else {
            return Err(Error::bad_request("A command is text."));
        };
        let command = serde_json::from_str(text)?;
        let (Command::Subscribe(symbol) | Command::Unsubscribe(symbol)) = &command;
        if !is_symbol(symbol) {
            return Err(Error::bad_request("The symbol is invalid."));
        }
        match &command {
            Command::Subscribe(symbol) => {
                socket.subscribe(&topic(symbol))?;
                // After that, so that no tick is missed between the last one and the first one that is published.
                let market = self.0.borrow();
                let last = market.message(symbol).unwrap_or("null");
                Ok(format!(r#"{{"subscribed":"{symbol}","last":{last}}}"#))
            }
            Command::Unsubscribe(symbol) if socket.unsubscribe(&topic(symbol)) => {
                Ok(json!({"unsubscribed": symbol}).to_string())
            }
            Command::Unsubscribe(_) => Err(Error::bad_request("There is no such subscription.")),
        }
    }
}

impl WebSocket for Ticks {
    type Session = ();

    fn open(&self, _req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        let answer = self.answer(message, socket);
        socket.text(&answer.unwrap_or_else(|error| json!({"error": error.message()}).to_string()));
    }
}
