//! HTTP/2 by hyper 1.x on a current-thread tokio runtime: `http2-hyper PORT [--tls-cert FILE --tls-key FILE]`.
//! `GET /`, `GET /100k`, `POST /echo`; by prior knowledge without TLS, by ALPN over TLS.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderValue, CONTENT_TYPE, SERVER};
use hyper::rt::Executor;
use hyper::{server::conn::http2, service::service_fn, Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::Future;
use tokio::io::{AsyncRead, AsyncWrite};

async fn answer(req: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = match req.uri().path() {
        "/echo" => req
            .into_body()
            .collect()
            .await
            .map(|b| b.to_bytes())
            .unwrap_or_default(),
        "/100k" => Bytes::from_static(&[b'x'; 100 * 1024]),
        _ => Bytes::from_static(b"Hello, World!"),
    };
    let mut res = Response::new(Full::new(body));
    res.headers_mut().insert(SERVER, HeaderValue::from_static("hyper"));
    res.headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(res)
}

/// Runs what hyper spawns on this thread.
#[derive(Clone)]
struct ThisThread;

impl<F: Future + 'static> Executor<F> for ThisThread {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(async move {
            task.await;
        });
    }
}

async fn serve(s: impl AsyncRead + AsyncWrite + Unpin + 'static) {
    let _ = http2::Builder::new(ThisThread)
        .serve_connection(TokioIo::new(s), service_fn(answer))
        .await;
}

fn main() {
    let port: u16 = std::env::args()
        .nth(1)
        .and_then(|p| p.parse().ok())
        .expect("usage: http2-hyper PORT");
    let tls = peer_tls::acceptor_for(&["h2"]);
    let rt = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&rt, async move {
        let l = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("bind");
        loop {
            let Ok((s, _)) = l.accept().await else { continue };
            let _ = s.set_nodelay(true);
            let tls = tls.clone();
            tokio::task::spawn_local(async move {
                match tls {
                    None => serve(s).await,
                    Some(tls) => {
                        if let Ok(s) = tls.accept(s).await {
                            serve(s).await;
                        }
                    }
                }
            });
        }
    });
}
