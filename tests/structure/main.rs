//! Checks the structure of the repository: no circular imports, imports only from the same or a lower floor, external
//! crates in their own modules, file sizes, names, and links.
//!
//! A failed test lists every violation. `cargo test --test structure -- --nocapture` also prints how many files and
//! imports each crate has. Each rule is a function from source texts to violations, and its own tests run it on planted
//! violations.

mod imports;
mod links;
mod paths;
mod planted;
mod rules;
mod tree;

use imports::{circles, imports, out_of_room, upward};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use tree::Tree;

/// The root files of the repository's crates.
const CRATES: &[&str] = &[
    "src/lib.rs",
    "crates/store/src/lib.rs",
    "crates/program/src/main.rs",
    "crates/testkit/src/lib.rs",
    "tests/main.rs",
    "tests/examples/main.rs",
    "tests/structure/main.rs",
    "crates/store/tests/main.rs",
    "crates/program/tests/main.rs",
    "examples/bench_server/main.rs",
    "examples/gateway/main.rs",
    "examples/rest/main.rs",
    "benches/openload/src/main.rs",
    "benches/uring/src/main.rs",
    "benches/wsload/src/main.rs",
    "tests/sanitizer/planted/src/main.rs",
];

/// The floor of each module of the library. A module may import only from its own floor and from lower ones.
const FLOORS: &[(&str, u8)] = &[
    ("arena", 0),
    ("keep", 0),
    ("panics", 0),
    ("percent", 0),
    ("utf8", 0),
    ("buffer", 0),
    ("time", 0),
    ("config", 0),
    ("reasons", 0),
    ("http1", 1),
    ("http2", 1),
    ("ws", 1),
    ("pubsub", 2),
    ("transport", 2),
    ("semantics", 2),
    ("files", 2),
    ("app", 3),
    ("engine", 4),
    ("server", 5),
    ("testing", 6),
];

/// Pairs of modules that must not import each other.
const STRANGERS: &[(&str, &str)] = &[("http1", "ws"), ("http2", "ws")];

/// The external crates of the library, each with the modules that may use it.
const ROOMS: &[(&str, &[&str])] = &[
    ("bumpalo", &["arena"]),
    ("httparse", &["http1"]),
    ("ipnet", &["config"]),
    ("rustls", &["transport"]),
    ("simdutf8", &["utf8"]),
    ("wide", &["http1"]),
    ("tungstenite", &["ws"]),
    ("zlib_rs", &["ws"]),
    ("ahash", &["pubsub", "app"]),
    ("rustix", &["files", "server", "transport"]),
    ("matchit", &["app"]),
    ("memmap2", &["buffer"]),
    ("mime_guess", &["files"]),
    ("serde", &["app", "testing"]),
    ("serde_json", &["app", "testing"]),
    ("slab", &["engine", "pubsub"]),
    ("mio", &["engine", "transport"]),
    ("socket2", &["server", "transport"]),
    ("io_uring", &["transport"]),
];

/// Source files that may contain `unsafe`. ARCHITECTURE.md must give the reason for each.
const UNSAFE_ALLOWED: &[&str] = &["src/transport/ring.rs", "src/transport/inherited.rs"];

/// A program in a crate of its own that is unsound on purpose: AddressSanitizer must abort it.
const UNSOUND: &str = "tests/sanitizer/planted/src/main.rs";

/// Source files of more than [`rules::FILE_LINES_MAX`] lines before their tests, and why each is not split.
const LONG_FILES: &[(&str, &str)] =
    &[("src/http1/decoder.rs", "one state machine: every method is a step of the same state")];

/// Documents that must exist.
const DOCUMENTS: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "PERFORMANCE.md",
    "README.md",
    "SECURITY.md",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(root().join(path)).ok()
}

/// Returns the path, relative to the root, and the text of every file below `folder` with this extension.
fn files(folder: &str, extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let entry = entry.expect("the folder is readable");
            let (path, name) = (entry.path(), entry.file_name());
            let built = name == "target" || name.to_string_lossy().starts_with('.');
            if path.is_dir() && !built {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                let below = path.strip_prefix(root()).expect("every file is below the root");
                let below = below.to_string_lossy().into_owned();
                let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{below}: {e}"));
                found.push((below, text));
            }
        }
    }
    found.sort();
    found
}

/// Returns the source files of the packages, without tests and benches.
fn sources() -> Vec<(String, String)> {
    let all = ["src", "crates/store/src", "crates/program/src", "crates/testkit/src"]
        .map(|folder| files(folder, "rs"));
    assert!(all.iter().all(|files| !files.is_empty()), "a package has no source files");
    all.concat()
}

/// Returns the library, which several rules look at.
fn library() -> &'static Tree {
    static LIBRARY: LazyLock<Tree> = LazyLock::new(|| Tree::read("src/lib.rs", &read));
    &LIBRARY
}

#[track_caller]
fn expect_none(violations: Vec<String>) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut found = Vec::new();
    for crate_root in CRATES {
        let tree = Tree::read(crate_root, &read);
        let (files, imports): (BTreeSet<_>, _) =
            (tree.modules.iter().map(|module| &module.file).collect(), imports(&tree));
        let circles = circles(&imports);
        println!("{crate_root}: {} files, {} imports, {} circles", files.len(), imports.len(), circles.len());
        found.extend(circles);
    }
    expect_none(found);
}

#[test]
fn imports_go_down_the_floors() {
    expect_none(upward(&imports(library()), FLOORS, STRANGERS));
}

#[test]
fn external_crates_are_used_only_in_their_modules() {
    expect_none(out_of_room(library(), ROOMS));
}

/// A rule about something that does not exist would check nothing.
#[test]
fn the_files_modules_and_crates_in_the_rules_exist() {
    let mut violations = Vec::new();
    let lib = library();
    let exists = |module: &str| lib.modules.iter().any(|known| known.path == [module]);
    let manifest = read("Cargo.toml").expect("the library has a manifest");
    let (_, dependencies) = manifest.split_once("\n[dependencies]\n").expect("the manifest has dependencies");
    let (dependencies, _) =
        dependencies.split_once("\n[dev-dependencies]").expect("the manifest has dev-dependencies");
    let names = dependencies
        .lines()
        .filter(|line| !line.starts_with(['#', '[']))
        .filter_map(|line| line.split([' ', '.']).next());
    let names: BTreeSet<String> =
        names.filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect();
    for (module, _) in FLOORS.iter().filter(|(module, _)| !exists(module)) {
        violations.push(format!("FLOORS: there is no module {module}"));
    }
    for (name, modules) in ROOMS {
        if !names.contains(*name) {
            violations.push(format!("ROOMS: the library does not depend on {name}"));
        }
        violations
            .extend(modules.iter().filter(|m| !exists(m)).map(|m| format!("ROOMS: there is no module {m}")));
    }
    let roomless = names.iter().filter(|name| !ROOMS.iter().any(|(known, _)| known == name));
    violations
        .extend(roomless.map(|name| format!("ROOMS: {name} is missing; list the modules that may use it")));
    for (a, b) in STRANGERS.iter().filter(|(a, b)| !exists(a) || !exists(b)) {
        violations.push(format!("STRANGERS: there is no {a} or no {b}"));
    }
    let all_files =
        CRATES.iter().chain(UNSAFE_ALLOWED).chain([&UNSOUND]).chain(LONG_FILES.iter().map(|(file, _)| file));
    violations.extend(
        all_files.filter(|file| !root().join(file).exists()).map(|file| format!("{file} does not exist")),
    );
    expect_none(violations);
}

#[test]
fn source_files_keep_the_rules_for_headers_length_and_names() {
    let is_long = |path: &str| LONG_FILES.iter().any(|(long, _)| *long == path);
    expect_none(sources().iter().flat_map(|(path, text)| rules::shape(path, text, is_long(path))).collect());
}

#[test]
fn unsafe_code_is_only_where_it_is_allowed() {
    let folders = ["src", "crates", "tests", "examples", "fuzz", "benches/cases"];
    let all = folders.map(|folder| files(folder, "rs")).concat();
    let allowed = |path: &str| path == UNSOUND || UNSAFE_ALLOWED.contains(&path);
    let found: Vec<_> = all.iter().filter(|(path, _)| !allowed(path)).collect();
    expect_none(found.iter().flat_map(|(path, text)| rules::unsafe_lines(path, text)).collect());
    let unsound = read(UNSOUND).expect("the program exists");
    assert!(!rules::unsafe_lines(UNSOUND, &unsound).is_empty(), "{UNSOUND} contains no `unsafe`");
}

#[test]
fn no_code_is_unfinished_and_no_test_is_ignored_or_sleeps() {
    let all = ["src", "crates", "tests"].map(|folder| files(folder, "rs")).concat();
    expect_none(all.iter().flat_map(|(path, text)| rules::unfinished(path, text)).collect());
}

#[test]
fn documents_exist_and_no_link_is_broken() {
    let mut violations = Vec::new();
    for name in DOCUMENTS.iter().filter(|name| !root().join(name).exists()) {
        violations.push(format!("{name} does not exist"));
    }
    for (path, text) in files("", "md") {
        violations.extend(links::broken_links(&path, &text, |target| root().join(target).exists()));
    }
    expect_none(violations);
}

/// ARCHITECTURE.md names a function as `file.rs:function`, and a file by the end of its path.
#[test]
fn files_and_functions_named_in_the_architecture_exist() {
    let map = read("ARCHITECTURE.md").expect("ARCHITECTURE.md exists");
    let sources = sources();
    let (mut named, mut violations) = (0, Vec::new());
    for name in map.split('`').skip(1).step_by(2).filter(|name| name.contains(".rs")) {
        let (file, function) = name.split_once(':').unwrap_or((name, ""));
        let matches_file = |path: &str| path == file || path.ends_with(&format!("/{file}"));
        let defines = |text: &str| {
            let declared = format!("fn {function}");
            text.match_indices(&declared).any(|(at, _)| text[at + declared.len()..].starts_with(['(', '<']))
        };
        named += 1;
        let exists = match function {
            "" => root().join(file).exists() || sources.iter().any(|(path, _)| matches_file(path)),
            _ => sources.iter().any(|(path, text)| matches_file(path) && defines(text)),
        };
        if !exists {
            violations.push(format!("ARCHITECTURE.md: {name} does not exist"));
        }
    }
    assert!(named > 50, "only {named} names were found");
    expect_none(violations);
}

#[test]
fn the_connection_table_is_the_same_in_the_architecture_and_in_the_code() {
    let rows = |text: &str, mark: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.strip_prefix(mark))
            .filter(|row| row.starts_with("| "))
            .map(String::from)
            .collect()
    };
    let code = rows(&read("src/engine/conn.rs").expect("conn.rs exists"), "//! ");
    let map = read("ARCHITECTURE.md").expect("ARCHITECTURE.md exists");
    let (_, section) = map.split_once("## The connection record").expect("ARCHITECTURE.md has the table");
    let section = section.split("\n## ").next().unwrap_or_default();
    assert!(code.len() > 10, "{code:?}");
    assert_eq!(rows(section, ""), code);
}
