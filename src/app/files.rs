//! Responses that send files: one file that the application names, or any file below a directory.
//!
//! It knows requests and responses. It reads no file: [`files`](crate::files) decides where a path leads and
//! what may be sent.

use super::{App, Body, Error, Handler, Request, Response};
use crate::buffer::FilePart;
use crate::files::{
    Codings, ConditionalRequest, Decision, MediaType, MediaTypes, Opened, Root, Version, decide, is_shortage,
    media_type, open_file, resolve,
};
use crate::time::Clock;
use std::fs::File;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

/// A directory whose files are served. Pass it to [`App::files`].
///
/// - A path that ends in `/` is answered with the directory's `index.html`. A directory requested without the
///   slash is redirected there (301). There are no listings.
/// - Ranges, conditions, `ETag` and `Last-Modified` follow RFC 9110 §13 and §14. A request for several ranges
///   gets the whole file, which RFC 9110 §14.2 allows.
/// - If `app.js.br`, `app.js.zst` or `app.js.gz` exists next to `app.js`, the one that the client prefers
///   (Accept-Encoding, RFC 9110 §12.5.3) is sent instead. Keeping them up to date is the application's task.
/// - Nothing outside the directory is ever opened. A symbolic link is followed only if it is relative and
///   stays below the directory. Names that begin with a dot are not served, except `.well-known` (RFC 8615), and no
///   link leads to them. FIFOs, sockets and devices are not opened.
///
/// The kernel sends the files. Content that is not in its page cache is read from the disk while the worker
/// waits. Every file being sent takes a descriptor; if none is left the answer is 503.
///
/// The directory is kept open, and clones share it, so each worker may have one. If it is removed and made again, or if
/// its path leads to another directory (a link that is changed, a rename), that one is served from the next second on.
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
    types: MediaTypes,
}

impl Files {
    /// Opens a directory. The path is trusted.
    ///
    /// # Errors
    /// The system's error, with the path in its text. It is [`NotADirectory`](io::ErrorKind::NotADirectory)
    /// if the path names something else.
    pub fn new(directory: impl AsRef<Path>) -> io::Result<Files> {
        let path = directory.as_ref();
        let with_path =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let root = Arc::new(Root::new(path).map_err(with_path)?);
        Ok(Files { root, hidden: false, precompressed: true, types: MediaTypes::default() })
    }

    /// Sets whether names that begin with a dot are served (default: no).
    pub fn hidden(self, hidden: bool) -> Files {
        Files { hidden, ..self }
    }

    /// Sets whether precompressed variants are looked for (default: yes).
    pub fn precompressed(self, precompressed: bool) -> Files {
        Files { precompressed, ..self }
    }

    /// Sets the Content-Type of files with this extension, in any case and without its dot, in place of the usual one.
    ///
    /// ```no_run
    /// let files = fleeting::Files::new("public")?.media_type("ndjson", "application/x-ndjson");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn media_type(mut self, extension: &str, media_type: &str) -> Files {
        self.types.set(extension, media_type);
        self
    }

    /// Answers a request for `path`, the part of the target that is below the directory.
    fn answer<'r>(&self, req: &Request<'r>, path: &str) -> Result<Response<'r>, Error> {
        let resolved = resolve(path.as_bytes(), self.hidden)
            .map_err(|error| Error::new(error.status(), error.to_string()))?;
        self.root.refresh(Clock::new().now().unix_secs);
        let mut name = resolved.path;
        if resolved.is_directory {
            name.push_str(if name.is_empty() { "index.html" } else { "/index.html" });
        }
        let media = self.types.of(&name);
        let negotiates = self.precompressed && media.compresses;
        if negotiates {
            for coding in Codings::read(req.fields().values("accept-encoding")).iter() {
                let variant = format!("{name}{}", coding.suffix());
                if let Ok(Opened::File { file, bytes, stamp }) = self.root.open(&variant, self.hidden) {
                    let version = Version::new(bytes, &stamp, Some(coding));
                    let answer = respond(req, file, bytes, &version, media);
                    return varies(answer.and_then(|response| match response.status {
                        200 | 206 => response.header("content-encoding", coding.name()),
                        // RFC 9110 §8.4: other statuses carry no coded content.
                        _ => Ok(response),
                    }));
                }
            }
        }
        let mut opened = self.root.open(&name, self.hidden);
        if opened.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
            && self.root.reopen_if_removed()
        {
            opened = self.root.open(&name, self.hidden);
        }
        match opened.map_err(unopened)? {
            Opened::File { file, bytes, stamp } => {
                let answer = respond(req, file, bytes, &Version::new(bytes, &stamp, None), media);
                if negotiates { varies(answer) } else { answer }
            }
            Opened::Directory if !resolved.is_directory => to_directory(req),
            Opened::Directory => Err(not_found()),
        }
    }
}

impl App {
    /// Serves the files of a directory on `prefix` and below it, for GET and HEAD.
    ///
    /// Routes without parameters take precedence. With the prefix `/`, it answers every path that no other
    /// route answers. See [`Files`] for an example.
    pub fn files(self, prefix: &str, files: Files) -> App {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let mount: Rc<dyn Handler> = Rc::new(Mount(files));
        let app = match prefix {
            "" => self.slash_when_nested(mount.clone()),
            prefix => self.route_handler("GET", prefix, mount.clone()),
        };
        app.route_handler("GET", &format!("{prefix}/"), mount.clone()).route_handler(
            "GET",
            &format!("{prefix}/{{*path}}"),
            mount,
        )
    }
}

impl<'r> Response<'r> {
    /// Makes a response with the file at `path`, or the part of it that `req` asks for. The status is 200, 206,
    /// 304, 412 or 416, as the conditions and the Range of `req` demand (RFC 9110 §13, §14). The Content-Type
    /// follows from the suffix of the name.
    ///
    /// The path is trusted: links are followed, and no directory confines it. For paths that clients choose,
    /// use [`App::files`].
    ///
    /// ```
    /// use fleeting::{App, Response};
    ///
    /// let app = App::new().get("/report", |req| Response::file(req, "/srv/report.pdf"));
    /// ```
    ///
    /// # Errors
    /// Status 404 if there is no regular file at `path`, 403 if the server may not read it, 503 if no descriptor
    /// is left, and 500 if the system reports another error.
    pub fn file(req: &Request<'r>, path: impl AsRef<Path>) -> Result<Response<'r>, Error> {
        let path = path.as_ref();
        let media = media_type(path.to_str().unwrap_or_default());
        match open_file(path).map_err(unopened)? {
            Opened::File { file, bytes, stamp } => {
                respond(req, file, bytes, &Version::new(bytes, &stamp, None), media)
            }
            Opened::Directory => Err(not_found()),
        }
    }
}

/// The handler of the routes that serve a directory's files: its prefix, the same with a `/`, and what is below.
struct Mount(Files);

impl Handler for Mount {
    fn call<'r>(&self, req: &Request<'r>) -> Result<Response<'r>, Error> {
        // The application may be nested: only the whole route says where the part below the directory begins. Parameters
        // of its prefixes have no slashes.
        let route = req.route().unwrap_or_default();
        let directory = route.strip_suffix("{*path}").unwrap_or(route);
        if !directory.ends_with('/') {
            return to_directory(req);
        }
        let slashes = directory.bytes().filter(|byte| *byte == b'/').count();
        self.0.answer(req, req.path().splitn(slashes + 1, '/').nth(slashes).unwrap_or_default())
    }
}

/// Redirects to the same path with a slash at its end. The reference is relative and begins with `./`, so
/// that the last segment cannot be read as a scheme or a host (RFC 3986 §4.2).
fn to_directory<'r>(req: &Request<'r>) -> Result<Response<'r>, Error> {
    let last = req.path().rsplit('/').next().unwrap_or_default();
    let (mark, query) = req.query().map_or(("", ""), |query| ("?", query));
    let location = req.arena().format(format_args!("./{last}/{mark}{query}"));
    Response::new(301).header("location", location)
}

/// Makes the response to `req` from an open file.
fn respond<'r>(
    req: &Request<'r>,
    file: File,
    bytes: u64,
    version: &Version,
    media: MediaType<'_>,
) -> Result<Response<'r>, Error> {
    let now_unix_secs = Clock::new().now().unix_secs;
    let request = ConditionalRequest { method: req.method(), fields: req.fields(), now_unix_secs };
    let validators = &version.validators();
    let (status, first, length, range) = match decide(&request, validators, bytes) {
        Decision::Whole => (200, 0, bytes, None),
        Decision::Part { first, last } => {
            let range = req.arena().format(format_args!("bytes {first}-{last}/{bytes}"));
            (206, first, last - first + 1, Some(range))
        }
        // RFC 9110 §15.4.5: of the fields that describe the content, a 304 has only those a cache needs.
        Decision::NotModified => return Response::new(304).entity_tag(validators),
        Decision::PreconditionFailed => {
            return Err(Error::new(412, "The file does not meet the conditions of the request."));
        }
        Decision::RangeNotSatisfiable => {
            // RFC 9110 §14.4
            let range = req.arena().format(format_args!("bytes */{bytes}"));
            let error = Error::new(416, "The range begins after the end of the file.");
            return Err(error.header("content-range", range));
        }
    };
    let mut response = Response::new(status)
        .content_type(&media.content_type())?
        .validators(validators)?
        .header("accept-ranges", "bytes")?
        // The type follows from the name. Without this, a browser might run an uploaded "image" as a script.
        .header("x-content-type-options", "nosniff")?;
    if let Some(range) = range {
        response = response.header("content-range", range)?;
    }
    Ok(response.body(Body::from(FilePart::new(file, first, length))))
}

/// Adds Vary. An uncoded response needs it too, and so does an error, because another request might have got a coded one
/// (RFC 9110 §12.5.5).
fn varies(answer: Result<Response<'_>, Error>) -> Result<Response<'_>, Error> {
    match answer {
        Ok(response) => response.add_header("vary", "Accept-Encoding"),
        Err(error) => Err(error.add_header("vary", "Accept-Encoding")),
    }
}

fn not_found() -> Error {
    Error::not_found("There is no such file.")
}

/// The answer when a file cannot be opened. It does not reveal the path.
fn unopened(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => not_found(),
        io::ErrorKind::PermissionDenied => Error::forbidden("The server may not read this file."),
        _ if is_shortage(&error) => Error::unavailable("The file cannot be opened now. Try again later."),
        _ => Error::internal("The file cannot be opened."),
    }
}
