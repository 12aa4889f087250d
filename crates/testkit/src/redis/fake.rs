//! A server that speaks Redis' protocol and answers what the test says.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// Makes the reply to a command from its words.
type Answer = dyn Fn(&[Vec<u8>]) -> Option<Vec<u8>>;

/// Stopped when it is dropped; connections end with their clients.
pub struct FakeRedis {
    addr: SocketAddr,
    over: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl FakeRedis {
    /// Starts a server. `answer` gets the words of each command and returns the bytes of the reply; `None` stands for
    /// what Redis answers, if a client that keeps nothing can do with that.
    pub fn start(answer: impl Fn(&[Vec<u8>]) -> Option<Vec<u8>> + Send + Sync + 'static) -> FakeRedis {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let addr = listener.local_addr().expect("it listens");
        let (over, answer) = (Arc::new(AtomicBool::new(false)), Arc::new(answer));
        let ends = over.clone();
        let acceptor = thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                let (stream, answer) = (stream.expect("a connection"), answer.clone());
                thread::spawn(move || serve(&stream, &*answer));
            }
        });
        FakeRedis { addr, over, acceptor: Some(acceptor) }
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.addr)
    }
}

impl Drop for FakeRedis {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.addr));
        let _ = self.acceptor.take().map(JoinHandle::join);
    }
}

/// Answers commands until the client leaves.
fn serve(stream: &TcpStream, answer: &Answer) {
    let (mut from, mut to) = (BufReader::new(stream), stream);
    while let Some(words) = command(&mut from) {
        let reply = answer(&words).unwrap_or_else(|| usual(&words));
        if to.write_all(&reply).is_err() {
            return;
        }
    }
}

/// Reads a command: an array of strings.
fn command(from: &mut impl BufRead) -> Option<Vec<Vec<u8>>> {
    let count = length(from, "*")?;
    (0..count)
        .map(|_| {
            let mut word = vec![0; length(from, "$")? + 2];
            from.read_exact(&mut word).ok()?;
            word.truncate(word.len() - 2);
            Some(word)
        })
        .collect()
}

fn length(from: &mut impl BufRead, kind: &str) -> Option<usize> {
    let mut line = String::new();
    from.read_line(&mut line).ok()?;
    line.trim_end().strip_prefix(kind)?.parse().ok()
}

fn usual(words: &[Vec<u8>]) -> Vec<u8> {
    match &words[0][..] {
        b"PING" => b"+PONG\r\n".to_vec(),
        b"INFO" => b"$21\r\nrun_id:a\r\nrole:master\r\n".to_vec(),
        b"PUBLISH" => b":0\r\n".to_vec(),
        b"SUBSCRIBE" => {
            let head = format!("*3\r\n+subscribe\r\n${}\r\n", words[1].len());
            [head.as_bytes(), &words[1], b"\r\n:1\r\n"].concat()
        }
        b"SCAN" => b"*2\r\n+0\r\n*0\r\n".to_vec(),
        _ => b"$-1\r\n".to_vec(),
    }
}
