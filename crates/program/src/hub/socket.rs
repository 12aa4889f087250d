//! `/hub`: a WebSocket on which a client subscribes and publishes with commands in JSON.
//!
//! It stores no topic and no subscriber: the connection keeps the subscriptions, the worker the topics. Its
//! invariant: each message that arrives is answered once.

use super::command::{self, Command, Outcome};
use super::delivery::{Delivery, refusal, slow_gap};
use fleeting::{Error, Message, Request, Socket, WebSocket};
use serde_json::value::RawValue;

pub(crate) struct Hub;

impl WebSocket for Hub {
    type Session = ();

    fn open(&self, _req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        let answer = match message {
            Message::Text(text) => command::answer(text, |command| execute(command, socket)),
            Message::Binary(_) => {
                let sentence = "commands are text messages, not binary ones; send JSON in a text message";
                command::encode(&Outcome::Error(sentence.into()), None)
            }
        };
        socket.text(&answer);
    }

    fn dropped(&self, _session: &mut (), publications: u64, socket: &mut Socket<'_>) {
        socket.text(&slow_gap(publications));
    }
}

fn execute(command: Command<&RawValue>, socket: &mut Socket<'_>) -> Result<Outcome, String> {
    match command {
        Command::Subscribe { filter, slow } => {
            let subscribed = match slow {
                Some(slow) => socket.subscribe_with(&filter, slow),
                None => socket.subscribe(&filter),
            };
            subscribed.map_err(|error| error.to_string())?;
            Ok(Outcome::Subscribed(filter))
        }
        Command::Unsubscribe { filter } => {
            if !socket.unsubscribe(&filter) {
                return Err(format!(
                    "there is no subscription to `{filter}`; repeat the filter exactly as you subscribed to it"
                ));
            }
            Ok(Outcome::Unsubscribed(filter))
        }
        Command::Publish { topic, data, to_others } => {
            if let Some(sentence) = refusal(&topic) {
                return Err(sentence.into());
            }
            let text = Delivery { topic: &topic, data }.encode();
            let published = if to_others {
                socket.publish_to_others(&topic, Message::Text(&text))
            } else {
                socket.publish(&topic, Message::Text(&text))
            };
            published.map_err(|error| error.to_string())?;
            Ok(Outcome::Published(topic))
        }
    }
}
