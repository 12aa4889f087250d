//! `fleeting lesson` shows the four failures, and that `arena` has none. The program serves every version it plays
//! against.

use crate::program::{Running, outcome, program, refused};
use fleeting_testkit::client::{Answer, CLOSE, Client, TEXT};
use std::fs;

const MODES: [&str; 4] = ["fiber", "fiber+mutex", "fiber+copy", "arena"];

/// Runs `fleeting lesson` and returns what it prints.
fn printed(args: &[&str]) -> String {
    let (status, stdout, stderr) = outcome(program(&[&["lesson"], args].concat()));
    assert_eq!((status, &*stderr), (Some(0), ""), "{stdout}");
    stdout
}

/// Returns the cells of the row that begins with `label`.
fn row<'t>(text: &'t str, label: &str) -> Vec<&'t str> {
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    let cells = line.unwrap_or_else(|| panic!("no row {label:?} in\n{text}")).split("  ");
    cells.map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

// ---------------------------------------------------------------- the replay

#[test]
fn each_version_shows_its_failures() {
    let text = printed(&[]);
    assert_eq!(row(&text, "                            f"), ["iber", "fiber+mutex", "fiber+copy", "arena"]);
    assert_eq!(row(&text, "alice's record, as stored "), ["alice=alice"; 4]);
    assert_eq!(
        row(&text, "the map after bob came "),
        ["bobce=bobce", "bobce=bobce", "alice=alice", "alice=alice"]
    );
    assert_eq!(row(&text, "lookup of alice "), ["not found", "not found", "found", "found"]);
    assert_eq!(row(&text, "lookup of bobce "), ["not found", "not found", "-", "-"]);
    assert_eq!(row(&text, "delete of alice "), ["not found", "not found", "deleted", "deleted"]);
    assert_eq!(row(&text, "records after both left "), ["1", "1", "0", "0"]);
    assert_eq!(row(&text, "  and after 20 more clients "), ["11", "11", "0", "0"]);
    assert_eq!(row(&text, "message for alice goes to "), ["bob", "bob", "bob", "nobody"]);
    assert_eq!(row(&text, "1 a stored value changes "), ["YES", "YES", "no", "no"]);
    assert_eq!(row(&text, "2 a stored key is lost "), ["YES", "YES", "no", "no"]);
    assert_eq!(row(&text, "3 an identity is reused "), ["YES", "YES", "YES", "no"]);
    assert_eq!(row(&text, "4 unsynchronized access "), ["YES", "no", "no", "no"]);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for sentence in [
        "1 A stored value changed in fiber and fiber+mutex: ",
        "2 A stored key was lost in fiber and fiber+mutex: ",
        "3 An identity was reused in fiber, fiber+mutex and fiber+copy: ",
        "The lock of fiber+mutex fixes this and nothing else: ",
    ] {
        assert!(words.contains(sentence), "{sentence:?} is not in\n{text}");
    }
}

#[test]
fn the_report_fits_80_columns_and_has_no_colours_in_a_pipe() {
    let text = printed(&["--explain"]);
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(!text.contains('\x1b'), "colours are for terminals");
    assert!(text.ends_with('\n'));
}

#[test]
fn explain_shows_the_compiled_code() {
    let text = printed(&["--explain"]);
    let code = text.split("Go's Fiber").next().expect("the code comes first");
    for file in ["fiber", "fiber_mutex", "fiber_copy", "arena"] {
        let path = format!("{}/src/lesson/{file}.rs", env!("CARGO_MANIFEST_DIR"));
        let source = fs::read_to_string(path).expect("the source exists");
        let (_, after) = source.split_once("// shown from here\n").expect("the source has both marks");
        let (shown, _) = after.split_once("    // to here").expect("the source has both marks");
        assert!(shown.lines().count() >= 10, "{shown}");
        for line in shown.lines() {
            let line = line.strip_prefix("    ").unwrap_or(line);
            assert!(code.contains(line), "{file}: {line:?} is not shown in\n{code}");
        }
    }
    assert!(code.contains("arena: "), "{code}");
}

#[test]
fn mode_selects_versions() {
    let text = printed(&["--mode", "arena"]);
    assert_eq!(row(&text, "delete of alice "), ["deleted"]);
    assert!(!text.contains("YES") && !text.contains("bobce"), "{text}");
    let text = printed(&["--mode", "fiber+copy", "--mode", "fiber", "--explain"]);
    assert_eq!(row(&text, "3 an identity is reused "), ["YES", "YES"]);
    assert_eq!(row(&text, "delete of alice "), ["not found", "deleted"], "in the order of the modes");
    assert!(text.starts_with("fiber: ") && !text.contains("arena: "), "{text}");
    refused(program(&["lesson", "--mode", "fibre"]), 2, &["fibre", "fiber+mutex", "--help"]);
    refused(program(&["lesson", "--listen", "127.0.0.1:0"]), 2, &["--listen"]);
}

#[test]
fn two_lessons_can_run_at_once() {
    let children = [0; 2].map(|_| program(&["lesson"]).spawn().expect("the program was built for this test"));
    for child in children {
        let output = child.wait_with_output().expect("the program ends");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

// ---------------------------------------------------------------- what the program serves

fn ask(program: &Running, method: &str, path: &str, fields: &str) -> Answer {
    let mut client = Client::connect(program.addrs[0]);
    let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
    client.send(format!("{method} /lesson/{path} HTTP/1.1\r\nHost: test\r\n{length}{fields}\r\n"));
    client.answer()
}

fn post(program: &Running, mode: &str, id: &str) -> Answer {
    ask(program, "POST", &format!("{mode}/clients"), &format!("X-Id: {id}\r\n"))
}

/// Returns a record in JSON: what key and value read as, what was stored, whether a lookup finds the record, and whose
/// connection it has.
fn record(current: &str, stored: &str, found: bool, connection: Option<&str>) -> String {
    let intact = current == stored;
    let connection = connection.map_or("null".into(), |id| format!("\"{id}\""));
    format!(
        "{{\"key\":\"{current}\",\"value\":\"{current}\",\"stored_key\":\"{stored}\",\"stored_value\":\"{stored}\",\
         \"intact\":{intact},\"found\":{found},\"connection\":{connection}}}"
    )
}

#[test]
fn the_program_serves_every_mode() {
    for workers in ["1", "2"] {
        let program = Running::serve(&["--workers", workers]);
        for mode in MODES {
            let broken = ["fiber", "fiber+mutex"].contains(&mode);
            let list = || {
                let answer = ask(&program, "GET", &format!("{mode}/clients"), "");
                assert_eq!(answer.field("content-type"), Some("application/json"));
                assert_eq!(answer.field("cache-control"), Some("no-store"));
                answer.text().to_string()
            };
            assert_eq!(list(), "[]", "{mode}");
            let answer = post(&program, mode, "tab-1");
            let alone = format!("[{}]", record("tab-1", "tab-1", true, None));
            assert_eq!((answer.status, answer.text()), (201, &*alone), "{mode}");
            assert_eq!(list(), alone);

            let mut first = Client::websocket(program.addrs[0], &format!("/lesson/{mode}/ws?id=tab-1"));
            assert_eq!(first.next_frame().text(), r#"{"client":"tab-1","found":true}"#);
            assert_eq!(list(), format!("[{}]", record("tab-1", "tab-1", true, Some("tab-1"))));
            assert_eq!(post(&program, mode, "tab-2").status, 201);
            let current = if broken { "tab-2" } else { "tab-1" };
            first.frame(TEXT, "and now?");
            assert_eq!(first.next_frame().text(), format!("{{\"client\":\"tab-1\",\"found\":{}}}", !broken));
            let both = |connection| {
                [record(current, "tab-1", !broken, connection), record("tab-2", "tab-2", true, None)]
                    .join(",")
            };
            assert_eq!(list(), format!("[{}]", both(Some("tab-1"))));

            // The first connection ends. What the record keeps of it then leads to the second connection, or nowhere.
            first.frame(CLOSE, [3, 232]);
            assert_eq!(first.next_frame().close_code(), 1000);
            assert_eq!(list(), format!("[{}]", both(None)));
            let mut second = Client::websocket(program.addrs[0], &format!("/lesson/{mode}/ws?id=tab-2"));
            assert_eq!(second.next_frame().text(), r#"{"client":"tab-2","found":true}"#);
            assert_eq!(ask(&program, "POST", &format!("{mode}/messages"), "").status, 202);
            if mode != "arena" {
                assert_eq!(second.next_frame().text(), r#"{"for":"tab-1"}"#, "{mode}");
            }
            assert_eq!(second.next_frame().text(), r#"{"for":"tab-2"}"#, "{mode}");

            let status = |method, id| ask(&program, method, &format!("{mode}/clients/{id}"), "").status;
            assert_eq!(status("GET", "tab-1"), if broken { 404 } else { 200 }, "{mode}");
            assert_eq!(status("GET", "tab-2"), 200);
            assert_eq!(status("DELETE", "tab-1"), if broken { 404 } else { 204 }, "{mode}");
            assert_eq!(status("DELETE", "tab-2"), 204);
            assert_eq!(list() == "[]", !broken, "{mode}: {}", list());
            assert_eq!(ask(&program, "DELETE", &format!("{mode}/clients"), "").status, 204);
            assert_eq!(list(), "[]", "{mode}");
        }
    }
}

#[test]
fn a_lookup_answers_with_one_record() {
    let program = Running::serve(&[]);
    post(&program, "arena", "a");
    post(&program, "arena", "b");
    let answer = ask(&program, "GET", "arena/clients/b", "");
    assert_eq!((answer.status, answer.text()), (200, &*record("b", "b", true, None)));
    // Modes share no records.
    assert_eq!(ask(&program, "GET", "fiber/clients/b", "").status, 404);
}

#[test]
fn the_lesson_refuses_invalid_requests() {
    let program = Running::serve(&[]);
    let check = |answer: Answer, status: u16, message: &str| {
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(answer.text().contains(message), "{}", answer.text());
    };
    check(
        ask(&program, "GET", "fibre/clients", ""),
        404,
        "The modes are fiber, fiber+mutex, fiber+copy, arena.",
    );
    check(ask(&program, "POST", "arena/clients", ""), 400, "X-Id is missing");
    check(post(&program, "fiber", ""), 400, "1 to 32 characters");
    check(post(&program, "fiber", &"x".repeat(33)), 400, "1 to 32 characters");
    check(post(&program, "arena", "a b"), 400, "letters, digits");
    check(ask(&program, "DELETE", "arena/clients/%22", ""), 400, "letters, digits");
    check(ask(&program, "DELETE", "arena/clients/nobody", ""), 404, "No client has this id");
    check(ask(&program, "PUT", "arena/clients", ""), 405, "");
    let refused = |path: &str| {
        let mut client = Client::connect(program.addrs[0]);
        client.send(fleeting_testkit::client::handshake(path, ""));
        client.answer().status
    };
    assert_eq!(refused("/lesson/arena/ws"), 400);
    assert_eq!(refused("/lesson/arena/ws?id=%22"), 400);
    assert_eq!(refused("/lesson/fibre/ws?id=a"), 404);
    assert_eq!(refused("/lesson/arena/ws?a=b&id=a"), 101);
    for mode in MODES {
        let stored =
            (0..70).filter(|n| post(&program, mode, &format!("client-{n:02}")).status == 201).count();
        assert_eq!(stored, 64, "{mode}");
        check(post(&program, mode, "more"), 503, "DELETE the clients");
        assert_eq!(ask(&program, "DELETE", &format!("{mode}/clients"), "").status, 204);
        assert_eq!(post(&program, mode, "more").status, 201);
    }
}

/// Finding F11.
#[test]
fn a_room_has_maps_of_its_own() {
    let program = Running::serve(&["--workers", "2"]);
    let list = |room: &str| ask(&program, "GET", &format!("fiber/clients{room}"), "").text().to_string();
    let store = |room: &str, id: &str| {
        ask(&program, "POST", &format!("fiber/clients{room}"), &format!("X-Id: {id}\r\n")).status
    };
    // Somebody fills the map of one room.
    assert!((0..64).all(|n| store("?room=full", &format!("client-{n:02}")) == 201));
    assert_eq!(store("?room=full", "alice"), 503);
    // The others do not notice.
    assert_eq!((store("?room=one", "alice"), store("", "bob")), (201, 201));
    let alice = format!("[{}]", record("alice", "alice", true, None));
    let bob = format!("[{}]", record("bob", "bob", true, None));
    assert_eq!((list("?room=one"), list("")), (alice.clone(), bob.clone()));
    assert_eq!(ask(&program, "DELETE", "fiber/clients?room=full", "").status, 204);
    assert_eq!((list("?room=full"), list("?room=one"), list("")), ("[]".into(), alice, bob));
    // Messages and connections stay within a room, too.
    let mut socket = Client::websocket(program.addrs[0], "/lesson/fiber/ws?id=alice&room=one");
    assert_eq!(socket.next_frame().text(), r#"{"client":"alice","found":true}"#);
    assert_eq!(ask(&program, "POST", "fiber/messages", "").status, 202);
    assert_eq!(ask(&program, "POST", "fiber/messages?room=one", "").status, 202);
    assert_eq!(socket.next_frame().text(), r#"{"for":"alice"}"#);
    socket.frame(TEXT, "anything else?");
    assert_eq!(socket.next_frame().text(), r#"{"client":"alice","found":true}"#);
    assert_eq!(ask(&program, "GET", "fiber/clients?room=a/b", "").status, 400);
    assert_eq!(ask(&program, "GET", "fiber/clients?room=", "").status, 400);
}

#[test]
fn a_deletion_answers_with_the_map_if_asked() {
    let program = Running::serve(&[]);
    for id in ["alice", "bob"] {
        post(&program, "fiber", id);
    }
    let both = format!("[{},{}]", record("bobce", "alice", false, None), record("bob", "bob", true, None));
    let delete = |id: &str| ask(&program, "DELETE", &format!("fiber/clients/{id}?then=list"), "");
    assert_eq!((delete("alice").status, delete("alice").text()), (200, &*both));
    let left = format!("[{}]", record("bobce", "alice", false, None));
    assert_eq!((delete("bob").text(), delete("bob").status), (&*left, 200));
}

#[test]
fn the_code_of_each_version_is_served() {
    let program = Running::serve(&[]);
    let code = |mode: &str| ask(&program, "GET", &format!("{mode}/code"), "").text().to_string();
    assert!(code("fiber").contains("self.xpto.set(id.clone(), id);"));
    assert!(code("arena").contains("map.insert(id.keep(), c);"));
    assert_eq!(ask(&program, "GET", "fibre/code", "").status, 404);
}

// ---------------------------------------------------------------- the document

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/lesson.md");
    fs::read_to_string(path).expect("docs/lesson.md exists")
}

/// Returns the code blocks of this kind.
fn blocks<'d>(document: &'d str, kind: &str) -> Vec<&'d str> {
    let mark = format!("```{kind}\n");
    document.split(&mark).skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect()
}

/// Returns the blocks of this kind, each with the last file with this ending that is linked before it.
fn quotations<'d>(document: &'d str, kind: &str, ending: &str) -> Vec<(String, &'d str)> {
    let file = |before: &str| {
        let at = before.rfind(&format!("{ending})")).expect("a link before the block");
        let from = before[..at].rfind("(../").expect("a link from here") + "(../".len();
        before[from..at + ending.len()].to_string()
    };
    let starts = document.match_indices(kind).map(|(at, _)| at);
    starts
        .map(|at| file(&document[..at]))
        .zip(blocks(document, kind.trim_start_matches("```").trim_end()))
        .collect()
}

#[test]
fn the_document_quotes_the_compiler_and_the_code_correctly() {
    let document = document();
    let read = |file: &str| {
        let path = format!("{}/../../{file}", env!("CARGO_MANIFEST_DIR"));
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
    };
    let messages = quotations(&document, "```rustc\n", ".stderr");
    assert!(messages.len() >= 10, "{} messages", messages.len());
    for (file, message) in messages {
        // Whole lines, from the first line on.
        let actual = read(&file);
        assert!(
            message.starts_with("error") && actual.starts_with(message),
            "{file} does not begin with\n{message}"
        );
    }
    let code = quotations(&document, "```rust\n", ".rs");
    assert!(code.len() >= 3, "{} pieces of code", code.len());
    for (file, piece) in code {
        assert!(read(&file).contains(&format!("\n{piece}")), "{file} does not contain\n{piece}");
    }
}

#[test]
fn the_documents_show_what_the_program_prints() {
    let text = printed(&[]);
    let document = document();
    assert_eq!(blocks(&document, "console"), [format!("$ fleeting lesson\n{text}")]);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = fs::read_to_string(path).expect("README.md exists");
    let shown = blocks(&readme, "console").concat();
    let mut rest = shown.lines().filter(|line| *line != "...");
    assert_eq!(rest.next(), Some("$ fleeting lesson"));
    let rest: Vec<&str> = rest.collect();
    assert!(rest.len() >= 5, "{shown}");
    // The README may leave lines out, but keeps the order.
    let mut lines = text.lines();
    for line in rest {
        assert!(
            lines.any(|printed| printed == line),
            "{line:?} is not printed, or not in this order\n{text}"
        );
    }
}

#[test]
fn the_examples_in_the_document_work() {
    let document = document();
    let examples = blocks(&document, "text");
    assert_eq!(examples.len(), 2, "the number of examples has changed");
    for example in examples {
        let program = Running::serve(&["--workers", "2"]);
        let (mut socket, mut answer) = (None, None);
        for line in example.lines() {
            if let Some(request) = line.strip_prefix("$ ") {
                assert_eq!(answer, None, "a request has no answer in the document");
                let [method, path, field] =
                    request.splitn(3, ' ').chain([""]).take(3).collect::<Vec<_>>()[..]
                else {
                    panic!("not a request: {request:?}");
                };
                let path = path.strip_prefix("/lesson/").expect("a path below /lesson/");
                if method == "WebSocket" {
                    socket = Some(Client::websocket(program.addrs[0], &format!("/lesson/{path}")));
                } else {
                    let fields = if field.is_empty() { String::new() } else { format!("{field}\r\n") };
                    let actual = ask(&program, method, path, &fields);
                    answer = Some(format!("{} {}", actual.status, actual.text()).trim_end().to_string());
                }
            } else if let Some(text) = line.strip_prefix("> ") {
                socket.as_mut().expect("a WebSocket was opened before").frame(TEXT, text);
            } else if let Some(text) = line.strip_prefix("< ") {
                assert_eq!(socket.as_mut().expect("a WebSocket was opened before").next_frame().text(), text);
            } else {
                assert_eq!(answer.take().as_deref(), Some(line));
            }
        }
    }
}
