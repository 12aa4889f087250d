//! Prints the results of a run, as text or JSON.

use crate::args::Args;
use crate::die::die;
use crate::hist::Hist;
use crate::net;

struct Report {
    msgs: u64,
    secs: f64,
    hist: Hist,
    server_us: Option<f64>,
    self_us: f64,
    wire_in: Option<f64>,
}

impl Report {
    fn print(&self, a: &Args, what: &str) {
        let rate = self.msgs as f64 / self.secs;
        let p = |q| self.hist.quantile(q) as f64 / 1000.0;
        let opt = |v: Option<f64>| v.map_or("null".into(), |v| format!("{v:.4}"));
        if a.json {
            println!(
                "{{\"mode\":\"{}\",\"conns\":{},\"size\":{},\"depth\":{},\"secs\":{:.3},\"msgs\":{},\"msgs_per_s\":{:.0},\
                 \"p50_us\":{:.1},\"p99_us\":{:.1},\"p999_us\":{:.1},\"server_cpu_us\":{},\"client_cpu_us\":{:.4},\"wire_bytes_in\":{}}}",
                a.mode, a.conns, a.size, a.depth, self.secs, self.msgs, rate,
                p(0.50), p(0.99), p(0.999), opt(self.server_us), self.self_us, opt(self.wire_in)
            );
        } else {
            println!("{what}: {} in {:.2} s, {:.0}/s", self.msgs, self.secs, rate);
            println!(
                "latency us: p50 {:.1}  p99 {:.1}  p99.9 {:.1}",
                p(0.50),
                p(0.99),
                p(0.999)
            );
            if let Some(s) = self.server_us {
                println!("server cpu: {s:.3} us per {what}");
            }
            println!("client cpu: {:.3} us per {what}", self.self_us);
            if let Some(w) = self.wire_in {
                println!("wire bytes per answer: {w:.1}");
            }
        }
    }
}

/// The CPU time of the server (with `--pid`) and of this process, in microseconds.
pub type Cpu = (Option<f64>, f64);

/// Returns the CPU times until now.
pub fn cpu_now(a: &Args) -> Cpu {
    (
        a.pid
            .map(|p| net::cpu_us(p).unwrap_or_else(|| die("cannot read the CPU time of --pid"))),
        net::own_cpu_us(),
    )
}

pub fn finish(a: &Args, what: &str, msgs: u64, secs: f64, hist: Hist, (cpu0, cpu1): (Cpu, Cpu), wire: Option<u64>) {
    if msgs == 0 {
        die("no message completed in the measured time");
    }
    let m = msgs as f64;
    Report {
        msgs,
        secs,
        hist,
        server_us: cpu1.0.zip(cpu0.0).map(|(b, a)| (b - a) / m),
        self_us: (cpu1.1 - cpu0.1) / m,
        wire_in: wire.map(|w| w as f64 / m),
    }
    .print(a, what);
}
