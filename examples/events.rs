//! Server-sent events: one thread sends a counter to every open page.
//!
//!     cargo run --example events -- 127.0.0.1:8080
//!
//! Open http://127.0.0.1:8080/ in several browser tabs: they count together, and reconnect when the server is
//! restarted. To see the events as they are sent:
//!
//!     curl -N http://127.0.0.1:8080/count

use fleeting::{App, Event, EventSender, Pushed, Response, Server};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const PAGE: &str = "<!doctype html><title>Count</title><h1 id=n>...</h1><p id=state></p><script>\n\
    const events = new EventSource('/count');\n\
    events.addEventListener('count', event => n.textContent = event.data);\n\
    events.onopen = () => state.textContent = 'connected';\n\
    events.onerror = () => state.textContent = 'waiting for the server';\n\
    </script>";
/// Bytes queued for a page that reads too slowly. Beyond that, its stream ends.
const CAPACITY_BYTES: usize = 16 << 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
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
    let handle = server.handle();
    thread::spawn(move || signals.forever().next().map(|_signal| handle.shutdown()));
    server.run()?;
    Ok(())
}

/// The open pages of all workers.
#[derive(Clone, Default)]
pub struct Pages {
    open: Arc<Mutex<Vec<EventSender>>>,
}

impl Pages {
    /// Sends the number to every page. A page that has left or is too slow is removed; its browser reconnects.
    pub fn show(&self, number: u64) {
        let text = number.to_string();
        let event = Event::data(&text).name("count").id(&text);
        let mut open = self.open.lock().expect("no thread panics while it holds the lock");
        open.retain_mut(|page| page.try_send(&event) == Ok(Pushed::Sent));
    }
}

/// The routes.
pub fn app(pages: Pages) -> App {
    App::new().get("/", |_req| Ok(Response::html(PAGE))).get("/count", move |req| {
        let (response, mut events) = Response::events(CAPACITY_BYTES);
        // A browser that reconnects sends the id of the last event it saw.
        if let Some(last) = req.header("last-event-id") {
            let _ = events.comment(last);
        }
        pages.open.lock().expect("no thread panics while it holds the lock").push(events);
        Ok(response)
    })
}
