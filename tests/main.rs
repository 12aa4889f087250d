//! The promises of the library as a whole, one module each, named after its promise.
//!
//! Three modules are tools: `driver` drives an engine over streams in memory, `http2_peer` is a client over such a stream, and
//! `simulator` generates clients. `regressions` keeps what the simulator has found. Clients, servers, streams and random
//! numbers are in `fleeting_testkit`.
//!
//! In builds for AddressSanitizer (`--cfg fleeting_paranoid`, see tests/sanitize) memory is freed instead of reused, so
//! `allocations` is left out. So is `address_space`, because the sanitizer itself needs terabytes of it.

#[cfg(all(target_os = "linux", not(fleeting_paranoid)))]
mod address_space;
mod addresses;
mod admission;
#[cfg(not(fleeting_paranoid))]
mod allocations;
mod announcements;
mod async_tasks;
mod completions;
#[cfg(feature = "deflate")]
mod compression;
mod conditional_requests;
mod connection_ids;
mod cookies;
mod deferred_responses;
mod driver;
mod error_page;
mod file_responses;
mod foreign_event_loop;
mod forms;
mod gaps;
mod http2;
mod http2_admission;
#[cfg(not(fleeting_paranoid))]
mod http2_allocations;
mod http2_close;
mod http2_completions;
mod http2_flow_control;
mod http2_handles;
mod http2_limits;
mod http2_peer;
mod http2_pubsub;
mod http2_shutdown;
mod http2_slow_consumers;
mod http2_transfers;
mod http2_versions;
mod http2_websocket_timeouts;
mod http2_websockets;
mod inherited_sockets;
mod layers;
mod limits;
mod listeners;
mod memory;
mod multipart;
mod offload;
mod out_of_descriptors;
mod own_loop;
mod own_workers;
mod panics;
mod pipelining;
mod proxies;
mod pubsub;
mod regressions;
mod responses;
mod rest_example;
mod routing;
mod server_sent_events;
mod session_end;
mod shutdown;
mod sigpipe;
mod simulator;
mod site_policy;
mod slow_consumers;
mod slow_peers;
mod spinning;
mod split_reads;
mod startup_errors;
mod streaming;
mod tcp_options;
mod testing;
mod timeouts;
#[cfg(feature = "tls")]
mod tls;
mod turn_bounds;
mod unix_sockets;
mod upgrade;
mod uploads;
mod websocket_timeouts;
mod writing_together;
