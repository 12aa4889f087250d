//! Server-sent events: a counter that every page shows, from one thread for all of them.
//!
//!     cargo run --example events -- 127.0.0.1:8080
//!
//! Open it in a browser, in several tabs: all count together, and one that comes back after a restart goes
//! on. `curl -N http://127.0.0.1:8080/count` shows what goes over the wire.

use fleeting::{App, Event, EventSender, Pushed, Response, ServeError, Server};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const PAGE: &str = "<!doctype html><title>Count</title><h1 id=n>...</h1><p id=state></p><script>\n\
    const events = new EventSource('/count');\n\
    events.addEventListener('count', event => n.textContent = event.data);\n\
    events.onopen = () => state.textContent = 'connected';\n\
    events.onerror = () => state.textContent = 'waiting for the server';\n\
    </script>";
/// Bytes queued for a page that does not keep up; then it is left out.
const CAPACITY: usize = 16 << 10;

fn main() -> Result<(), ServeError> {
    let addr = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let pages = Pages::default();
    let shown = pages.clone();
    let server = Server::builder().bind(addr).serve(move |_worker| app(shown.clone()))?;
    println!("listening on http://{}", server.local_addrs()[0]);
    thread::spawn(move || {
        for number in 0u64.. {
            pages.show(number);
            thread::sleep(Duration::from_millis(250));
        }
    });
    server.run()
}

/// Whoever looks on, on whichever worker.
#[derive(Clone, Default)]
pub struct Pages {
    open: Arc<Mutex<Vec<EventSender>>>,
}

impl Pages {
    /// Sends everybody the number; who is gone or does not keep up is forgotten, and may come again.
    pub fn show(&self, number: u64) {
        let text = number.to_string();
        let event = Event::data(&text).name("count").id(&text);
        let mut open = self.open.lock().expect("nobody panics with it");
        open.retain_mut(|page| page.try_send(&event) == Ok(Pushed::Sent));
    }
}

/// The routes.
pub fn app(pages: Pages) -> App {
    App::new().get("/", |_req| Ok(Response::html(PAGE))).get("/count", move |req| {
        let (response, mut events) = Response::events(CAPACITY);
        // A browser that comes back tells what it saw last.
        if let Some(last) = req.header("last-event-id") {
            let _ = events.comment(last);
        }
        pages.open.lock().expect("nobody panics with it").push(events);
        Ok(response)
    })
}
