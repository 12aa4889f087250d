//! The repository keeps its own rules: no circles of imports, floors, rooms for outer crates, names, sizes, links.
//!
//! `cargo test --test structure -- --nocapture` lists what it has read and every violation. Each rule is a function from texts to
//! violations, so it is itself tested on violations planted beside it.

mod imports;
mod links;
mod rules;
mod tree;

use imports::{circles, imports, out_of_room, upward};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use tree::Tree;

/// The crates of the repository, by their root files.
const CRATES: &[&str] = &[
    "src/lib.rs",
    "crates/store/src/lib.rs",
    "crates/program/src/main.rs",
    "crates/testkit/src/lib.rs",
    "tests/main.rs",
    "tests/structure/main.rs",
    "crates/store/tests/main.rs",
    "crates/program/tests/main.rs",
    "examples/bench_server/main.rs",
    "benches/openload/src/main.rs",
    "benches/uring/src/main.rs",
    "benches/wsload/src/main.rs",
    "tests/sanitizer/planted/src/main.rs",
];

/// The floor of each module of the library. Imports go down, or stay on a floor.
const FLOORS: &[(&str, u8)] = &[
    ("arena", 0),
    ("keep", 0),
    ("panics", 0),
    ("buffer", 0),
    ("time", 0),
    ("config", 0),
    ("reasons", 0),
    ("http1", 1),
    ("ws", 1),
    ("pubsub", 2),
    ("transport", 2),
    ("files", 2),
    ("app", 3),
    ("engine", 4),
    ("server", 5),
];

/// Neighbours on one floor that must not know each other.
const STRANGERS: &[(&str, &str)] = &[("http1", "ws")];

/// The modules of the library that may name an outer crate.
const ROOMS: &[(&str, &[&str])] = &[
    ("bumpalo", &["arena"]),
    ("httparse", &["http1"]),
    ("wide", &["http1"]),
    ("tungstenite", &["ws"]),
    ("zlib_rs", &["ws"]),
    ("ahash", &["pubsub", "app"]),
    ("rustix", &["files", "transport"]),
    ("matchit", &["app"]),
    ("serde", &["app"]),
    ("serde_json", &["app"]),
    ("slab", &["engine", "pubsub"]),
    ("mio", &["engine", "transport"]),
    ("socket2", &["server"]),
];

/// Source files that may say `unsafe`. Each needs a line in ARCHITECTURE.md that says why.
const UNSAFE_ALLOWED: &[&str] = &[];

/// Unsound on purpose: a program for AddressSanitizer to stop, in a crate of its own.
const UNSOUND: &str = "tests/sanitizer/planted/src/main.rs";

/// Source files of more than [`rules::FILE_LINES_MAX`] lines before their tests, and why they are one idea.
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

/// Files below `folder` that end in `.{extension}`: path below the root, and text.
fn files(folder: &str, extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let entry = entry.expect("an entry of a folder that was just opened");
            let (path, name) = (entry.path(), entry.file_name());
            let built = name == "target" || name.to_string_lossy().starts_with('.');
            if path.is_dir() && !built {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                let below = path.strip_prefix(root()).expect("it was found below the root");
                let below = below.to_string_lossy().into_owned();
                let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{below}: {e}"));
                found.push((below, text));
            }
        }
    }
    found.sort();
    found
}

/// The source files of the packages, without tests and benches.
fn sources() -> Vec<(String, String)> {
    let all = ["src", "crates/store/src", "crates/program/src", "crates/testkit/src"]
        .map(|folder| files(folder, "rs"));
    assert!(all.iter().all(|files| !files.is_empty()), "a package has no source");
    all.concat()
}

fn library() -> Tree {
    Tree::read("src/lib.rs", &read)
}

#[track_caller]
fn none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
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
    none(found);
}

#[test]
fn imports_go_down_the_floors() {
    none(upward(&imports(&library()), FLOORS, STRANGERS));
}

#[test]
fn outer_crates_stay_in_their_rooms() {
    none(out_of_room(&library(), ROOMS));
}

/// A rule about what does not exist checks nothing.
#[test]
fn every_rule_names_what_exists() {
    let mut wrong = Vec::new();
    let lib = library();
    let exists = |module: &str| lib.modules.iter().any(|known| known.path == [module]);
    let manifest = read("Cargo.toml").expect("the library has a manifest");
    let (_, dependencies) = manifest.split_once("\n[dependencies]\n").expect("it has dependencies");
    let (dependencies, _) = dependencies.split_once("\n[dev-dependencies]").expect("and more for tests");
    let names = dependencies
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split([' ', '.']).next());
    let names: BTreeSet<String> =
        names.filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect();
    for (module, _) in FLOORS.iter().filter(|(module, _)| !exists(module)) {
        wrong.push(format!("FLOORS: there is no module {module}"));
    }
    for (name, modules) in ROOMS {
        if !names.contains(*name) {
            wrong.push(format!("ROOMS: the library does not depend on {name}"));
        }
        wrong.extend(modules.iter().filter(|m| !exists(m)).map(|m| format!("ROOMS: there is no module {m}")));
    }
    let roomless = names.iter().filter(|name| !ROOMS.iter().any(|(known, _)| known == name));
    wrong.extend(roomless.map(|name| format!("ROOMS: {name} has no room")));
    for (a, b) in STRANGERS.iter().filter(|(a, b)| !exists(a) || !exists(b)) {
        wrong.push(format!("STRANGERS: there is no {a} or no {b}"));
    }
    let all_files =
        CRATES.iter().chain(UNSAFE_ALLOWED).chain([&UNSOUND]).chain(LONG_FILES.iter().map(|(file, _)| file));
    wrong.extend(
        all_files.filter(|file| !root().join(file).exists()).map(|file| format!("there is no {file}")),
    );
    none(wrong);
}

#[test]
fn sources_are_in_shape() {
    let is_long = |path: &str| LONG_FILES.iter().any(|(long, _)| *long == path);
    none(sources().iter().flat_map(|(path, text)| rules::shape(path, text, is_long(path))).collect());
}

#[test]
fn unsafe_code_is_in_one_place() {
    let folders = ["src", "crates", "tests", "examples", "fuzz", "benches/cases"];
    let all = folders.map(|folder| files(folder, "rs")).concat();
    let allowed = |path: &str| path == UNSOUND || UNSAFE_ALLOWED.contains(&path);
    let found: Vec<_> = all.iter().filter(|(path, _)| !allowed(path)).collect();
    none(found.iter().flat_map(|(path, text)| rules::unsafe_lines(path, text)).collect());
    let unsound = read(UNSOUND).expect("it exists");
    assert!(!rules::unsafe_lines(UNSOUND, &unsound).is_empty(), "{UNSOUND} is sound");
}

#[test]
fn nothing_is_unfinished_ignored_or_asleep() {
    let all = ["src", "crates", "tests"].map(|folder| files(folder, "rs")).concat();
    none(all.iter().flat_map(|(path, text)| rules::unfinished(path, text)).collect());
}

#[test]
fn documents_exist_and_their_links_lead_somewhere() {
    let mut wrong = Vec::new();
    for name in DOCUMENTS.iter().filter(|name| !root().join(name).exists()) {
        wrong.push(format!("{name} does not exist"));
    }
    for (path, text) in files("", "md") {
        wrong.extend(links::broken_links(&path, &text, |meant| root().join(meant).exists()));
    }
    none(wrong);
}

/// The map names functions as `file.rs:function`, and files by the end of their paths.
#[test]
fn the_map_names_what_exists() {
    let map = read("ARCHITECTURE.md").expect("it exists");
    let sources = sources();
    let (mut named, mut wrong) = (0, Vec::new());
    for name in map.split('`').skip(1).step_by(2).filter(|name| name.contains(".rs")) {
        let (file, function) = name.split_once(':').unwrap_or((name, ""));
        let ends_so = |path: &str| path == file || path.ends_with(&format!("/{file}"));
        let defines = |text: &str| {
            let declared = format!("fn {function}");
            text.match_indices(&declared).any(|(at, _)| text[at + declared.len()..].starts_with(['(', '<']))
        };
        named += 1;
        let exists = match function {
            "" => root().join(file).exists() || sources.iter().any(|(path, _)| ends_so(path)),
            _ => sources.iter().any(|(path, text)| ends_so(path) && defines(text)),
        };
        if !exists {
            wrong.push(format!("ARCHITECTURE.md: there is no {name}"));
        }
    }
    assert!(named > 50, "only {named} names were found");
    none(wrong);
}

#[test]
fn the_table_of_connections_is_the_same_in_the_map_and_in_the_code() {
    let rows = |text: &str, mark: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.strip_prefix(mark))
            .filter(|row| row.starts_with("| "))
            .map(String::from)
            .collect()
    };
    let code = rows(&read("src/engine/conn.rs").expect("it exists"), "//! ");
    let map = read("ARCHITECTURE.md").expect("it exists");
    let (_, section) = map.split_once("## The connection record").expect("the map has the table");
    let section = section.split("\n## ").next().unwrap_or_default();
    assert!(code.len() > 10, "{code:?}");
    assert_eq!(rows(section, ""), code);
}
