//! openload: a small single-threaded open-loop HTTP/1.1 load generator for loopback benchmarks.
//!
//! Request k is due k / rate seconds after the start and is sent then, on the next connection in
//! turn, whether or not earlier requests have been answered. Latency counts from the moment a
//! request was *due*, so coordinated omission cannot occur and nothing is corrected afterwards. This
//! also holds when the generator itself is late; it reports how late it was.
//!
//! It spins and never sleeps, because a timer wakes up tens of microseconds late.

mod answer;
mod args;
mod connect;
mod cpu;
mod load;
mod schedule;
mod trickle;

use args::Args;
use hdrhistogram::Histogram;
use load::Figures;

fn us(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1e3
}

fn print(a: &Args, f: &Figures) {
    let p = |q| us(&f.latency, q);
    let max = f.latency.max() as f64 / 1e3;
    let late_share = f.late as f64 / f.lateness.len().max(1) as f64;
    let late = us(&f.lateness, 0.999);
    if a.json {
        let cpu = f.server_cpu_us.map_or("null".into(), |v| format!("{v:.4}"));
        println!(
            "{{\"rate\":{},\"achieved\":{:.1},\"conns\":{},\"secs\":{},\"trickle\":{},\"answers\":{},\
             \"p50_us\":{:.1},\"p90_us\":{:.1},\"p99_us\":{:.1},\"p999_us\":{:.1},\"p9999_us\":{:.1},\"max_us\":{max:.1},\
             \"late_share\":{late_share:.6},\"late_p999_us\":{late:.1},\"server_cpu_us\":{cpu},\"reopened\":{},\
             \"errors\":{},\"wrong_status\":{},\"closed\":{},\"unanswered\":{}}}",
            a.rate,
            f.achieved,
            a.conns,
            a.secs,
            a.trickle,
            f.latency.len(),
            p(0.5),
            p(0.9),
            p(0.99),
            p(0.999),
            p(0.9999),
            f.reopened,
            f.errors.total(),
            f.errors.status,
            f.errors.closed,
            f.errors.unanswered
        );
        return;
    }
    println!(
        "{} answers, {:.0}/s of {}/s requested, {} connections",
        f.latency.len(),
        f.achieved,
        a.rate,
        a.conns
    );
    println!(
        "latency us, from the due time: p50 {:.1}  p90 {:.1}  p99 {:.1}  p99.9 {:.1}  p99.99 {:.1}  max {max:.1}",
        p(0.5),
        p(0.9),
        p(0.99),
        p(0.999),
        p(0.9999)
    );
    println!(
        "generator: {:.3} % of requests sent more than {} us after they were due, lateness p99.9 {late:.1} us",
        late_share * 100.0,
        load::LATE.as_micros()
    );
    if let Some(cpu) = f.server_cpu_us {
        println!("server cpu: {cpu:.3} us per request");
    }
    if a.trickle > 0 {
        println!("trickle: {} connections, {} reopened", a.trickle, f.reopened);
    }
    println!(
        "errors: {} ({} wrong statuses, {} connections closed, {} requests without an answer)",
        f.errors.total(),
        f.errors.status,
        f.errors.closed,
        f.errors.unanswered
    );
}

fn main() {
    let args = args::parse_args();
    // Each connection needs a descriptor. If the limit cannot be raised, connecting fails with an error later.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    match load::run(&args) {
        Ok(figures) => {
            print(&args, &figures);
            if let Some(first) = &figures.errors.first {
                eprintln!("openload: {first}");
                std::process::exit(1);
            }
        }
        Err(problem) => {
            eprintln!("openload: {problem}");
            std::process::exit(1);
        }
    }
}
