//! The thread that looks where the address leads: it asks a fresh connection about its server with every beat.
//!
//! The connections of the other threads may outlive a failover, and then lead to a replica, or to a server that nobody
//! else uses. It sends and receives no publication. Invariant: it drops only connections older than its question.

use super::shared::Shared;

/// Looks with every beat until the broker stops.
pub(super) fn run(shared: &Shared) {
    while shared.rest() {
        let opened = shared.state().opened;
        // If Redis cannot be reached, the other threads notice on their own connections.
        if let Ok((link, _)) = shared.route.find(shared.options.timeout) {
            shared.compare(link.server(), opened);
        }
    }
}
