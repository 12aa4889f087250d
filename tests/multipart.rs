//! A multipart form arrives part by part: the same parts however it is cut, in memory or as an upload, within limits.

use fleeting::{App, Error, Flow, Multipart, MultipartLimits, PartHead, Request, Response};
use fleeting_testkit::client::{Answer, Client};
use fleeting_testkit::fuzz::{self, ReadPart, naive_form, read_form};
use fleeting_testkit::random::Random;
use fleeting_testkit::server::{self, TestServer};
use std::fmt::Write as _;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};

const LIMITS: MultipartLimits =
    MultipartLimits::new().parts(3).head_bytes(200).name_bytes(10).part_bytes(1000).total_bytes(3000);

/// Receives forms and answers with a line for each part.
struct Lines {
    reported: Sender<Report>,
    limits: MultipartLimits,
}

#[derive(Debug, PartialEq, Eq)]
enum Report {
    PartDropped,
    Finished,
    Aborted,
}

/// A part under way. It reports if it is dropped before its end.
struct UnderWay {
    line: String,
    content: Vec<u8>,
    reported: Option<Sender<Report>>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(reported) = self.reported.take() {
            reported.send(Report::PartDropped).expect("the test waits");
        }
    }
}

fn line(head: &PartHead<'_>) -> String {
    format!("{:?} {:?} {:?}", head.name(), head.file_name(), head.content_type())
}

impl Multipart for Lines {
    type Session = String;
    type Part = UnderWay;

    fn limits(&self) -> MultipartLimits {
        self.limits
    }

    fn open(&self, req: &Request<'_>) -> Result<String, Error> {
        assert!(req.body().is_empty(), "only the head is there");
        match req.query() {
            Some("refuse") => Err(Error::forbidden("not you")),
            _ => Ok(String::new()),
        }
    }

    fn part(&self, _lines: &mut String, head: &PartHead<'_>) -> Result<UnderWay, Error> {
        match head.name() {
            "refused" => Err(Error::new(422, "not this")),
            _ => {
                Ok(UnderWay { line: line(head), content: Vec::new(), reported: Some(self.reported.clone()) })
            }
        }
    }

    fn piece(
        &self,
        _lines: &mut String,
        part: &mut UnderWay,
        piece: &[u8],
        flow: &mut Flow<'_>,
    ) -> Result<(), Error> {
        assert!(!piece.is_empty());
        flow.pause().resume();
        part.content.extend_from_slice(piece);
        if part.content.starts_with(b"refused") { Err(Error::new(422, "nor this")) } else { Ok(()) }
    }

    fn part_end(&self, lines: &mut String, mut part: UnderWay) -> Result<(), Error> {
        part.reported = None;
        writeln!(lines, "{} {}", part.line, part.content.escape_ascii())
            .expect("writing to a string cannot fail");
        Ok(())
    }

    fn finish(&self, lines: String) -> Result<Response<'static>, Error> {
        self.reported.send(Report::Finished).expect("the test waits");
        Ok(Response::text(lines))
    }

    fn abort(&self, lines: String) {
        drop(lines);
        self.reported.send(Report::Aborted).expect("the test waits");
    }
}

fn serve(limits: MultipartLimits) -> (TestServer, Receiver<Report>) {
    let (reported, reports) = channel();
    let server = server::run(move |_| {
        App::new()
            .multipart("POST", "/upload", Lines { reported, limits })
            .post("/memory", move |req| {
                let mut lines = req.arena().writer();
                for part in req.multipart(limits)? {
                    let part = part?;
                    writeln!(lines, "{} {}", line(&part.head()), part.content().escape_ascii())
                        .expect("writing to memory cannot fail");
                }
                Ok(Response::text("").body(lines.finish()))
            })
            .get("/", |_req| Ok(Response::text("hello")))
    });
    (server, reports)
}

const TYPE: &str = "Content-Type: multipart/form-data; boundary=b\r\n";

fn sized(path: &str, fields: &str, content: &[u8]) -> Vec<u8> {
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: test\r\n{fields}Content-Length: {}\r\n\r\n", content.len());
    [head.as_bytes(), content].concat()
}

fn chunked(path: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: test\r\n{TYPE}Transfer-Encoding: chunked\r\n\r\n");
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let chunks = content.chunks(7).map(chunk).collect::<Vec<_>>().concat();
    [head.as_bytes(), &chunks, b"0\r\n\r\n"].concat()
}

fn ask(addr: std::net::SocketAddr, request: Vec<u8>) -> Answer {
    let mut client = Client::connect(addr);
    client.send(request);
    client.answer()
}

/// A part's head and content, with the delimiter before it.
fn part(parameters: &str, content: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; {parameters}\r\n\r\n{content}\r\n")
}

/// Returns a form of random parts, often with text in it that looks like a delimiter.
fn random_form(random: &mut Random) -> Vec<u8> {
    const TEXT: [&[u8]; 12] = [
        b"\r\n",
        b"\r",
        b"\n",
        b"--",
        b"-",
        b"--b",
        b"\r\n--",
        b"\r\n--c",
        b"x",
        b"some text",
        b"\0\xff",
        b"\r\n\r\n",
    ];
    let mut form = if random.chance(300) { b"preamble\r\n".to_vec() } else { Vec::new() };
    for _ in 0..random.below(4) {
        let name = random.one_of(&["a", "\"\"", "\"b c\"", "\"\\\"\"", "\"\u{e9}\""]);
        let file = random.one_of(&[
            "",
            "",
            "; filename=\"x.png\"\r\nContent-Type: image/png",
            "; filename=\"C:\\x\"",
        ]);
        let padding = random.one_of(&["", "", " \t"]);
        let head = format!("--b{padding}\r\nContent-Disposition: form-data; name={name}{file}\r\n\r\n");
        form.extend_from_slice(head.as_bytes());
        for _ in 0..random.below(8) {
            form.extend_from_slice(random.one_of(&TEXT));
        }
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(random.one_of(&["--b--", "--b--\r\n", "--b--\r\nepilogue\r\n--b\r\n"]).as_bytes());
    form
}

#[test]
fn a_form_is_the_same_wherever_it_is_cut() {
    let mut random = Random::new(1);
    let mut valid = 0;
    for _ in 0..500 {
        let form = random_form(&mut random);
        let (parts, refused) = read_form(&[&form], MultipartLimits::new());
        assert_eq!(
            refused.is_none().then_some(&parts),
            naive_form(&form).as_ref(),
            "{}",
            form.escape_ascii()
        );
        valid += usize::from(refused.is_none());
        let check = |pieces: &[&[u8]]| {
            let read: (Vec<ReadPart>, _) = read_form(pieces, MultipartLimits::new());
            assert!(read == (parts.clone(), refused), "{pieces:?}");
        };
        for cut in 0..=form.len() {
            check(&[&form[..cut], &form[cut..]]);
        }
        check(&form.chunks(1).collect::<Vec<_>>());
        check(&form.chunks(2).collect::<Vec<_>>());
        check(&form.chunks(3).collect::<Vec<_>>());
    }
    assert!(valid > 300, "only {valid} forms are valid");
}

#[test]
fn changed_forms_are_read_as_by_the_second_reader() {
    let mut random = Random::new(2);
    for _ in 0..5_000 {
        // How the form is cut, and whether the limits are small.
        let mut input = vec![random.one_of(&[0, 1, 3, 3, 10]), 5, 9, 40];
        input.extend(random_form(&mut random));
        for _ in 0..random.below(4) {
            let at = random.within(4, input.len() - 1);
            match random.below(3) {
                0 => drop(input.remove(at)),
                1 => input.insert(at, random.one_of(b"\r\n-b;\"\\=: a\0\xff")),
                _ => input[at] = random.one_of(b"\r\n-b;\"\\=: a\0\xff"),
            }
        }
        fuzz::multipart(&input);
    }
}

#[test]
fn a_form_is_the_same_in_memory_and_as_an_upload() {
    let (server, reports) = serve(MultipartLimits::new());
    let mut random = Random::new(3);
    let mut finished = 0;
    for _ in 0..100 {
        let form = random_form(&mut random);
        let answers = [
            sized("/memory", TYPE, &form),
            chunked("/memory", &form),
            sized("/upload", TYPE, &form),
            chunked("/upload", &form),
        ]
        .map(|request| ask(server.addr, request));
        let (status, text) = (answers[0].status, answers[0].text());
        for answer in &answers {
            assert_eq!((answer.status, answer.text()), (status, text), "{}", form.escape_ascii());
        }
        finished += usize::from(status == 200);
    }
    assert!(finished > 60, "only {finished} forms are valid");
    drop(server);
    assert_eq!(reports.iter().filter(|report| *report == Report::Finished).count(), 2 * finished);
}

#[test]
fn an_upload_may_arrive_byte_by_byte() {
    let (server, reports) = serve(LIMITS);
    let form = part("name=a", "1") + &part("name=\"b\"; filename=\"\"", "\r\n--x") + "--b--";
    let mut client = Client::connect(server.addr);
    for byte in sized("/upload", TYPE, form.as_bytes()) {
        client.send([byte]);
    }
    let expected = "\"a\" None None 1\n\"b\" Some(\"\") None \\r\\n--x\n";
    assert_eq!(client.answer().text(), expected);
    assert_eq!(reports.recv(), Ok(Report::Finished));
    assert_eq!(client.get("/").text(), "hello");
}

#[test]
fn what_is_no_form_is_refused_with_the_reason() {
    let (server, reports) = serve(LIMITS);
    let aborts = [Report::Aborted];
    let dropped = [Report::PartDropped, Report::Aborted];
    let check = |fields: &str, content: &str, status: u16, text: &str, reported: &[Report]| {
        for path in ["/memory", "/upload"] {
            let answer = ask(server.addr, sized(path, fields, content.as_bytes()));
            assert_eq!((answer.status, answer.text()), (status, text), "{path} {fields}{content}");
        }
        for report in reported {
            assert_eq!(reports.recv().as_ref(), Ok(report), "{content}");
        }
    };
    let one = part("name=a", "1") + "--b--";
    check("", &one, 415, "The Content-Type must be multipart/form-data.", &[]);
    check("Content-Type: text/plain\r\n", &one, 415, "The Content-Type must be multipart/form-data.", &[]);
    let coded = format!("{TYPE}Content-Encoding: gzip\r\n");
    check(&coded, &one, 415, "The content must not be in a content coding.", &[]);
    check("Content-Type: multipart/form-data\r\n", &one, 400, "The Content-Type has no boundary.", &[]);
    let wrong = "Content-Type: multipart/form-data; boundary=a*b\r\n";
    check(wrong, &one, 400, "The boundary in the Content-Type is malformed.", &[]);

    let incomplete = "The form ends before its last delimiter.";
    check(TYPE, "", 400, incomplete, &aborts);
    check(TYPE, &part("name=a", "1"), 400, incomplete, &dropped);
    check(TYPE, "--b\r\n\r\n--b--", 400, incomplete, &aborts);
    check(TYPE, "--bx", 400, "A delimiter of the form is malformed.", &aborts);
    check(TYPE, &part("filename=a", ""), 400, "A part has no name.", &aborts);
    check(TYPE, &part("name=a b", ""), 400, "The Content-Disposition of a part is malformed.", &aborts);
    let headless = "--b\r\nX: y\r\n\r\n1\r\n--b--";
    check(TYPE, headless, 400, "A part has no Content-Disposition.", &aborts);
    check(TYPE, "--b\r\nX\r\n\r\n", 400, "A line in the head of a part is malformed.", &aborts);
    let encoded = part("name=a\r\nContent-Transfer-Encoding: base64", "MQ==");
    check(TYPE, &encoded, 415, "A part must not be in a transfer encoding.", &aborts);

    check(TYPE, &part("name=a", "").repeat(4), 413, "The form has more than 3 parts.", &aborts);
    check(TYPE, &part("name=0123456789a", ""), 413, "The name of a part is longer than 10 bytes.", &aborts);
    let long = part(&format!("name=a; x={}", "x".repeat(200)), "");
    check(TYPE, &long, 413, "The head of a part is longer than 200 bytes.", &aborts);
    let large = part("name=a", &"x".repeat(1001));
    check(TYPE, &large, 413, "A part of the form is larger than 1000 bytes.", &dropped);
    // The server refuses what is announced as too large before it opens the upload.
    let huge = ask(server.addr, sized("/upload", TYPE, &[b'x'; 3001])).status;
    assert_eq!(huge, 413);
    let answer = ask(server.addr, sized("/memory", TYPE, &[b'x'; 3001]));
    assert_eq!((answer.status, answer.text()), (413, "The form is larger than 3000 bytes."));
    drop(server);
    assert_eq!(reports.recv().ok(), None);
}

#[test]
fn the_application_may_refuse_and_the_client_may_leave() {
    let (server, reports) = serve(LIMITS);
    let answer = ask(server.addr, sized("/upload?refuse", TYPE, b"--b--"));
    assert_eq!((answer.status, answer.text()), (403, "not you"));
    let answer = ask(server.addr, sized("/upload", TYPE, part("name=refused", "1").as_bytes()));
    assert_eq!((answer.status, answer.text()), (422, "not this"));
    assert_eq!(reports.recv(), Ok(Report::Aborted));
    let answer = ask(server.addr, sized("/upload", TYPE, part("name=a", "refused").as_bytes()));
    assert_eq!((answer.status, answer.text()), (422, "nor this"));
    assert_eq!([reports.recv(), reports.recv()], [Ok(Report::PartDropped), Ok(Report::Aborted)]);
    // The part is under way when its client leaves.
    let mut client = Client::connect(server.addr);
    let request = sized("/upload", TYPE, (part("name=a", &"x".repeat(100)) + "--b--").as_bytes());
    client.send(&request[..request.len() - 50]);
    drop(client);
    assert_eq!([reports.recv(), reports.recv()], [Ok(Report::PartDropped), Ok(Report::Aborted)]);
}

#[test]
fn curl_sends_forms() {
    let (server, _reports) = serve(MultipartLimits::new());
    for path in ["/memory", "/upload"] {
        let output = Command::new("curl")
            .args(["-sS", "--fail", "--noproxy", "*", "--max-time", "30"])
            .args(["-F", "name=Ann \u{e9}", "-F", "quoted\"name=1", "-F", "empty="])
            .args(["-F", "file=content;type=image/png;filename=x.png"])
            .arg(format!("http://{}{path}", server.addr))
            .output()
            .expect("there is curl(1): tests/run installs it");
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
        let expected = "\"name\" None None Ann \\xc3\\xa9\n\"quoted%22name\" None None 1\n\"empty\" None None \n\
            \"file\" Some(\"x.png\") Some(\"image/png\") content\n";
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{path}");
    }
}
