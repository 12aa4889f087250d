//! The source keeps its own rules: floors, rooms of the outer crates, names, sizes, links.
//!
//! Every rule is a function from text to the lines that break it, so that it is itself tested, on
//! violations planted below. What the rules mean is in CONTRIBUTING.md.

use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Which floor a module is on. Imports go to the same floor or down.
const FLOORS: &[(&str, u8)] = &[
    ("arena", 0),
    ("keep", 0),
    ("panics", 0),
    ("buffer", 0),
    ("time", 0),
    ("config", 0),
    ("error", 0),
    ("http1", 1),
    ("ws", 1),
    ("store", 2),
    ("pubsub", 2),
    ("transport", 2),
    ("files", 2),
    ("app", 3),
    ("engine", 4),
    ("fuzzing", 4),
    ("server", 5),
    ("cli", 6),
    ("main", 6),
];

/// Neighbours on one floor that must not know each other.
const STRANGERS: &[(&str, &str)] = &[("http1", "ws")];

/// The modules that an outer crate may be named in.
const ROOMS: &[(&str, &[&str])] = &[
    ("bumpalo", &["arena"]),
    ("httparse", &["http1"]),
    ("wide", &["http1"]),
    ("tungstenite", &["ws"]),
    ("zlib_rs", &["ws"]),
    ("simdutf8", &["ws"]),
    ("ahash", &["store", "pubsub", "app"]),
    ("memmap2", &["store"]),
    ("redis", &["store"]),
    ("rustls", &["transport"]),
    ("rustix", &["files", "transport"]),
    ("matchit", &["app"]),
    ("slab", &["engine", "pubsub"]),
    ("mio", &["engine", "transport"]),
    ("socket2", &["server", "store"]),
    ("clap", &["main", "cli"]),
    ("rlimit", &["cli"]),
    ("signal_hook", &["cli"]),
    ("toml", &["cli"]),
];

/// Files of `src` that may say `unsafe`. Each needs a line in ARCHITECTURE.md that says why.
const UNSAFE_ALLOWED: &[&str] = &[];

/// What is unsound on purpose: a program for AddressSanitizer to stop, in a crate of its own.
const UNSOUND: &str = "tests/sanitizer/planted/src/main.rs";

/// Lines a source file may have before its tests.
const FILE_LINES_MAX: usize = 600;

/// Documents that must be there, and the lines they may have.
const DOCUMENTS: &[(&str, usize)] = &[
    ("ARCHITECTURE.md", 200),
    ("CHANGELOG.md", usize::MAX),
    ("CONTRIBUTING.md", usize::MAX),
    ("LICENSE-APACHE", usize::MAX),
    ("LICENSE-MIT", usize::MAX),
    ("PERFORMANCE.md", usize::MAX),
    ("README.md", usize::MAX),
    ("SECURITY.md", usize::MAX),
];

const EMPTY_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "manager", "common", "misc"];

// ---------------------------------------------------------------- reading Rust, roughly

/// `text` with comments and the contents of string and character literals turned into blanks. Line
/// ends stay, so that line numbers do.
fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let blank = |out: &mut Vec<u8>, from: usize, to: usize| {
        for byte in &mut out[from..to.min(bytes.len())] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    };
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let inside_word = at > 0 && is_word(bytes[at - 1]);
        let end = if rest.starts_with(b"//") {
            at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            at + block_comment(rest)
        } else if let Some(length) = raw_string(rest).filter(|_| !inside_word) {
            at + length
        } else if rest[0] == b'"' {
            at + quoted(rest)
        } else if let Some(length) = character(rest) {
            at + length
        } else {
            at += 1;
            continue;
        };
        blank(&mut out, at, end);
        at = end;
    }
    String::from_utf8(out).expect("whole literals and comments are blanked, never half a character")
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Length of the raw string (`r"…"`, `br#"…"#`, `cr"…"`) that `rest` begins with.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let prefix = [&b"r"[..], b"br", b"cr"].into_iter().find(|p| rest.starts_with(p))?.len();
    let hashes = rest[prefix..].iter().take_while(|b| **b == b'#').count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&b'"') {
        return None;
    }
    let close = [&b"\""[..], &vec![b'#'; hashes]].concat();
    let body = &rest[open + 1..];
    let end = body.windows(close.len()).position(|w| w == close).unwrap_or(body.len());
    Some(open + 1 + end + close.len())
}

fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// Length of the character literal that `rest` begins with, not to be taken for a lifetime.
fn character(rest: &[u8]) -> Option<usize> {
    if rest[0] != b'\'' {
        return None;
    }
    let body = std::str::from_utf8(&rest[1..]).ok()?;
    let mut characters = body.chars();
    let first = characters.next()?;
    if first != '\\' {
        return (characters.next() == Some('\'')).then(|| first.len_utf8() + 2);
    }
    // The escaped character may itself be a quote.
    let escaped = characters.next()?.len_utf8();
    let close = body[1 + escaped..].find('\'')?;
    Some(1 + 1 + escaped + close + 1)
}

/// Words and `::` and every other visible character, each with its line.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let bytes = line.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let length = if is_word(bytes[at]) {
                bytes[at..].iter().take_while(|b| is_word(**b)).count()
            } else if bytes[at..].starts_with(b"::") {
                2
            } else {
                1
            };
            if !bytes[at].is_ascii_whitespace() {
                found.push((number + 1, &line[at..at + length]));
            }
            at += length;
        }
    }
    found
}

/// The names that the path or the group of paths at `tokens[at]` begins with.
fn heads<'t>(tokens: &[(usize, &'t str)], at: usize) -> Vec<(usize, &'t str)> {
    match tokens.get(at) {
        Some((_, "{")) => {}
        Some((_, word)) if is_word(word.as_bytes()[0]) => return vec![tokens[at]],
        _ => return Vec::new(),
    }
    let (mut names, mut depth, mut first) = (Vec::new(), 0, true);
    for &(line, token) in &tokens[at..] {
        match token {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => first = true,
            word if depth == 1 && first => {
                names.push((line, word));
                first = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

// ---------------------------------------------------------------- the rules

/// The module of the root that `path` (below `src`, with slashes) belongs to.
fn module_of(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or(path);
    first.strip_suffix(".rs").unwrap_or(first)
}

fn floor_of(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// What `lib.rs` exports at the root: name and the module it comes from.
fn root_names(lib: &str) -> HashMap<String, String> {
    let code = code_of(lib);
    let tokens = tokens(&code);
    let mut names = HashMap::new();
    for (at, (_, token)) in tokens.iter().enumerate() {
        if *token != "use" {
            continue;
        }
        let statement: Vec<&str> =
            tokens[at + 1..].iter().map(|(_, t)| *t).take_while(|t| *t != ";").collect();
        let skip = if statement.starts_with(&["crate", "::"]) { 2 } else { 0 };
        let Some(module) = statement.get(skip) else { continue };
        for (i, word) in statement.iter().enumerate().skip(skip + 1) {
            // A leaf of the use tree: `… Name` before `,`, `}` or the end.
            if is_word(word.as_bytes()[0]) && matches!(statement.get(i + 1), None | Some(&"," | &"}")) {
                names.insert((*word).to_string(), (*module).to_string());
            }
        }
    }
    names
}

/// Paths that begin at the root of the crate: `crate::a`, `crate::{a, b::c}`, and `super::a` from as
/// deep as the file is.
fn root_paths(path: &str, code: &str) -> Vec<(usize, String)> {
    let tokens = tokens(code);
    let depth = path.split('/').filter(|part| *part != "mod.rs").count();
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let mut next = at + 1;
        let mut from_root = false;
        if tokens[at].1 == "crate" && tokens.get(next).is_some_and(|(_, t)| *t == "::") {
            (from_root, next) = (true, next + 1);
        } else if tokens[at].1 == "super" {
            let mut count = 0;
            next = at;
            while tokens.get(next).is_some_and(|(_, t)| *t == "super")
                && tokens.get(next + 1).is_some_and(|(_, t)| *t == "::")
            {
                (count, next) = (count + 1, next + 2);
            }
            from_root = count == depth && count > 0;
            next = next.max(at + 1);
        }
        if from_root {
            found.extend(heads(&tokens, next).into_iter().map(|(line, name)| (line, name.to_string())));
        }
        at = next;
    }
    found
}

/// Imports that go up, strangers that meet, modules without a floor.
fn floors(path: &str, text: &str, exported: &HashMap<String, String>) -> Vec<String> {
    let own = module_of(path);
    if own == "lib" {
        return Vec::new();
    }
    let Some(own_floor) = floor_of(own) else {
        return vec![format!("src/{path}: module `{own}` has no floor: give it one in tests/tidy.rs")];
    };
    let code = code_of(text);
    let own_modules: Vec<&str> =
        tokens(&code).windows(2).filter(|w| w[0].1 == "mod").map(|w| w[1].1).collect();
    let mut wrong = Vec::new();
    for (line, name) in root_paths(path, &code) {
        let module = exported.get(&name).map_or(name.as_str(), String::as_str);
        if own_modules.contains(&module) || module == "self" {
            continue;
        }
        let Some(floor) = floor_of(module) else {
            if exported.contains_key(&name) || is_module_name(&name) {
                wrong.push(format!("src/{path}:{line}: `crate::{name}` is in no module that has a floor"));
            }
            continue;
        };
        let strangers = STRANGERS.iter().any(|(a, b)| (own, module) == (*a, *b) || (module, own) == (*a, *b));
        if floor > own_floor {
            wrong.push(format!(
                "src/{path}:{line}: `{own}` (floor {own_floor}) imports `{module}` (floor {floor})"
            ));
        } else if strangers {
            wrong.push(format!("src/{path}:{line}: `{own}` must not know `{module}`"));
        }
    }
    wrong
}

fn is_module_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
}

/// Outer crates named outside their rooms.
fn rooms(path: &str, text: &str) -> Vec<String> {
    let own = module_of(path);
    let code = code_of(text);
    let tokens = tokens(&code);
    let mut wrong = Vec::new();
    for (at, (line, token)) in tokens.iter().enumerate() {
        let Some((_, rooms)) = ROOMS.iter().find(|(name, _)| name == token) else { continue };
        let token_at = |at: Option<usize>| at.and_then(|at| tokens.get(at)).map_or("", |(_, t)| *t);
        let before = token_at(at.checked_sub(1));
        // `crate::store::redis` is a path of ours; `::redis` is not.
        let inside_path = before == "::" && at >= 2 && is_word(tokens[at - 2].1.as_bytes()[0]);
        let named = token_at(Some(at + 1)) == "::" || before == "use" || before == "crate";
        if named && !inside_path && !rooms.contains(&own) {
            wrong.push(format!("src/{path}:{line}: `{token}` is named outside {}", rooms.join(", ")));
        }
    }
    wrong
}

/// Length, first line and names of a source file, and words that must not be in it.
fn source(path: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if !text.starts_with("//!") {
        wrong.push(format!("src/{path}:1: does not begin with `//!`"));
    }
    let lines = lines_before_tests(text);
    if lines > FILE_LINES_MAX {
        wrong.push(format!("src/{path}: {lines} lines before its tests, more than {FILE_LINES_MAX}"));
    }
    for part in path.split('/') {
        let name = part.strip_suffix(".rs").unwrap_or(part);
        if EMPTY_NAMES.contains(&name) {
            wrong.push(format!("src/{path}: `{name}` says nothing about what is in it"));
        }
    }
    let code = code_of(text);
    for pair in tokens(&code).windows(2) {
        let ((line, first), second) = (pair[0], pair[1].1);
        if first == "mod" && EMPTY_NAMES.contains(&second) {
            wrong.push(format!("src/{path}:{line}: `mod {second}` says nothing about what is in it"));
        }
        if first == "fn" && second.starts_with("get_") {
            wrong.push(format!("src/{path}:{line}: `{second}`: without `get_`"));
        }
        if first == "unsafe" && !UNSAFE_ALLOWED.contains(&path) {
            wrong.push(format!("src/{path}:{line}: `unsafe`"));
        }
    }
    wrong
}

fn lines_before_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_test_module = |at: usize| {
        let item = lines[at + 1..].iter().find(|line| !line.starts_with("#["));
        lines[at] == "#[cfg(test)]"
            && item.is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
    };
    (0..lines.len()).find(|at| is_test_module(*at)).unwrap_or(lines.len())
}

/// What neither the source nor the tests may hold: unfinished work, ignored tests, sleeps.
fn unfinished(path: &str, text: &str) -> Vec<String> {
    let code = code_of(text);
    let mut wrong = Vec::new();
    for three in tokens(&format!("{code} . .")).windows(3) {
        let (line, words) = (three[0].0, [three[0].1, three[1].1, three[2].1]);
        let what = match words {
            ["todo" | "unimplemented", "!", _] => "is not finished",
            ["#", "[", "ignore"] => "ignores a test: a test that cannot run fails",
            ["sleep", "(", _] => "sleeps: wait for the thing itself",
            _ => continue,
        };
        wrong.push(format!("{path}:{line}: {what}"));
    }
    wrong
}

/// Targets of the links in a Markdown text, with their lines; code is left out.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        for (at, _) in prose.match_indices("](") {
            let target: String = prose[at + 2..].chars().take_while(|c| !matches!(c, ')' | ' ')).collect();
            found.push((number + 1, target));
        }
        let definition = prose.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        if let Some((_, target)) = definition {
            found.push((number + 1, target.split_whitespace().next().unwrap_or("").to_string()));
        }
    }
    found
}

/// Links to files that are not there. `exists` gets paths below the repository's root.
fn broken_links(path: &str, text: &str, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for (line, target) in links(text) {
        let file = target.trim_matches(['<', '>']).split('#').next().unwrap_or("").to_string();
        if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
            continue;
        }
        let folder = Path::new(path).parent().unwrap_or(Path::new(""));
        let meant = match file.strip_prefix('/') {
            Some(from_root) => PathBuf::from(from_root),
            None => folder.join(&file),
        };
        if !normal(&meant).is_some_and(|meant| exists(&meant)) {
            wrong.push(format!("{path}:{line}: links to {target}, which is not there"));
        }
    }
    wrong
}

/// `path` without `.` and `..`; `None` when it leads out of the repository.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir if !out.pop() => return None,
            Component::Normal(name) => out.push(name),
            _ => {}
        }
    }
    Some(out)
}

// ---------------------------------------------------------------- the repository

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below `folder` that end in `.{extension}`: path below the root, and text.
fn files(folder: &str, extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let entry = entry.expect("an entry of a folder that was just opened");
            let (path, name) = (entry.path(), entry.file_name());
            let built = name == "target" || name.to_string_lossy().starts_with('.');
            if path.is_dir() && !built {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                let below = path.strip_prefix(root()).expect("it was found below the root");
                let below = below.to_string_lossy().replace('\\', "/");
                let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{below}: {e}"));
                found.push((below, text));
            }
        }
    }
    found.sort();
    found
}

/// Files of `src`, named from there.
fn sources() -> Vec<(String, String)> {
    let all = files("src", "rs");
    assert!(!all.is_empty(), "no source was found");
    all.into_iter().map(|(path, text)| (path["src/".len()..].to_string(), text)).collect()
}

#[track_caller]
fn none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn imports_go_down_the_floors() {
    let sources = sources();
    let lib = sources.iter().find(|(path, _)| path == "lib.rs").expect("there is a lib.rs");
    let exported = root_names(&lib.1);
    none(sources.iter().flat_map(|(path, text)| floors(path, text, &exported)).collect());
}

#[test]
fn outer_crates_stay_in_their_rooms() {
    none(sources().iter().flat_map(|(path, text)| rooms(path, text)).collect());
}

#[test]
fn sources_are_in_shape() {
    none(sources().iter().flat_map(|(path, text)| source(path, text)).collect());
}

#[test]
fn nothing_is_unfinished_ignored_or_asleep() {
    let all = [files("src", "rs"), files("tests", "rs")].concat();
    none(all.iter().flat_map(|(path, text)| unfinished(path, text)).collect());
}

#[test]
fn what_is_unsound_on_purpose_stands_in_one_place() {
    let all = [files("tests", "rs"), files("examples", "rs"), files("fuzz", "rs")].concat();
    let says = |text: &str| tokens(&code_of(text)).iter().any(|(_, token)| *token == "unsafe");
    let found: Vec<&str> = all.iter().filter(|(_, text)| says(text)).map(|(path, _)| path.as_str()).collect();
    assert_eq!(found, [UNSOUND]);
}

#[test]
fn documents_are_there_and_their_links_lead_somewhere() {
    let mut wrong = Vec::new();
    for (name, lines_max) in DOCUMENTS {
        match fs::read_to_string(root().join(name)) {
            Ok(text) if text.lines().count() <= *lines_max => {}
            Ok(_) => wrong.push(format!("{name}: more than {lines_max} lines")),
            Err(e) => wrong.push(format!("{name}: {e}")),
        }
    }
    for (path, text) in files("", "md") {
        wrong.extend(broken_links(&path, &text, |meant| root().join(meant).exists()));
    }
    none(wrong);
}

// ---------------------------------------------------------------- violations, planted

/// Checks how many violations `rule` finds, and that they name the line.
#[track_caller]
fn planted(wrong: Vec<String>, expected: &[&str]) {
    assert_eq!(wrong.len(), expected.len(), "{wrong:#?}");
    for (got, want) in wrong.iter().zip(expected) {
        assert!(got.contains(want), "{got} does not say {want}");
    }
}

#[test]
fn code_is_told_from_comments_and_literals() {
    let check = |text: &str, expected: &str| {
        let code = code_of(text);
        assert_eq!(code.len(), text.len(), "{text}");
        let words: Vec<&str> = tokens(&code).into_iter().map(|(_, token)| token).collect();
        assert_eq!(words.join(" "), expected, "{text}");
    };
    check("a // b\nc", "a c");
    check("a /* b /* c */ d */ e", "a e");
    check(r#"a("b \" c", 'd', '\'', '"') e"#, "a ( , , , ) e");
    check(r##"a(r#"b " c"#, br"d", b"e") f"##, "a ( , , b ) f");
    check("fn a<'r>(b: &'r str) -> &'r str", "fn a < ' r > ( b : & ' r str ) - > & ' r str");
    check("'é' a '\\u{e9}' b '\\\\' c", "a b c");
    check("'é: loop {}", "' é : loop { }");
    check("\"open", "");
}

#[test]
fn an_import_that_goes_up_is_found() {
    let exported = root_names("pub use app::{Request, router::Router};\npub use arena::Arena;");
    let check = |path: &str, text: &str, expected: &[&str]| planted(floors(path, text, &exported), expected);
    check("app/mod.rs", "use crate::http1::Head;\nuse crate::{arena::Arena, ws};", &[]);
    check("http1/head.rs", "\nuse crate::app::Request;", &["src/http1/head.rs:2"]);
    check("http1/head.rs", "use crate::{arena::{self, x}, engine::{a, b}, server};", &["engine", "server"]);
    check("store/mod.rs", "fn a() { crate::engine::run() }", &["engine"]);
    check("pubsub.rs", "use crate::{Arena, Router};", &["`app` (floor 3)"]);
    check("arena.rs", "#[cfg(test)]\nmod tests { use crate::http1::x; }", &["arena.rs:2"]);
    check("arena.rs", "// crate::app\n/// [`crate::app`]\nconst A: &str = \"crate::app\";", &[]);
    check("arena.rs", "use super::app::x;", &["app"]);
    check("ws/frame.rs", "use super::super::engine;", &["engine"]);
    check("engine/timers.rs", "use super::server::x;", &[]);
    check("http1/mod.rs", "use crate::ws::Frame;", &["must not know `ws`"]);
    check("ws.rs", "use crate::http1;", &["must not know `http1`"]);
    check("lounge.rs", "", &["has no floor"]);
    check("server.rs", "use crate::lounge::Chair;", &["in no module that has a floor"]);
    check("main.rs", "use crate::cli;", &[]);
    check("lib.rs", "use crate::cli;", &[]);
}

#[test]
fn an_outer_crate_out_of_its_room_is_found() {
    let check = |path: &str, text: &str, expected: &[&str]| planted(rooms(path, text), expected);
    check("arena.rs", "use bumpalo::Bump;", &[]);
    check("app/mod.rs", "use bumpalo::Bump;", &["src/app/mod.rs:1: `bumpalo`"]);
    check("app/mod.rs", "use matchit;\nfn a(x: ::mio::Token) { mio.b() }", &["app/mod.rs:2: `mio`"]);
    check("engine/mod.rs", "fn a(x: slab::Slab<u8>, y: mio::Token, z: socket2::Socket) {}", &["socket2"]);
    check("http1/mod.rs", "extern crate tungstenite;", &["tungstenite"]);
    check("app/mod.rs", "use crate::store::redis::Redis;", &[]);
    check("config/mod.rs", "// mio::Poll\nlet redis = 1;", &[]);
}

#[test]
fn a_source_out_of_shape_is_found() {
    let check = |path: &str, text: &str, expected: &[&str]| planted(source(path, text), expected);
    check("arena.rs", "//! A.\nfn target() {}", &[]);
    check("arena.rs", "// A.\n", &["does not begin"]);
    check("app/util.rs", "//! A.", &["`util`"]);
    check("helpers/a.rs", "//! A.", &["`helpers`"]);
    check("arena.rs", "//! A.\nmod common;", &["arena.rs:2: `mod common`"]);
    check("arena.rs", "//! A.\npub fn get_target() {}\nfn get() {}", &["arena.rs:2: `get_target`"]);
    check("arena.rs", "//! A.\nfn a() { unsafe { b() } }", &["arena.rs:2: `unsafe`"]);
    check("arena.rs", "//! unsafe\n#![deny(unsafe_code)]\nconst A: &str = \"unsafe\";", &[]);
    let long = format!("//! A.\n{}", "\n".repeat(FILE_LINES_MAX));
    check("arena.rs", &long, &["601 lines"]);
    let tested = "//! A.\n#[cfg(test)]\nuse a;\n#[cfg(test)]\nmod tests {\n".to_string() + &long;
    check("arena.rs", &tested, &[]);
}

#[test]
fn unfinished_work_is_found() {
    let check = |text: &str, expected: &[&str]| planted(unfinished("src/a.rs", text), expected);
    check("fn a() { b() }", &[]);
    check("fn a() {\n todo!() }", &["src/a.rs:2: is not finished"]);
    check("fn a() { unimplemented!(\"later\") }", &["is not finished"]);
    check("#[test]\n#[ignore = \"slow\"]\nfn a() {}", &["src/a.rs:2: ignores"]);
    check("thread::sleep(second)", &["sleeps"]);
    check("// todo!() sleep(\nfn sleep_until() {}", &[]);
    check("sleep(", &["sleeps"]);
}

#[test]
fn a_broken_link_is_found() {
    let there = |meant: &Path| [Path::new("a/b.md"), Path::new("c.rs")].contains(&meant);
    let check = |text: &str, expected: &[&str]| planted(broken_links("a/x.md", text, there), expected);
    check("[b](b.md) [c](../c.rs#L1) [d](/c.rs) [e](https://a.example/b) [f](#here)", &[]);
    check("one\n[b](c.md)", &["a/x.md:2: links to c.md"]);
    check("[out](../../c.rs)", &["links to ../../c.rs"]);
    check("[b]: b.md\n[c]: c.md", &["a/x.md:2"]);
    check("`[b](c.md)`\n```\n[b](c.md)\n```\n[b](d.md)", &["a/x.md:5"]);
}
