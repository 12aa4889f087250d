//! The idle modes: open connections, report their memory, hold them.

use crate::args::Args;
use crate::link::Link;
use crate::{http, http2, net};
use std::io::Write;
use std::time::Duration;

/// Opens the connections, prints `ready N` and holds them for `--secs`.
pub fn run(a: &Args) {
    let path = a.path.as_deref().unwrap_or(if a.mode == "idle" { "/ws" } else { "/" });
    let rss0 = a.pid.and_then(net::rss_kib);
    let links: Vec<Link> = (0..a.conns)
        .map(|_| match a.mode.as_str() {
            "h2-idle" => http2::once(a, path),
            "http-idle" => http::http_once(a, path),
            _ => http::ws_connect(a, path, None).0,
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    let rss1 = a.pid.and_then(net::rss_kib);
    if let Some((x, y)) = rss0.zip(rss1) {
        let per = (y as f64 - x as f64) * 1024.0 / a.conns as f64;
        if a.json {
            println!(
                "{{\"mode\":\"{}\",\"conns\":{},\"rss_before_kib\":{x},\"rss_after_kib\":{y},\"bytes_per_conn\":{per:.0}}}",
                a.mode, a.conns
            );
        } else {
            println!(
                "rss: {x} KiB before, {y} KiB with {} connections, {per:.0} bytes per connection",
                a.conns
            );
        }
    }
    println!("ready {}", links.len());
    let _ = std::io::stdout().flush();
    std::thread::sleep(Duration::from_secs_f64(a.secs));
    for link in links {
        net::reset_on_close(link.fd());
    }
}
