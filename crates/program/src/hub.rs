//! `/hub`: a WebSocket that subscribes and publishes for its client, by commands in JSON.
//!
//! It knows no topic and no subscriber: the connection keeps the subscriptions, the worker the topics. Its
//! invariant: each message that arrives has one answer. What a client may say is in docs/hub.md.

use super::command::{self, Command, Outcome};
use super::delivery::Delivery;
use super::registry;
use fleeting::{Error, Message, Request, Socket, WebSocket};
use serde_json::value::RawValue;

pub(super) struct Hub;

impl WebSocket for Hub {
    type Session = ();

    fn open(&self, _req: &Request<'_>, _socket: &mut Socket<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn message(&self, _session: &mut (), message: Message<'_>, socket: &mut Socket<'_>) {
        let answer = match message {
            Message::Text(text) => command::answer(text, |command| obey(command, socket)),
            Message::Binary(_) => {
                let sentence = "a binary message is no command; send JSON in a text message";
                command::encode(&Outcome::Error(sentence.into()), None)
            }
        };
        socket.text(&answer);
    }
}

fn obey(command: Command<&RawValue>, socket: &mut Socket<'_>) -> Result<Outcome, String> {
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
                return Err(format!("there is no subscription to `{filter}`; name it as it was made"));
            }
            Ok(Outcome::Unsubscribed(filter))
        }
        Command::Publish { topic, data, to_others } => {
            if topic.starts_with(registry::TOPICS) {
                return Err(registry::RESERVED.into());
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
