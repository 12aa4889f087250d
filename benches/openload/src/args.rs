//! The command line. Knows nothing about the load.

const USAGE: &str = "\
usage: openload --port P --rate R [options]
  --port P       port on 127.0.0.1                         (required)
  --rate R       requests per second                       (required)
  --conns N      connections, taken in turn                (default 64)
  --secs S       measured seconds                          (default 3)
  --warmup S     seconds before measuring                  (default 0.5)
  --path P       request path                              (default /)
  --trickle M    M more connections that each send one byte per second of a
                 request head that never ends              (default 0)
  --pid PID      also report the CPU time of this process per request
  --json         one JSON object instead of the text lines
Latency counts from the moment a request was due, not from when it was sent.
exit status: 0 ok, 1 wrong status / connection closed / no answer, 2 usage error";

/// What the command line asks for.
pub struct Args {
    pub port: u16,
    pub rate: f64,
    pub conns: usize,
    pub secs: f64,
    pub warmup: f64,
    pub path: String,
    pub trickle: usize,
    pub pid: Option<u32>,
    pub json: bool,
}

fn usage(msg: &str) -> ! {
    eprintln!("openload: {msg}\n{USAGE}");
    std::process::exit(2);
}

/// Reads the command line. Prints the usage and exits if it is wrong or asks for help.
pub fn parse_args() -> Args {
    let mut a = Args {
        port: 0,
        rate: 0.0,
        conns: 64,
        secs: 3.0,
        warmup: 0.5,
        path: "/".into(),
        trickle: 0,
        pid: None,
        json: false,
    };
    fn val<T: std::str::FromStr>(k: &str, v: Option<String>) -> T {
        v.and_then(|v| v.parse().ok())
            .unwrap_or_else(|| usage(&format!("invalid or missing value for {k}")))
    }
    let mut it = std::env::args().skip(1);
    while let Some(k) = it.next() {
        match k.as_str() {
            "--port" => a.port = val(&k, it.next()),
            "--rate" => a.rate = val(&k, it.next()),
            "--conns" => a.conns = val(&k, it.next()),
            "--secs" => a.secs = val(&k, it.next()),
            "--warmup" => a.warmup = val(&k, it.next()),
            "--path" => a.path = val(&k, it.next()),
            "--trickle" => a.trickle = val(&k, it.next()),
            "--pid" => a.pid = Some(val(&k, it.next())),
            "--json" => a.json = true,
            "-h" | "--help" => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            _ => usage(&format!("unknown option {k}")),
        }
    }
    if a.port == 0 {
        usage("--port is required");
    }
    if !(0.1..=1e7).contains(&a.rate) {
        usage("--rate is required and must be 0.1 to 10000000");
    }
    if a.conns == 0 || !(0.01..=3600.0).contains(&a.secs) || !(0.0..=600.0).contains(&a.warmup) {
        usage("--conns must be at least 1, --secs 0.01 to 3600, --warmup 0 to 600");
    }
    a
}
