//! The orderly end of an engine: what a shutdown does to each connection, and when it cuts off the rest.
//!
//! It knows no signal. Its invariant: nothing that has begun is cut off before the grace period is over.

use super::conn::{Protocol, Source};
use super::driver::Engine;
use super::shutdown::Straggler;
use super::timer::Waiting;
use super::turn::Turn;
use crate::app::ConnId;
use crate::transport::Stream;
use crate::ws::CloseCode;

impl<S: Stream> Engine<S> {
    /// Begins an orderly shutdown. Idle connections are closed at once, requests in flight after their answer,
    /// WebSockets with 1001 (RFC 6455 §7.4.1), all after what has been published. The rest is cut off when the `grace`
    /// timeout is over.
    pub fn shutdown(&mut self) {
        if self.is_shutting_down() {
            return;
        }
        // A connection that closes is sent no more publications, and some may have been put off to this turn.
        self.deliver_all();
        self.context.services.shutting_down = true;
        let (connections, rest): (Vec<_>, Vec<_>) =
            self.table.ids().into_iter().partition(|id| self.is_http2(*id));
        // GOAWAY leaves before the ends of the streams.
        for id in connections.iter().chain(&rest) {
            self.wind_up(*id);
        }
        self.cut_off = Some(self.schedule.cut_off_ms());
        // From now on a turn ends a connection that is idle.
        for id in connections {
            self.drive(id, false);
        }
        // There is no place for more clients. One that is on the way from another worker has its place and is served.
        self.mailbox.lobby.open(0);
    }

    /// Ends a connection for a shutdown: at once if it is idle, otherwise after what is under way.
    pub(super) fn wind_up(&mut self, id: ConnId) {
        let Some(conn) = self.table.find(id) else { return };
        if let Protocol::WebSocket(open, _) = &conn.protocol {
            self.report.websockets += u64::from(open.is_open());
            return self.tell(id, |turn| turn.close(CloseCode::AWAY, "shutting down"));
        }
        // A request may have arrived whose event is not reported yet.
        if conn.source == Source::Drained {
            conn.source = Source::Ready;
        }
        let mut turn = Turn::new(conn, id, &mut self.context, &mut self.cork);
        turn.ending();
        turn.announce_end();
        self.drive(id, false);
        // A peer of HTTP/2 answers what it was just sent, so to close its connection at once could destroy a response that it
        // has not read yet.
        let waiting = self.table.find(id).map(|conn| conn.timer.waiting);
        if waiting == Some(Waiting::Request) && !self.is_http2(id) {
            self.abort(id);
        }
    }

    fn is_http2(&mut self, id: ConnId) -> bool {
        self.table.find(id).is_some_and(|conn| matches!(conn.protocol, Protocol::Http2(_)))
    }

    #[cold]
    pub(super) fn cut_off_stragglers(&mut self) {
        let ids = self.table.ids();
        for id in &ids {
            // What a turn has put off may be its answer.
            if self.table.find(*id).is_some_and(|conn| conn.runnable) {
                self.drive(*id, false);
            }
        }
        self.run_streams();
        let ids = self.table.ids();
        for id in &ids {
            if let Some(conn) = self.table.find(*id).filter(|conn| conn.loses_something()) {
                self.report.stragglers.push(Straggler::new(conn));
                self.counters_mut().timeouts += 1;
            }
        }
        ids.into_iter().for_each(|id| self.abort(id));
        self.run_streams();
    }
}
