//! Answers with files: one that the application names, or what lies beneath a directory.
//!
//! It knows requests and responses. Where a path leads and what may be had is said in
//! [`files`](crate::files); nothing of a file is read here.

use super::{App, Body, Error, Handler, Request, Response};
use crate::buffer::FilePart;
use crate::files::{
    Codings, ConditionalRequest, Decision, MediaType, Opened, Root, Validators, evaluate, is_shortage,
    media_type, open_file, resolve,
};
use crate::time::Clock;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A directory whose files are served: [`App::files`] says where.
///
/// - A path that ends in `/` is answered with `index.html` of that directory; one of a directory without
///   the slash is sent there (301). There are no listings.
/// - Ranges, conditions, `ETag` and `Last-Modified` are those of RFC 9110. Of several ranges the whole is
///   sent, which RFC 9110 §14.2 allows.
/// - Beside `app.js` may lie `app.js.br`, `app.js.zst` and `app.js.gz`: what the client likes best is sent
///   instead. That they are made anew with it is up to whoever makes them.
/// - Nothing outside the directory is ever opened, whatever links lie in it: a link that stays beneath it is
///   followed, an absolute one never is. Names that begin with a dot are not served, but for `.well-known`.
///
/// Files are sent by the kernel; what is not in its memory yet is read from the disk while the worker waits.
/// A file that is being sent takes a descriptor; when there are none left the answer is 503.
///
/// The directory is opened once. A copy is another name of the same one: workers share it.
///
/// ```no_run
/// use fleeting::{App, Files, Server};
///
/// let files = Files::new("public")?;
/// Server::builder()
///     .bind("127.0.0.1:8080")
///     .serve(move |_worker| App::new().files("/static", files.clone()))?
///     .run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Files {
    root: Arc<Root>,
    hidden: bool,
    precompressed: bool,
}

impl Files {
    /// Opens a directory, whose path is trusted.
    ///
    /// # Errors
    /// Those of the system, with the path in front; `NotADirectory` if it is something else.
    pub fn new(directory: impl AsRef<Path>) -> io::Result<Files> {
        let path = directory.as_ref();
        let said = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        Ok(Files { root: Arc::new(Root::new(path).map_err(said)?), hidden: false, precompressed: true })
    }

    /// Whether names that begin with a dot are served too; they are not unless this says so.
    pub fn hidden(self, hidden: bool) -> Files {
        Files { hidden, ..self }
    }

    /// Whether coded neighbours are looked for; they are unless this says otherwise.
    pub fn precompressed(self, precompressed: bool) -> Files {
        Files { precompressed, ..self }
    }

    /// The answer to a request for `path`, the part of the target that is beneath the directory.
    fn answer<'r>(&self, req: &Request<'r>, path: &str) -> Result<Response<'r>, Error> {
        let resolved = resolve(path.as_bytes(), self.hidden)
            .map_err(|error| Error::new(error.status(), error.to_string()))?;
        let mut name = resolved.path;
        if resolved.is_directory {
            name.push_str(if name.is_empty() { "index.html" } else { "/index.html" });
        }
        let media = media_type(&name);
        let negotiates = self.precompressed && media.compresses;
        if negotiates {
            for coding in Codings::read(req.fields().values("accept-encoding")).iter() {
                let neighbour = format!("{name}{}", coding.suffix());
                if let Ok(Opened::File { file, bytes, modified }) = self.root.open(&neighbour) {
                    let validators = Validators::new(bytes, modified, Some(coding));
                    let response = respond(req, file, bytes, &validators, media)?;
                    // RFC 9110 §8.4: of what is answered otherwise, nothing is coded.
                    let response = match response.status {
                        200 | 206 => response.header("content-encoding", coding.name())?,
                        _ => response,
                    };
                    return varies(response);
                }
            }
        }
        match self.root.open(&name).map_err(unopened)? {
            Opened::File { file, bytes, modified } => {
                let response = respond(req, file, bytes, &Validators::new(bytes, modified, None), media)?;
                if negotiates { varies(response) } else { Ok(response) }
            }
            Opened::Directory if !resolved.is_directory => to_directory(req),
            Opened::Directory => Err(nothing()),
        }
    }
}

impl App {
    /// Serves what lies beneath a directory, on `prefix` and everything below it: GET and HEAD.
    ///
    /// A route of the same path that has no parameters goes before it. `/` as prefix is everything that no
    /// other route answers.
    pub fn files(self, prefix: &str, files: Files) -> App {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let mount = |slashes| Mount { files: files.clone(), slashes };
        let slashes = 1 + prefix.bytes().filter(|byte| *byte == b'/').count();
        let app = if prefix.is_empty() { self } else { self.route("GET", prefix, mount(slashes)) };
        app.route("GET", &format!("{prefix}/"), mount(slashes)).route(
            "GET",
            &format!("{prefix}/{{*path}}"),
            mount(slashes),
        )
    }
}

impl<'r> Response<'r> {
    /// The file at `path`, or the part of it that `req` asks for: 200, 206, 304, 412 or 416, as its
    /// conditions and its Range have it (RFC 9110 §13, §14). The type is that of the name's end.
    ///
    /// The path is trusted: links are followed, and nothing keeps it beneath anything. For paths that
    /// clients choose there is [`App::files`].
    ///
    /// ```
    /// use fleeting::{App, Response};
    ///
    /// let app = App::new().get("/report", |req| Response::file(req, "/srv/report.pdf"));
    /// ```
    ///
    /// # Errors
    /// 404 if there is no regular file at `path`, 403 if it may not be read, 503 if descriptors have run out,
    /// 500 if the system fails otherwise.
    pub fn file(req: &Request<'r>, path: impl AsRef<Path>) -> Result<Response<'r>, Error> {
        let path = path.as_ref();
        let media = media_type(path.to_str().unwrap_or_default());
        match open_file(path).map_err(unopened)? {
            Opened::File { file, bytes, modified } => {
                respond(req, file, bytes, &Validators::new(bytes, modified, None), media)
            }
            Opened::Directory => Err(nothing()),
        }
    }
}

/// A directory's files on one of the routes that lead to them.
struct Mount {
    files: Files,
    /// Slashes in a path before what is beneath the directory begins. Decoding makes no new ones, so they
    /// are the same in the path that was sent and in the one that was routed.
    slashes: usize,
}

impl Handler for Mount {
    fn call<'r>(&self, req: &Request<'r>) -> Result<Response<'r>, Error> {
        match req.path().splitn(self.slashes + 1, '/').nth(self.slashes) {
            Some(beneath) => self.files.answer(req, beneath),
            None => to_directory(req),
        }
    }
}

/// Sends to the same path with a slash behind it. The reference is relative and begins with `./`, so
/// that nothing in the last segment is taken for a scheme or a host (RFC 3986 §4.2).
fn to_directory<'r>(req: &Request<'r>) -> Result<Response<'r>, Error> {
    let last = req.path().rsplit('/').next().unwrap_or_default();
    let (mark, query) = req.query().map_or(("", ""), |query| ("?", query));
    let location = req.arena().format(format_args!("./{last}/{mark}{query}"));
    Response::status(301).header("location", location)
}

/// What `req` is to have of an open file.
fn respond<'r>(
    req: &Request<'r>,
    file: File,
    bytes: u64,
    validators: &Validators,
    media: MediaType,
) -> Result<Response<'r>, Error> {
    let now_unix_secs = Clock::new().now().unix_secs;
    let request = ConditionalRequest { method: req.method(), fields: req.fields(), now_unix_secs };
    let (status, first, length, range) = match evaluate(&request, validators, bytes) {
        Decision::Whole => (200, 0, bytes, None),
        Decision::Part { first, last } => {
            let range = req.arena().format(format_args!("bytes {first}-{last}/{bytes}"));
            (206, first, last - first + 1, Some(range))
        }
        // RFC 9110 §15.4.5: of the fields that describe the content, only those that a cache needs.
        Decision::NotModified => return Response::status(304).header("etag", &validators.tag),
        Decision::PreconditionFailed => {
            return Err(Error::new(412, "The file is not in the state that was asked for."));
        }
        Decision::RangeNotSatisfiable => {
            // RFC 9110 §14.4
            let range = req.arena().format(format_args!("bytes */{bytes}"));
            let error = Error::new(416, "The file is shorter than that.");
            return Response::from(error).header("content-range", range);
        }
    };
    let mut response = Response::typed(status, media.name)?
        .header("etag", &validators.tag)?
        .header("last-modified", validators.last_modified(now_unix_secs))?
        .header("accept-ranges", "bytes")?
        // The type is that of the name: whoever may put files here does not get scripts past it.
        .header("x-content-type-options", "nosniff")?;
    if let Some(range) = range {
        response = response.header("content-range", range)?;
    }
    Ok(response.body(Body::from(FilePart::new(file, first, length))))
}

/// RFC 9110 §12.5.5: also of what is not coded, when it might have been.
fn varies(response: Response<'_>) -> Result<Response<'_>, Error> {
    response.header("vary", "Accept-Encoding")
}

fn nothing() -> Error {
    Error::not_found("There is no such file.")
}

/// What a client is told when a file could not be opened: not its path.
fn unopened(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => nothing(),
        io::ErrorKind::PermissionDenied => Error::forbidden("The file may not be read."),
        _ if is_shortage(&error) => Error::unavailable("The file cannot be opened now."),
        _ => Error::internal("The file cannot be opened."),
    }
}
