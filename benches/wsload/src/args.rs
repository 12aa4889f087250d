//! The command line. Knows nothing about the load.

use rustls::ClientConfig;
use std::sync::Arc;

const USAGE: &str = "\
usage: wsload [options]
  --mode M       echo | idle | pubsub | hub | events | feed | http-idle | h2-idle | short  (default echo)
  --host H       IPv4 loopback address                     (default 127.0.0.1)
  --port P       port                                      (required)
  --path P       request path                 (default /ws; hub: /hub; feed: /ticks; http-idle, h2-idle, short: /)
  --conns N      connections; pubsub, hub, events, feed: subscribers  (default 64)
  --size S       payload bytes                             (default 16)
  --depth D      messages in flight per connection;
                 pubsub, hub, events: publications in flight    (default 1)
  --secs T       measured seconds, idle: hold seconds      (default 3)
  --warmup T     seconds before measuring                  (default 0.5)
  --binary       binary frames                             (default text)
  --deflate      offer permessage-deflate, send compressed JSON-like text
  --offer STR    the extension offer  (default 'permessage-deflate; client_max_window_bits')
  --pub-path P   path of the publisher, a WebSocket, pubsub and events  (default /pub)
  --sub-path P   path of the subscribers      (default pubsub: /sub, events: /events)
  --feed-port P  UDP port that takes the ticks, feed       (required there)
  --rate R       ticks per second, feed                    (default 5000)
  --token T      bearer token, feed                        (default secret)
  --field F      a further field of the request, 'name: value'; several are possible, h2-idle
  --tls          TLS 1.3, X25519 and AES-256-GCM; no resumption, and any certificate is accepted
  --pid PID      also report the CPU time of this process per message
  --json         one JSON object instead of the text lines
exit status: 0 ok, 1 wrong echo / stall / connection lost, 2 usage error";

/// What the command line asks for.
pub struct Args {
    pub mode: String,
    pub host: String,
    pub port: u16,
    pub path: Option<String>,
    pub conns: usize,
    pub size: usize,
    pub depth: usize,
    pub secs: f64,
    pub warmup: f64,
    pub binary: bool,
    pub deflate: bool,
    pub offer: String,
    pub pub_path: String,
    pub sub_path: Option<String>,
    pub feed_port: u16,
    pub rate: u64,
    pub token: String,
    pub fields: Vec<(String, String)>,
    pub tls: Option<Arc<ClientConfig>>,
    pub pid: Option<u32>,
    pub json: bool,
}

/// Prints a message and the usage, and exits with status 2.
pub fn usage(msg: &str) -> ! {
    eprintln!("wsload: {msg}\n{USAGE}");
    std::process::exit(2);
}

/// Reads the command line. Prints the usage and exits if it is wrong or asks for help.
pub fn parse_args() -> Args {
    let mut a = Args {
        mode: "echo".into(),
        host: "127.0.0.1".into(),
        port: 0,
        path: None,
        conns: 64,
        size: 16,
        depth: 1,
        secs: 3.0,
        warmup: 0.5,
        binary: false,
        deflate: false,
        offer: "permessage-deflate; client_max_window_bits".into(),
        pub_path: "/pub".into(),
        sub_path: None,
        feed_port: 0,
        rate: 5000,
        token: "secret".into(),
        fields: Vec::new(),
        tls: None,
        pid: None,
        json: false,
    };
    fn val<T: std::str::FromStr>(k: &str, v: Option<String>) -> T {
        v.and_then(|v| v.parse().ok())
            .unwrap_or_else(|| usage(&format!("invalid or missing value for {k}")))
    }
    let mut with_tls = false;
    let mut it = std::env::args().skip(1);
    while let Some(k) = it.next() {
        match k.as_str() {
            "--mode" => a.mode = val(&k, it.next()),
            "--host" => a.host = val(&k, it.next()),
            "--port" => a.port = val(&k, it.next()),
            "--path" => a.path = Some(val(&k, it.next())),
            "--conns" => a.conns = val(&k, it.next()),
            "--size" => a.size = val(&k, it.next()),
            "--depth" => a.depth = val(&k, it.next()),
            "--secs" => a.secs = val(&k, it.next()),
            "--warmup" => a.warmup = val(&k, it.next()),
            "--offer" => a.offer = val(&k, it.next()),
            "--pub-path" => a.pub_path = val(&k, it.next()),
            "--sub-path" => a.sub_path = Some(val(&k, it.next())),
            "--feed-port" => a.feed_port = val(&k, it.next()),
            "--rate" => a.rate = val(&k, it.next()),
            "--token" => a.token = val(&k, it.next()),
            "--pid" => a.pid = Some(val(&k, it.next())),
            "--binary" => a.binary = true,
            "--deflate" => a.deflate = true,
            "--field" => a.fields.push(field(&val::<String>(&k, it.next()))),
            "--tls" => with_tls = true,
            "--json" => a.json = true,
            "-h" | "--help" => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            _ => usage(&format!("unknown option {k}")),
        }
    }
    a.tls = with_tls.then(|| crate::tls::config(a.mode == "h2-idle"));
    if a.port == 0 {
        usage("--port is required");
    }
    if ["events", "hub"].contains(&a.mode.as_str()) && a.binary {
        usage("events and commands are text: --binary is not possible");
    }
    if a.mode == "feed" && (a.feed_port == 0 || !(1..=1_000_000).contains(&a.rate)) {
        usage("--feed-port is required, --rate 1 to 1000000");
    }
    if a.mode != "h2-idle" && !a.fields.is_empty() {
        usage("--field is for h2-idle only");
    }
    if a.conns == 0 || a.depth == 0 || !(0.0..=3600.0).contains(&a.secs) || !(0.0..=600.0).contains(&a.warmup) {
        usage("--conns and --depth must be at least 1, --secs 0 to 3600, --warmup 0 to 600");
    }
    a
}

/// Splits `name: value`. The name becomes lower case, as HTTP/2 requires (RFC 9113 §8.2).
fn field(text: &str) -> (String, String) {
    match text.split_once(':') {
        Some((name, value)) if !name.is_empty() => (name.to_ascii_lowercase(), value.trim().to_string()),
        _ => usage("--field must be 'name: value'"),
    }
}
