//! Files are sent whole or in part, and only from below their directory.

use fleeting::{App, FilePart, Files, Response, Server};
use fleeting_testkit::client::{Answer, Client};
use fleeting_testkit::server::{self, TestServer};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// A folder for one test: `root` is served, its neighbors must not be.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let at =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("files-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&at);
        fs::create_dir_all(at.join("root")).expect("a folder");
        fs::write(at.join("secret"), "secret").expect("a file");
        Scratch(at)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Scratch {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().expect("the root at least")).expect("a folder");
        fs::write(path, content).expect("a file");
        self
    }

    fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    /// Serves the root under `prefix`, and a few routes next to it.
    fn serve(&self, prefix: &'static str) -> TestServer {
        let files = Files::new(self.root()).expect("it is a folder");
        let one = self.root().join("one.txt");
        server::run(move |_| {
            App::new()
                .get("/fixed", |_req| Ok(Response::text("fixed")))
                .get("/one", move |req| Response::file(req, &one))
                .get("/typed", move |req| Response::file(req, file!())?.content_type("text/x-rust"))
                .files(prefix, files.clone())
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ask(client: &mut Client, method: &str, path: &str, fields: &str) -> Answer {
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: test\r\n{fields}\r\n"));
    // A 304 has neither Content-Length nor content.
    if method == "HEAD" { client.answer_to_head() } else { client.answer() }
}

/// Findings D7 and E11.
#[test]
fn no_link_shows_a_hidden_file_and_a_directory_made_again_is_served() {
    let scratch = Scratch::new("again");
    scratch.file("a.txt", "old").file(".env", "hidden").file(".git/config", "hidden");
    symlink(".env", scratch.root().join("env.txt")).expect("a link");
    symlink(".git", scratch.root().join("git")).expect("a link");
    symlink("a.txt", scratch.root().join("link.txt")).expect("a link");
    let server = scratch.serve("/");
    let mut client = Client::connect(server.addr);
    let mut check = |path: &str, status: u16| {
        let answer = ask(&mut client, "GET", path, "");
        assert_eq!(answer.status, status, "{path}");
        answer.text().to_string()
    };
    check("/env.txt", 404);
    check("/git/config", 404);
    assert_eq!(check("/link.txt", 200), "old");
    fs::remove_dir_all(scratch.root()).expect("it was there");
    check("/a.txt", 404);
    scratch.file("a.txt", "new");
    assert_eq!(check("/a.txt", 200), "new");
    assert_eq!(check("/", 404), "There is no such file.");
}

#[test]
fn a_file_is_sent_with_type_tag_and_date() {
    let scratch = Scratch::new("whole");
    scratch.file("a.txt", "content").file("page.html", "<p>").file("empty", "").file("b c/d.json", "{}");
    let modified = UNIX_EPOCH + Duration::from_secs(784_111_777);
    File::options().append(true).open(scratch.root().join("a.txt")).unwrap().set_modified(modified).unwrap();
    let server = scratch.serve("/static");
    let mut client = Client::connect(server.addr);
    let mut check = |path: &str, content_type: &str, content: &str| {
        let answer = ask(&mut client, "GET", path, "");
        assert_eq!((answer.status, answer.text()), (200, content), "{path}");
        assert_eq!(answer.field("content-type"), Some(content_type), "{path}");
        assert_eq!(answer.field("accept-ranges"), Some("bytes"));
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
        assert!(answer.field("etag").is_some_and(|tag| tag.starts_with('"') && tag.ends_with('"')));
        let head = ask(&mut client, "HEAD", path, "");
        let fields = |answer: &Answer| {
            let lines = answer.head.lines().filter(|line| !line.starts_with("Date"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(fields(&head), fields(&answer), "HEAD {path}");
        answer
    };
    let answer = check("/static/a.txt", "text/plain; charset=utf-8", "content");
    assert_eq!(answer.field("last-modified"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    check("/static/page.html", "text/html; charset=utf-8", "<p>");
    check("/static/empty", "application/octet-stream", "");
    check("/static/b%20c/d.json", "application/json", "{}");
    check("/st%61tic/%61.txt?query", "text/plain; charset=utf-8", "content");
    check("http://test/static/a.txt", "text/plain; charset=utf-8", "content");
    assert_eq!(ask(&mut client, "GET", "/static/nothing", "").status, 404);
    assert_eq!(ask(&mut client, "GET", "/static/a.txt/", "").status, 404);
    let refused = ask(&mut client, "POST", "/static/a.txt", "");
    assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, HEAD, OPTIONS")));
    assert_eq!(ask(&mut client, "GET", "/fixed", "").text(), "fixed");
}

#[test]
fn a_directory_can_be_served_at_the_root_path() {
    let scratch = Scratch::new("prefix");
    scratch.file("index.html", "home").file("a", "a").file("fixed", "not this").file("one.txt", "1");
    let server = scratch.serve("/");
    let mut client = Client::connect(server.addr);
    for (path, content) in [("/", "home"), ("/a", "a"), ("/fixed", "fixed"), ("/one", "1"), ("//a", "a")] {
        assert_eq!(client.get(path).text(), content, "{path}");
    }
    assert_eq!(client.get("/typed").field("content-type"), Some("text/x-rust"));
    assert!(App::new().files("static", Files::new(scratch.root()).unwrap()).check().is_err());
    let missing = Files::new(scratch.root().join("nothing")).unwrap_err();
    assert!(missing.to_string().contains("nothing: "), "{missing}");
}

/// A nested application's directories are found under its prefix.
#[test]
fn a_nested_application_serves_files() {
    let scratch = Scratch::new("nested");
    scratch.file("index.html", "top").file("sub/a.txt", "a");
    let files = Files::new(scratch.root()).unwrap();
    let server = server::run(move |_| {
        let inner = App::new().files("/", files.clone()).post("/", |_req| Ok(Response::new(204)));
        let site = App::new().files("/files", files.clone()).nest("/inner", inner);
        App::new().nest("/{site}/at", site)
    });
    let mut client = Client::connect(server.addr);
    let mut check = |method: &str, path: &str, status: u16, shown: &str| {
        let answer = ask(&mut client, method, path, "");
        let seen = if status == 301 { answer.field("location").unwrap() } else { answer.text() };
        assert_eq!((answer.status, seen), (status, shown), "{method} {path}");
    };
    for prefix in ["/s/at/files", "/%73/at/files", "/s%2F/at/inner"] {
        let last = prefix.rsplit('/').next().unwrap();
        check("GET", prefix, 301, &format!("./{last}/"));
        check("GET", &format!("{prefix}/"), 200, "top");
        check("GET", &format!("{prefix}/sub"), 301, "./sub/");
        check("GET", &format!("{prefix}/sub/a.txt"), 200, "a");
        check("GET", &format!("{prefix}/a.txt"), 404, "There is no such file.");
    }
    check("POST", "/s/at/inner", 204, "");
}

#[test]
fn a_range_request_gets_that_part() {
    let scratch = Scratch::new("ranges");
    scratch.file("one.txt", "0123456789");
    let modified = UNIX_EPOCH + Duration::from_secs(784_111_777);
    File::options()
        .append(true)
        .open(scratch.root().join("one.txt"))
        .unwrap()
        .set_modified(modified)
        .unwrap();
    let server = scratch.serve("/static");
    let mut client = Client::connect(server.addr);
    let tag = client.get("/one").field("etag").expect("a tag").to_owned();
    let date = client.get("/one").field("last-modified").expect("a date").to_owned();
    for path in ["/one", "/static/one.txt"] {
        let mut check = |fields: &str, status: u16, range: Option<&str>, content: &str| {
            let answer = ask(&mut client, "GET", path, fields);
            let found = (answer.status, answer.field("content-range"), answer.text());
            assert_eq!(found, (status, range, content), "{path} {fields}");
        };
        check("Range: bytes=0-3\r\n", 206, Some("bytes 0-3/10"), "0123");
        check("Range: bytes=4-5\r\n", 206, Some("bytes 4-5/10"), "45");
        check("Range: bytes=7-\r\n", 206, Some("bytes 7-9/10"), "789");
        check("Range: bytes=-2\r\n", 206, Some("bytes 8-9/10"), "89");
        check("Range: bytes=10-\r\n", 416, Some("bytes */10"), "The range begins after the end of the file.");
        check("Range: bytes=0-1,3-4\r\n", 200, None, "0123456789");
        check("Range: pages=1-2\r\n", 200, None, "0123456789");
        check(&format!("Range: bytes=0-0\r\nIf-Range: {tag}\r\n"), 206, Some("bytes 0-0/10"), "0");
        check(&format!("Range: bytes=0-0\r\nIf-Range: {date}\r\n"), 206, Some("bytes 0-0/10"), "0");
        check("Range: bytes=0-0\r\nIf-Range: \"other\"\r\n", 200, None, "0123456789");
        check(&format!("Range: bytes=0-0\r\nIf-Range: W/{tag}\r\n"), 200, None, "0123456789");
        let head = ask(&mut client, "HEAD", path, "Range: bytes=0-3\r\n");
        assert_eq!((head.status, head.field("content-length")), (200, Some("10")));
    }
}

#[test]
fn a_file_that_the_client_already_has_is_not_sent_again() {
    let scratch = Scratch::new("conditions");
    scratch.file("one.txt", "first");
    let path = scratch.root().join("one.txt");
    let at = |secs| {
        let modified = UNIX_EPOCH + Duration::from_secs(secs);
        File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
    };
    at(784_111_777);
    let server = scratch.serve("/static");
    let mut client = Client::connect(server.addr);
    let first = client.get("/one");
    let (tag, date) = (first.field("etag").unwrap(), first.field("last-modified").unwrap());
    let mut check = |fields: String, status: u16| {
        let answer = ask(&mut client, "GET", "/one", &fields);
        assert_eq!(answer.status, status, "{fields}");
        if status == 304 {
            assert_eq!((answer.field("etag"), answer.field("content-length")), (Some(tag), None));
            assert_eq!(answer.field("content-type"), None);
        }
    };
    check(format!("If-None-Match: {tag}\r\n"), 304);
    check(format!("If-None-Match: W/{tag}, \"x\"\r\n"), 304);
    check("If-None-Match: *\r\n".into(), 304);
    check("If-None-Match: \"x\"\r\n".into(), 200);
    check(format!("If-Modified-Since: {date}\r\n"), 304);
    check("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n".into(), 304);
    check("If-Modified-Since: Sun Nov  6 08:49:36 1994\r\n".into(), 200);
    check(format!("If-Match: {tag}\r\n"), 200);
    check("If-Match: \"x\"\r\n".into(), 412);
    check(format!("If-Unmodified-Since: {date}\r\n"), 200);
    check("If-Unmodified-Since: Sun Nov  6 08:49:36 1994\r\n".into(), 412);
    // The same length, a second later.
    fs::write(&path, "other").unwrap();
    at(784_111_778);
    let mut client = Client::connect(server.addr);
    let answer = ask(&mut client, "GET", "/one", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((answer.status, answer.text()), (200, "other"));
    assert_ne!(answer.field("etag"), Some(tag));
    assert_eq!(ask(&mut client, "GET", "/one", &format!("If-Modified-Since: {date}\r\n")).status, 200);
}

/// Finding E10. Tools that build the same files from the same sources set all times to a fixed one.
#[test]
fn other_content_has_another_tag_though_length_and_time_are_the_same() {
    let scratch = Scratch::new("fixed-times");
    let server = scratch.serve("/static");
    let mut client = Client::connect(server.addr);
    let (old, new) = (scratch.root().join("one.txt"), scratch.root().join("new.txt"));
    let tomorrow = UNIX_EPOCH.elapsed().unwrap() + Duration::from_secs(86_400);
    for time in [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(315_532_800), tomorrow] {
        let write = |path: &PathBuf, content: &str| {
            fs::write(path, content).unwrap();
            File::options().append(true).open(path).unwrap().set_modified(UNIX_EPOCH + time).unwrap();
        };
        write(&old, "first");
        let first = client.get("/one");
        let tag = first.field("etag").expect("a tag").to_owned();
        assert_eq!((first.text(), first.field("last-modified")), ("first", None), "{time:?}");
        let unchanged = ask(&mut client, "GET", "/one", &format!("If-None-Match: {tag}\r\n"));
        assert_eq!((unchanged.status, unchanged.field("etag")), (304, Some(&*tag)), "{time:?}");
        // Held open, so that its inode is not used again.
        let _old = File::open(&old).unwrap();
        write(&new, "other");
        fs::rename(&new, &old).unwrap();
        for condition in
            [format!("If-None-Match: {tag}\r\n"), format!("Range: bytes=1-2\r\nIf-Range: {tag}\r\n")]
        {
            let answer = ask(&mut client, "GET", "/one", &condition);
            assert_eq!((answer.status, answer.text()), (200, "other"), "{time:?} {condition}");
            assert_ne!(answer.field("etag"), Some(&*tag), "{time:?}");
        }
    }
}

/// Finding E4.
#[test]
fn an_empty_file_is_sent_whole_whatever_part_begins_at_its_start() {
    let scratch = Scratch::new("empty");
    scratch.file("one.txt", "");
    let server = scratch.serve("/static");
    let mut client = Client::connect(server.addr);
    for path in ["/one", "/static/one.txt"] {
        for (range, status) in [("0-", 200), ("0-1048575", 200), ("-5", 200), ("5-", 416)] {
            let answer = ask(&mut client, "GET", path, &format!("Range: bytes={range}\r\n"));
            assert_eq!(answer.status, status, "{path} {range}");
            let content_range = (status == 416).then_some("bytes */0");
            assert_eq!(answer.field("content-range"), content_range, "{path} {range}");
            assert_eq!(answer.text().is_empty(), status == 200, "{path} {range}");
        }
    }
}

/// Finding E13.
#[test]
fn a_name_that_no_file_can_have_is_not_found() {
    let scratch = Scratch::new("names");
    scratch.file("one.txt", "1");
    let root = scratch.root();
    let server = server::run(move |_| {
        let root = root.clone();
        App::new().get("/named/{name}", move |req| Response::file(req, root.join(req.param("name"))))
    });
    let mut client = Client::connect(server.addr);
    let long = "x".repeat(300);
    for (name, status) in [
        ("one.txt", 200),
        ("one.txt%00", 404),
        ("%00", 404),
        ("o%00ne.txt", 404),
        ("one.txt%2F", 404),
        (&*long, 404),
    ] {
        assert_eq!(client.get(&format!("/named/{name}")).status, status, "{name}");
    }
}

#[test]
fn a_compressed_sibling_is_sent_to_a_client_that_accepts_its_coding() {
    let scratch = Scratch::new("neighbours");
    scratch.file("a.js", "plain").file("a.js.br", "brotli").file("a.js.gz", "gzipped");
    scratch.file("b.js", "only plain").file("c.png", "png").file("c.png.gz", "not looked for");
    scratch.file("sub/index.html", "index").file("sub/index.html.zst", "index in zstd");
    let server = scratch.serve("/");
    let mut client = Client::connect(server.addr);
    let mut tags = Vec::new();
    let mut check = |path: &str, accepted: &str, coding: Option<&str>, vary: Option<&str>, content: &str| {
        let answer = ask(&mut client, "GET", path, &format!("Accept-Encoding: {accepted}\r\n"));
        let found = (answer.field("content-encoding"), answer.field("vary"), answer.text());
        assert_eq!(found, (coding, vary, content), "{path} {accepted}");
        tags.push(answer.field("etag").expect("a tag").to_owned());
        answer.field("content-type").expect("a type").to_owned()
    };
    let vary = Some("Accept-Encoding");
    for (accepted, coding, content) in [
        ("", None, "plain"),
        ("gzip, deflate, br, zstd", Some("br"), "brotli"),
        ("gzip;q=0.9, br;q=0.8", Some("gzip"), "gzipped"),
        ("zstd", None, "plain"),
        ("*;q=0.1, br;q=0", Some("gzip"), "gzipped"),
        ("identity, gzip;q=0.5", None, "plain"),
    ] {
        assert_eq!(check("/a.js", accepted, coding, vary, content), "text/javascript; charset=utf-8");
    }
    check("/b.js", "gzip", None, vary, "only plain");
    check("/c.png", "gzip", None, None, "png");
    check("/sub/", "gzip, zstd", Some("zstd"), vary, "index in zstd");
    assert_eq!(check("/a.js.gz", "gzip", None, None, "gzipped"), "application/gzip");
    assert_eq!(tags[2], tags[4], "the same representation");
    assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
    // A range applies to the representation that is sent.
    let part = ask(&mut client, "GET", "/a.js", "Accept-Encoding: br\r\nRange: bytes=-3\r\n");
    assert_eq!((part.status, part.text(), part.field("content-encoding")), (206, "tli", Some("br")));
    let kept =
        ask(&mut client, "GET", "/a.js", &format!("If-None-Match: {}\r\nAccept-Encoding: br\r\n", tags[1]));
    assert_eq!((kept.status, kept.field("vary"), kept.field("content-encoding")), (304, vary, None));
}

#[test]
fn a_directory_sends_its_index_and_redirects_to_a_slash() {
    let scratch = Scratch::new("directories");
    scratch.file("sub/index.html", "sub").file("bare/file", "").file("a:b/index.html", "colon");
    for prefix in ["/", "/static", "/static/"] {
        let server = scratch.serve(prefix);
        let at = prefix.trim_end_matches('/');
        let mut client = Client::connect(server.addr);
        let mut check = |path: &str, status: u16, location: Option<&str>| {
            let answer = client.get(&format!("{at}{path}"));
            assert_eq!((answer.status, answer.field("location")), (status, location), "{at}{path}");
            answer
        };
        assert_eq!(check("/sub/", 200, None).text(), "sub");
        assert_eq!(check("/bare/../sub/", 200, None).text(), "sub");
        assert_eq!(check("/bare/../sub/.", 200, None).text(), "sub");
        check("/sub", 301, Some("./sub/"));
        check("/sub?q=//evil", 301, Some("./sub/?q=//evil"));
        check("/a:b", 301, Some("./a:b/"));
        check("//sub", 301, Some("./sub/"));
        check("/%73ub", 301, Some("./sub/"));
        check("/bare/", 404, None);
        check("/bare", 301, Some("./bare/"));
        check("/", 404, None);
        if !at.is_empty() {
            check("", 301, Some("./static/"));
            check("?q", 301, Some("./static/?q"));
        }
    }
}

#[test]
fn no_path_leads_out_of_the_root() {
    let scratch = Scratch::new("escape");
    scratch
        .file("a/b.txt", "b")
        .file(".env", "password")
        .file(".git/config", "x")
        .file(".well-known/x", "known");
    let root = scratch.root();
    symlink("a/b.txt", root.join("within")).unwrap();
    symlink("../secret", root.join("out")).unwrap();
    symlink("..", root.join("parent")).unwrap();
    symlink(scratch.0.join("secret"), root.join("absolute")).unwrap();
    symlink("/", root.join("slash")).unwrap();
    symlink("nothing", root.join("dangling")).unwrap();
    // A compressed sibling that leads out is ignored.
    scratch.file("a.js", "plain");
    symlink("../secret", root.join("a.js.br")).unwrap();
    assert!(Command::new("mkfifo").arg(root.join("fifo")).status().expect("there is mkfifo(1)").success());
    for prefix in ["/", "/static"] {
        let server = scratch.serve(prefix);
        let at = prefix.trim_end_matches('/');
        let mut client = Client::connect(server.addr);
        let mut check = |path: &str, status: u16| {
            let answer = client.get(&format!("{at}{path}"));
            assert_eq!(answer.status, status, "{at}{path}");
            assert!(!answer.text().contains("secret") && !answer.text().contains("root:"), "{path}");
            answer
        };
        assert_eq!(check("/within", 200).text(), "b");
        assert_eq!(check("/.well-known/x", 200).text(), "known");
        for climbs in [
            "/../secret",
            "/../../../../../../../../etc/passwd",
            "/a/../../secret",
            "/%2e%2e/secret",
            "/%2E./secret",
            "/.%2e/secret",
            "/a/%2e%2e/%2e%2e/secret",
            "/..",
            "/a/../..",
            "/within%00.html",
            "/%ff",
        ] {
            check(climbs, 400);
        }
        for nowhere in [
            "/..%2fsecret",
            "/a/..%2f..%2f..%2fsecret",
            "/..%5csecret",
            "/%252e%252e/secret",
            "//etc/passwd",
            "/%2fetc/passwd",
            "/out",
            "/parent/secret",
            "/parent/root/a/b.txt",
            "/absolute",
            "/slash/etc/passwd",
            "/dangling",
            "/fifo",
            "/.env",
            "/.git/config",
            "/%2eenv",
            "/a/b.txt/../b.txt/x",
        ] {
            check(nowhere, 404);
        }
        let plain = ask(&mut client, "GET", &format!("{at}/a.js"), "Accept-Encoding: br\r\n");
        assert_eq!((plain.text(), plain.field("content-encoding")), ("plain", None));
    }
}

/// Bytes in which every position differs from every other.
fn pattern(from: usize, bytes: usize) -> Vec<u8> {
    (from..from + bytes).map(|at| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0]).collect()
}

#[test]
fn files_of_all_sizes_are_sent_between_other_responses() {
    let scratch = Scratch::new("sizes");
    let sizes = [0, 1, (16 << 10) - 1, 16 << 10, 64 << 10, (64 << 10) + 1, (1 << 20) + 17, (3 << 20) + 1];
    for size in sizes {
        scratch.file(&size.to_string(), pattern(size, size));
    }
    let server = scratch.serve("/");
    let mut client = Client::connect(server.addr);
    let mut requests = String::new();
    for _ in 0..3 {
        for size in sizes {
            requests.push_str(&format!("GET /{size} HTTP/1.1\r\nHost: test\r\n\r\n"));
            requests.push_str("GET /fixed HTTP/1.1\r\nHost: test\r\n\r\n");
            requests.push_str(&format!("HEAD /{size} HTTP/1.1\r\nHost: test\r\n\r\n"));
        }
    }
    client.send(requests);
    for _ in 0..3 {
        for size in sizes {
            let answer = client.answer();
            assert_eq!((answer.status, answer.body.len()), (200, size));
            assert!(answer.body == pattern(size, size), "{size} bytes are not those of the file");
            assert_eq!(client.answer().text(), "fixed");
            assert_eq!(client.answer_to_head().field("content-length"), Some(size.to_string().as_str()));
        }
    }
    client.send("GET /3145729 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert_eq!(client.answer().body.len(), (3 << 20) + 1);
    client.ended();
}

#[test]
fn a_slow_reader_of_a_large_file_does_not_delay_other_clients() {
    const BYTES: usize = 64 << 20;
    const MARKS: usize = 1 << 20;
    let scratch = Scratch::new("large");
    let file = File::create(scratch.root().join("large")).unwrap();
    file.set_len(BYTES as u64).unwrap();
    for at in (0..BYTES).step_by(MARKS) {
        file.write_all_at(&pattern(at, 64), at as u64).unwrap();
    }
    let server = scratch.serve("/");
    let mut client = Client::connect(server.addr);
    client.send("GET /large HTTP/1.1\r\nHost: test\r\n\r\nGET /fixed HTTP/1.1\r\nHost: test\r\n\r\n");
    let head = client.answer_to_head();
    assert_eq!(head.field("content-length"), Some(BYTES.to_string().as_str()));
    // Other clients are answered while the file waits for its reader.
    let mut other = Client::connect(server.addr);
    for _ in 0..100 {
        assert_eq!(other.get("/fixed").text(), "fixed");
    }
    let mut at = 0;
    while at < BYTES {
        let piece = client.bytes((BYTES - at).min(64 << 10));
        if at.is_multiple_of(MARKS) {
            assert_eq!(piece[..64], pattern(at, 64), "at {at}");
            assert_eq!(other.get("/fixed").text(), "fixed");
        } else {
            assert!(piece.iter().all(|byte| *byte == 0), "at {at}");
        }
        at += piece.len();
    }
    assert_eq!(client.answer().text(), "fixed");
}

#[test]
fn a_file_truncated_while_it_is_sent_ends_the_connection() {
    let scratch = Scratch::new("cut");
    let file = File::create(scratch.root().join("cut")).unwrap();
    file.set_len(256 << 20).unwrap();
    let server = scratch.serve("/");
    let mut client = Client::connect(server.addr);
    client.send("GET /cut HTTP/1.1\r\nHost: test\r\n\r\nGET /fixed HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.answer_to_head().status, 200);
    file.set_len(1 << 20).unwrap();
    let received = client.until_cut_off().len();
    assert!(received < 256 << 20, "{received} bytes of a file that was cut to a megabyte");
    assert_eq!(Client::connect(server.addr).get("/fixed").text(), "fixed");
}

/// The opened file is sent, whatever happens to its name.
#[test]
fn a_file_replaced_while_it_is_sent_is_sent_to_its_end() {
    const BYTES: usize = 32 << 20;
    let scratch = Scratch::new("replaced");
    let server = scratch.serve("/");
    for replaced in [true, false] {
        let old = pattern(0, BYTES);
        scratch.file("file", &old);
        let mut client = Client::connect_with_small_buffer(server.addr);
        client.send("GET /file HTTP/1.1\r\nHost: test\r\n\r\nGET /file HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(client.answer_to_head().status, 200);
        if replaced {
            scratch.file("new", "new");
            fs::rename(scratch.root().join("new"), scratch.root().join("file")).unwrap();
        } else {
            fs::remove_file(scratch.root().join("file")).unwrap();
        }
        assert!(client.bytes(BYTES) == old, "another file's bytes");
        let next = client.answer();
        let expected = if replaced { (200, "new") } else { (404, "There is no such file.") };
        assert_eq!((next.status, next.text()), expected);
    }
}

#[test]
fn curl_gets_what_it_asks_for() {
    let scratch = Scratch::new("curl");
    let plain = pattern(0, 100_000);
    scratch.file("a.bin", &plain).file("page.html", "<p>hello</p>");
    let page = scratch.root().join("page.html");
    assert!(Command::new("gzip").arg("-k").arg(&page).status().expect("there is gzip(1)").success());
    let server = scratch.serve("/");
    let check = |args: &[&str], path: &str, expected: &[u8]| {
        let output = Command::new("curl")
            .args(["-sS", "--fail", "--path-as-is", "--noproxy", "*", "--max-time", "30"])
            .args(args)
            .arg(format!("http://{}{path}", server.addr))
            .output()
            .expect("there is curl(1): tests/run installs it");
        assert!(output.status.success(), "{args:?} {path}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == expected, "{args:?} {path}");
    };
    check(&[], "/a.bin", &plain);
    check(&["-r", "0-99"], "/a.bin", &plain[..100]);
    check(&["-r", "50000-"], "/a.bin", &plain[50_000..]);
    check(&["-r", "-7"], "/a.bin", &plain[99_993..]);
    check(&["-C", "99000"], "/a.bin", &plain[99_000..]);
    check(&[], "/page.html", b"<p>hello</p>");
    check(&["--compressed"], "/page.html", b"<p>hello</p>");
    let mut zipped = Vec::new();
    File::open(page.with_extension("html.gz")).unwrap().read_to_end(&mut zipped).unwrap();
    check(&["-H", "Accept-Encoding: gzip"], "/page.html", &zipped);
}

#[test]
fn a_fast_reader_does_not_monopolize_the_loop() {
    const BYTES: usize = 64 << 20;
    let scratch = Scratch::new("share");
    File::create(scratch.root().join("large")).unwrap().set_len(BYTES as u64).unwrap();
    let files = Files::new(scratch.root()).unwrap();
    let builder = Server::builder().bind("127.0.0.1:0");
    let mut worker = builder.worker(|_| App::new().files("/", files.clone())).expect("the worker starts");
    let addr = worker.local_addrs()[0];
    let reader = std::thread::spawn(move || Client::connect(addr).get("/large").body.len());
    let mut turns = 0;
    while !reader.is_finished() {
        worker.turn(Some(Duration::from_millis(10))).expect("polling works");
        turns += 1;
    }
    assert_eq!(reader.join().expect("it has read"), BYTES);
    assert!(turns >= BYTES >> 20, "{turns} turns for {BYTES} bytes: more than a megabyte in each");
}

/// A file that became shorter between being opened and being sent, small and large.
#[test]
fn a_file_shorter_than_announced_is_not_padded() {
    let scratch = Scratch::new("short");
    scratch.file("ten", "0123456789");
    let file = Arc::new(File::open(scratch.root().join("ten")).unwrap());
    let server = server::run(move |_| {
        App::new().get("/fixed", |_req| Ok(Response::text("fixed"))).get("/claimed/{bytes}", move |req| {
            let bytes = req.param("bytes").parse().expect("a number");
            Ok(Response::bytes(FilePart::new(file.clone(), 0, bytes)))
        })
    });
    for claimed in ["11", "16383", "16384", "1000000", "18446744073709551615"] {
        let mut client = Client::connect(server.addr);
        client.send("GET /fixed HTTP/1.1\r\nHost: test\r\n\r\n");
        client.send(format!("GET /claimed/{claimed} HTTP/1.1\r\nHost: test\r\n\r\n"));
        client.send("GET /fixed HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(client.answer().text(), "fixed");
        let head = client.answer_to_head();
        assert_eq!(head.field("content-length"), Some(claimed));
        let rest = client.until_cut_off();
        assert!(b"0123456789".starts_with(&rest[..]), "{claimed}: {:?}", String::from_utf8_lossy(&rest));
    }
    assert_eq!(Client::connect(server.addr).get("/claimed/10").text(), "0123456789");
}

#[test]
fn routes_take_precedence_over_files() {
    let scratch = Scratch::new("routes");
    scratch.file("users/me/picture", "picture").file("users/you", "not this");
    let files = Files::new(scratch.root()).unwrap();
    let server = server::run(move |_| {
        let app = App::new().get("/users/{user}", |req| Ok(Response::text(req.param("user"))));
        app.files("/", files.clone()).files("/deep/below", files.clone())
    });
    let mut client = Client::connect(server.addr);
    for (path, content) in [
        ("/users/you", "you"),
        ("/users/me/picture", "picture"),
        ("/deep/below/users/you", "not this"),
        ("/d%65ep/below/users/me/../me/picture", "picture"),
    ] {
        assert_eq!(client.get(path).text(), content, "{path}");
    }
    assert_eq!(client.get("/deep/below").field("location"), Some("./below/"));
    assert_eq!(client.get("/deep/other").status, 404);
}
