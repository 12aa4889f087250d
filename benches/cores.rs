//! The cores alone, without a socket: parsing, framing, masking, the arena, and a request's way through
//! the engine.
//!
//! `cargo bench --bench cores [-- FILTER]`. It is for comparing two commits on one machine; what a server
//! is worth is measured by `benches/run`.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use fleeting::engine::{Engine, Readiness, Settings};
use fleeting::http1::{
    ConnectionHeader, ContentLength, ContentStep, Decoder, HeadStep, ResponseHead, encode_head,
};
use fleeting::time::Now;
use fleeting::transport::Stream;
use fleeting::ws::{self, Event, Opcode};
use fleeting::{App, Arena, Limits, Response};
use std::hint::black_box;
use std::io::{self, IoSlice};
use std::time::Duration;

const PLAIN: &str = "GET /plain HTTP/1.1\r\nHost: a:8080\r\n\r\n";

const BROWSER: &str = "GET /hello/world?page=2 HTTP/1.1\r\nHost: example.org\r\nConnection: keep-alive\r\n\
    Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, \
    like Gecko) Chrome/140.0.0.0 Safari/537.36\r\nAccept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n\
    Referer: http://example.org/hello\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: en-GB,en;q=0.9\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef\r\n\r\n";

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// Reads one request with its content; returns the content's length.
#[inline]
fn read(input: &mut [u8], arena: &Arena, limits: &Limits) -> usize {
    let mut decoder = Decoder::new();
    let HeadStep::Head { head, rest, .. } = decoder.head(input, arena, limits) else {
        panic!("no head");
    };
    black_box(head.target.path_bytes());
    match decoder.content(&head, rest, arena, limits) {
        ContentStep::Whole { content, .. } => black_box(content).len(),
        other => panic!("{other:?}"),
    }
}

fn requests(c: &mut Criterion) {
    let limits = Limits::default();
    let mut arena = Arena::new(limits.arena_bytes);
    let post =
        format!("POST /echo HTTP/1.1\r\nHost: a:8080\r\nContent-Length: 1024\r\n\r\n{}", "x".repeat(1024));
    let mut group = c.benchmark_group("request");
    for (name, request) in [("plain", PLAIN), ("browser", BROWSER), ("POST 1 KiB", &post)] {
        let mut input = request.as_bytes().to_vec();
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let length = read(black_box(&mut input), &arena, &limits);
                arena.reset();
                length
            });
        });
    }
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096));
    let chunked = format!(
        "POST /echo HTTP/1.1\r\nHost: a:8080\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(16)
    );
    group.throughput(Throughput::Bytes(64 << 10));
    group.bench_function("chunked 64 KiB in 16", |b| {
        b.iter_batched_ref(
            || chunked.as_bytes().to_vec(),
            |input| assert_eq!(read(input, &arena, &limits), 64 << 10),
            BatchSize::SmallInput,
        );
    });
}

fn responses(c: &mut Criterion) {
    let head = ResponseHead {
        status: 200,
        fields: b"Content-Type: text/plain; charset=utf-8\r\nx-id: 7\r\n",
        content: ContentLength::Known(1024),
        connection: ConnectionHeader::Implied,
        date: DATE,
    };
    let mut out = Vec::with_capacity(4096);
    encode_head(&mut out, &head);
    let mut group = c.benchmark_group("response");
    group.throughput(Throughput::Bytes(out.len() as u64));
    group.bench_function("encode_head", |b| {
        b.iter(|| {
            out.clear();
            encode_head(&mut out, black_box(&head));
            out.len()
        });
    });
}

/// A masked frame. The mask is zero, so that the frame stays what it is when it is unmasked in place.
fn frame(opcode: u8, bytes: usize) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match bytes {
        0..126 => frame.push(0x80 | bytes as u8),
        126..65536 => {
            frame.push(0xfe);
            frame.extend((bytes as u16).to_be_bytes());
        }
        _ => {
            frame.push(0xff);
            frame.extend((bytes as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.resize(frame.len() + bytes, b'x');
    frame
}

fn frames(c: &mut Criterion) {
    let limits = Limits::default();
    let mut group = c.benchmark_group("ws");
    for (kind, opcode) in [("text", 1), ("binary", 2)] {
        for (size, bytes) in [("16 B", 16), ("1 KiB", 1 << 10), ("64 KiB", 64 << 10)] {
            let mut input = frame(opcode, bytes);
            let mut decoder = ws::Decoder::new();
            group.throughput(Throughput::Bytes(bytes as u64));
            group.bench_function(format!("decode {kind} {size}"), |b| {
                b.iter(|| match decoder.next(black_box(&mut input), &limits) {
                    ws::Step::Event { event: Event::Text(text), .. } => black_box(text).len(),
                    ws::Step::Event { event: Event::Binary(bytes), .. } => black_box(bytes).len(),
                    other => panic!("{other:?}"),
                });
            });
        }
    }
    let mut out = Vec::with_capacity(64);
    for (name, bytes) in [("16 B", 16), ("1 KiB", 1 << 10), ("64 KiB", 64 << 10)] {
        out.clear();
        ws::encode::encode_header(&mut out, Opcode::Text, true, bytes);
        group.throughput(Throughput::Bytes(out.len() as u64));
        group.bench_function(format!("encode_header {name}"), |b| {
            b.iter(|| {
                out.clear();
                ws::encode::encode_header(&mut out, Opcode::Text, true, black_box(bytes));
                out.len()
            });
        });
    }
}

fn arena(c: &mut Criterion) {
    let mut group = c.benchmark_group("arena");
    let mut arena = Arena::new(16 << 10);
    for (name, pieces) in [("1 of 64 B, reset", 1), ("16 of 64 B, reset", 16)] {
        group.throughput(Throughput::Bytes(64 * pieces));
        group.bench_function(name, |b| {
            b.iter(|| {
                for _ in 0..pieces {
                    black_box(arena.alloc_bytes(black_box(&[7; 64])));
                }
                arena.reset();
            });
        });
    }
}

/// A peer that sends the same request over and over and takes every answer.
struct Wire {
    request: Vec<u8>,
    taken: usize,
}

impl Stream for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        buffer[..self.request.len()].copy_from_slice(&self.request);
        Ok(self.request.len())
    }

    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.taken += buffer.len();
        Ok(buffer.len())
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        buffers.iter().map(|buffer| self.write(buffer)).sum()
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The router is not public: its share shows in how the figures differ.
fn engine(c: &mut Criterion) {
    let mut group = c.benchmark_group("engine");
    for routes in [1, 100, 10_000] {
        for (kind, target) in [("fixed", "/0/plain"), ("parameter", "/0/hello/world")] {
            let mut app = App::new();
            for route in 0..routes {
                app = app
                    .get(&format!("/{route}/plain"), |_req| Ok(Response::text("hello")))
                    .get(&format!("/{route}/hello/{{name}}"), |req| Ok(Response::text(req.param("name"))));
            }
            let now = Now { ms: 1, unix_secs: 784_111_777 };
            let mut engine = Engine::new(app, Settings::default(), now);
            let request = format!("GET {target} HTTP/1.1\r\nHost: a:8080\r\n\r\n").into_bytes();
            let bytes = request.len() as u64;
            let id = engine.accept(Wire { request, taken: 0 }, None);
            engine.begin(now);
            group.throughput(Throughput::Bytes(bytes));
            group.bench_function(format!("GET {kind}, {routes} of each"), |b| {
                b.iter(|| engine.ready(id, Readiness { readable: true, ..Readiness::default() }));
            });
            assert!(engine.stream_mut(id).is_some_and(|wire| wire.taken > 0), "nothing was answered");
        }
    }
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(40)
        .without_plots()
}

criterion_group! {
    name = cores;
    config = short();
    targets = requests, responses, frames, arena, engine
}
criterion_main!(cores);
