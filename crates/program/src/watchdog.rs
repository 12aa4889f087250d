//! A thread that tells the service manager again and again that the server works, as long as it does.
//!
//! It serves no request and uses no store, so nothing but the workers can hold it up. Its invariant: the service manager hears
//! nothing while a worker's loop does not turn.

use crate::background::Background;
use fleeting::Handle;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

/// The workers of a server.
pub(crate) struct Watched {
    pub(crate) handle: Handle,
    pub(crate) workers: usize,
}

/// Starts the thread, which calls `alive` twice in each `span`, if all workers have taken a turn since the last time.
pub(crate) fn start(
    span: Duration,
    servers: Vec<Watched>,
    alive: impl Fn() + Send + 'static,
) -> io::Result<Background> {
    Background::start("fleeting-watch", move |stopped| watch(span / 2, &servers, stopped, alive))
}

fn watch(period: Duration, servers: &[Watched], stopped: &Receiver<()>, alive: impl Fn()) {
    let mut round = Round::ask(servers);
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(period) {
        // While a worker has not answered, no more questions pile up in its mailbox.
        if let Some(all_turn) = round.outcome() {
            if all_turn {
                alive();
            }
            round = Round::ask(servers);
        }
    }
}

/// A question to the workers of all servers, which each of them answers in its turn.
struct Round {
    workers: usize,
    /// How many workers of a server have answered, once all that were asked have. It ends when no answer is due any more.
    answers: Receiver<usize>,
    answered: usize,
}

impl Round {
    fn ask(servers: &[Watched]) -> Round {
        let (sender, answers) = mpsc::channel();
        for server in servers {
            let sender = sender.clone();
            server.handle.figures(move |workers| {
                let _ = sender.send(workers.len());
            });
        }
        Round { workers: servers.iter().map(|server| server.workers).sum(), answers, answered: 0 }
    }

    /// Returns whether all workers have answered; `None` while an answer is due. A worker that is gone, or whose mailbox is full, is
    /// not asked.
    fn outcome(&mut self) -> Option<bool> {
        loop {
            match self.answers.try_recv() {
                Ok(count) => self.answered += count,
                Err(mpsc::TryRecvError::Empty) => return None,
                Err(mpsc::TryRecvError::Disconnected) => return Some(self.answered == self.workers),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleeting::{App, Response, Server};
    use fleeting_testkit::client::Client;
    use std::sync::Mutex;
    use std::thread;

    /// Waits until no answer is due.
    fn outcome(round: &mut Round) -> bool {
        loop {
            if let Some(outcome) = round.outcome() {
                return outcome;
            }
            thread::yield_now();
        }
    }

    #[test]
    fn a_worker_whose_loop_does_not_turn_is_noticed() {
        let (entered, entries) = mpsc::channel();
        let (leave, leaves) = mpsc::channel::<()>();
        let leaves = Mutex::new(leaves);
        let stuck = move || {
            entered.send(()).expect("the test waits");
            let _ = leaves.lock().expect("one at a time").recv();
        };
        let stuck = std::sync::Arc::new(stuck);
        let server = Server::builder().bind("127.0.0.1:0").workers(2).serve(move |_| {
            let stuck = stuck.clone();
            App::new().get("/stuck", move |_req| {
                stuck();
                Ok(Response::new(204))
            })
        });
        let server = server.expect("the server starts");
        let servers = [Watched { handle: server.handle(), workers: 2 }];
        assert!(outcome(&mut Round::ask(&servers)));
        let mut client = Client::connect(server.local_addrs()[0]);
        client.send("GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n");
        entries.recv().expect("the handler runs");
        let mut round = Round::ask(&servers);
        // The other worker answers, which may take a while, and this one never does.
        assert_eq!(round.outcome(), None);
        assert_eq!(round.answers.recv_timeout(Duration::from_millis(20)), Err(RecvTimeoutError::Timeout));
        leave.send(()).expect("the handler waits");
        assert!(outcome(&mut round), "a late answer is one");
        drop(client);
        // One that is gone does not answer.
        server.handle().shutdown();
        server.run().expect("every worker has ended");
        assert!(!outcome(&mut Round::ask(&servers)));
    }

    #[test]
    fn what_works_is_reported_until_the_end() {
        let server = Server::builder().bind("127.0.0.1:0").serve(|_| App::new()).expect("it starts");
        let servers = vec![Watched { handle: server.handle(), workers: 1 }];
        let (sender, reports) = mpsc::channel();
        let watchdog = start(Duration::from_millis(2), servers, move || {
            let _ = sender.send(());
        });
        for _ in 0..3 {
            reports.recv().expect("the thread reports");
        }
        drop(watchdog);
        while reports.recv().is_ok() {}
        server.handle().shutdown();
        server.run().expect("it has ended");
    }
}
