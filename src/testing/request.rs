//! A request that a test writes down piece by piece.
//!
//! It knows no engine. Its invariant: what it sends is a well-formed request; anything else is sent as raw bytes.

use super::answer::Answer;
use super::connection::{Connection, Pending};
use super::wire::is_token;

/// A request to be sent: see [`TestServer::get`](super::TestServer::get).
///
/// It has the field `Host: localhost` and a Content-Length if it has content, unless the test sets these fields itself.
///
/// ```
/// use fleeting::{App, Response, testing};
///
/// let app = testing::serve(App::new().post("/echo", |req| {
///     Response::bytes(req.body()).header("x-user", req.cookie("user").unwrap_or("nobody"))
/// }));
/// let answer = app.post("/echo").header("cookie", "user=ann").body("hello").send();
/// assert_eq!((answer.text(), answer.header("x-user")), ("hello", Some("ann")));
/// // The same content in two chunks.
/// assert_eq!(app.post("/echo").chunks(["hel", "lo"]).send().text(), "hello");
/// ```
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    connection: Connection,
    method: String,
    target: String,
    fields: Vec<(String, Vec<u8>)>,
    content: Option<Vec<u8>>,
}

impl RequestBuilder {
    #[track_caller]
    pub(super) fn new(connection: Connection, method: &str, target: &str) -> RequestBuilder {
        assert!(
            !method.is_empty() && method.bytes().all(is_token),
            "{method:?} is not a method; raw() sends any bytes"
        );
        assert!(
            !target.is_empty() && target.bytes().all(|byte| byte > b' ' && byte != 0x7f),
            "{target:?} is not a target: a space or a control character must be percent-encoded; raw() sends any bytes"
        );
        RequestBuilder {
            connection,
            method: method.into(),
            target: target.into(),
            fields: Vec::new(),
            content: None,
        }
    }

    /// Adds a field. A second one of the same name is a second line.
    ///
    /// # Panics
    /// If the name or the value would not be one line: send such a request as [`raw`](Connection::raw) bytes.
    #[track_caller]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> RequestBuilder {
        let value = value.as_ref();
        assert!(
            !name.is_empty() && name.bytes().all(is_token),
            "{name:?} is not a field name; raw() sends any bytes"
        );
        assert!(
            !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)),
            "the value of {name} has a line break or a NUL: \"{}\"; raw() sends any bytes",
            value.escape_ascii()
        );
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Sets the content.
    pub fn body(mut self, content: impl AsRef<[u8]>) -> RequestBuilder {
        self.content = Some(content.as_ref().into());
        self
    }

    /// Sets the content to `value` as JSON, with its Content-Type.
    ///
    /// ```
    /// use fleeting::{App, Response, testing};
    ///
    /// let app = testing::serve(App::new().post("/sum", |req| {
    ///     let numbers: Vec<u32> = req.json()?;
    ///     Response::json(req, &numbers.iter().sum::<u32>())
    /// }));
    /// assert_eq!(app.post("/sum").json(&[1, 2, 3]).send().json::<u32>(), 6);
    /// ```
    ///
    /// # Panics
    /// If the value cannot be written as JSON.
    #[cfg(feature = "json")]
    #[track_caller]
    pub fn json<T: serde::Serialize + ?Sized>(self, value: &T) -> RequestBuilder {
        match serde_json::to_vec(value) {
            Ok(content) => self.header("content-type", "application/json").body(content),
            Err(error) => panic!("the value cannot be written as JSON: {error}"),
        }
    }

    /// Sets the content, and sends it in these chunks (RFC 9112 §7.1). Empty ones are left out.
    #[track_caller]
    pub fn chunks<C: AsRef<[u8]>>(self, chunks: impl IntoIterator<Item = C>) -> RequestBuilder {
        let mut content = Vec::new();
        for chunk in chunks {
            let chunk = chunk.as_ref();
            if !chunk.is_empty() {
                content.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                content.extend_from_slice(chunk);
                content.extend_from_slice(b"\r\n");
            }
        }
        content.extend_from_slice(b"0\r\n\r\n");
        self.header("transfer-encoding", "chunked").body(content)
    }

    /// Sends the request and waits for its answer. No time passes for the server; if other threads must do something,
    /// this waits for them.
    ///
    /// # Panics
    /// If no answer comes; the message says why.
    #[track_caller]
    pub fn send(self) -> Answer {
        self.begin().answer()
    }

    /// Sends the request and returns when the server has done all that it can do at once.
    ///
    /// ```
    /// use fleeting::{App, Response, testing};
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    /// use std::time::Duration;
    ///
    /// let responders = Rc::new(Cell::new(None));
    /// let app = testing::serve(App::new().get("/slow", {
    ///     let responders = responders.clone();
    ///     move |_req| {
    ///         let (response, responder) = Response::defer();
    ///         responders.set(Some(responder));
    ///         Ok(response)
    ///     }
    /// }));
    /// let pending = app.get("/slow").begin();
    /// assert!(pending.try_answer().is_err());
    /// responders.take().unwrap().send(Response::text("at last")).unwrap();
    /// assert_eq!(pending.answer().text(), "at last");
    ///
    /// let pending = app.get("/slow").begin();
    /// app.advance(Duration::from_secs(61)); // the timeout `answer` is 60 seconds
    /// assert_eq!(pending.answer().status(), 504);
    /// ```
    #[track_caller]
    pub fn begin(self) -> Pending {
        let request = format!("{} {}", self.method, self.target);
        self.connection.begin(request, self.method == "HEAD", &self.encode())
    }

    /// Does the same as [`send`](RequestBuilder::send), and keeps the connection.
    #[track_caller]
    pub(super) fn exchange(self) -> (Connection, Answer) {
        let connection = self.connection.clone();
        (connection, self.send())
    }

    /// Returns the request as it is on the wire (RFC 9112 §3).
    fn encode(&self) -> Vec<u8> {
        let has = |name: &str| self.fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        let mut line = |name: &str, value: &[u8]| {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        };
        if !has("host") {
            line("Host", b"localhost");
        }
        self.fields.iter().for_each(|(name, value)| line(name, value));
        let framed = has("content-length") || has("transfer-encoding");
        if let Some(content) = self.content.as_ref().filter(|_| !framed) {
            line("Content-Length", content.len().to_string().as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(self.content.as_deref().unwrap_or_default());
        bytes
    }
}

/// The methods of `TestServer` and `Connection` that begin a request.
macro_rules! methods {
    () => {
        methods! { get "GET", head "HEAD", post "POST", put "PUT", patch "PATCH", delete "DELETE", options "OPTIONS" }
    };
    ($($name:ident $method:literal),+) => {$(
        #[doc = concat!("Makes a request with the method ", $method, " for `target`: a path, and a query if it has one.")]
        ///
        /// # Panics
        /// If the target contains a space or a control character.
        #[track_caller]
        pub fn $name(&self, target: &str) -> $crate::testing::RequestBuilder {
            self.request($method, target)
        }
    )+};
}

pub(super) use methods;

impl Connection {
    /// Makes a request with any method on this connection.
    ///
    /// # Panics
    /// If the method or the target cannot be in a request line.
    #[track_caller]
    pub fn request(&self, method: &str, target: &str) -> RequestBuilder {
        RequestBuilder::new(self.clone(), method, target)
    }

    methods! {}
}
