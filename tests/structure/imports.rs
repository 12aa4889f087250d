//! Finds circular imports between files, imports from a higher floor, and external crates used outside their modules.

use crate::tree::{Found, Tree};
use std::collections::{BTreeMap, BTreeSet};

/// An import of one file from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    pub from: String,
    pub line: usize,
    pub to: String,
    /// The imported path as it is written.
    pub path: String,
    /// The modules of `from` and `to`, each as a path from the crate's root.
    pub modules: (Vec<String>, Vec<String>),
    pub in_test: bool,
}

/// Returns all imports between files of a crate. Importing a re-exported name counts as an import from the file that
/// defines it, so a `pub use` itself is not an import.
pub fn imports(tree: &Tree) -> Vec<Import> {
    let mut found = Vec::new();
    for (index, module) in tree.modules.iter().enumerate() {
        for mention in module.mentions.iter().filter(|mention| !mention.is_reexport) {
            let to = match tree.resolve(index, &mention.path) {
                // A path of one name is a value here, even if a module has the same name.
                Some(Found::Module(_)) if mention.path.len() == 1 => continue,
                Some(Found::Module(to) | Found::ItemOf(to)) => to,
                None => continue,
            };
            let target = &tree.modules[to];
            if target.file != module.file {
                found.push(Import {
                    from: module.file.clone(),
                    line: mention.line,
                    to: target.file.clone(),
                    path: mention.path.join("::"),
                    modules: (module.path.clone(), target.path.clone()),
                    in_test: mention.in_test,
                });
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Returns the circles of files that import each other, each described by its imports. Imports in tests do not count.
pub fn circles(imports: &[Import]) -> Vec<String> {
    let mut arrows: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for import in imports.iter().filter(|import| !import.in_test) {
        arrows.entry(&import.from).or_default().insert(&import.to);
    }
    let reached = |from: &str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(file) = next.pop() {
            for to in arrows.get(file).into_iter().flatten() {
                if seen.insert(*to) {
                    next.push(to);
                }
            }
        }
        seen
    };
    let all: BTreeMap<&str, BTreeSet<&str>> = arrows.keys().map(|file| (*file, reached(file))).collect();
    let mut reported: BTreeSet<&str> = BTreeSet::new();
    let mut found = Vec::new();
    for (file, reached) in &all {
        if !reached.contains(file) || reported.contains(file) {
            continue;
        }
        let members: BTreeSet<&str> = reached
            .iter()
            .copied()
            .filter(|other| all.get(other).is_some_and(|back| back.contains(file)))
            .collect();
        let mut ties: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
        for import in imports.iter().filter(|import| !import.in_test) {
            if members.contains(&*import.from) && members.contains(&*import.to) {
                let names = ties.entry((&import.from, &import.to)).or_default();
                let (name, line) = (import.path.rsplit("::").next().unwrap_or_default(), import.line);
                if !names.iter().any(|known| known.starts_with(&format!("{name} "))) {
                    names.push(format!("{name} (line {line})"));
                }
            }
        }
        let mut text = format!("a circle of {} files:", members.len());
        for ((from, to), names) in ties {
            text += &format!("\n  {from} -> {to}: {}", names.join(", "));
        }
        reported.extend(members);
        found.push(text);
    }
    found
}

/// Returns the imports from a higher floor, between `strangers` or from the crate's root, and the modules without a
/// floor. `floors` assigns a floor to each top-level module.
pub fn upward(imports: &[Import], floors: &[(&str, u8)], strangers: &[(&str, &str)]) -> Vec<String> {
    let floor = |module: &str| floors.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor);
    let mut violations = BTreeSet::new();
    for import in imports {
        let (from, to) = (import.modules.0.first(), import.modules.1.first());
        // The root only declares modules and re-exports names, so it has no floor.
        let Some(from) = from else { continue };
        let Some(to) = to else {
            violations.insert(format!(
                "{}:{}: imports {} from the crate's root",
                import.from, import.line, import.path
            ));
            continue;
        };
        let at = format!("{}:{}: `{from}`", import.from, import.line);
        match (floor(from), floor(to)) {
            (Some(own), Some(other)) if other > own => {
                violations.insert(format!("{at} (floor {own}) imports `{to}` (floor {other})"));
            }
            (Some(_), Some(_)) => {}
            (own, _) => {
                let module = if own.is_none() { from } else { to };
                violations
                    .insert(format!("{at}: module `{module}` has no floor: give it one in tests/structure"));
            }
        }
        if strangers.iter().any(|(a, b)| {
            (from, to) == (&(*a).into(), &(*b).into()) || (to, from) == (&(*a).into(), &(*b).into())
        }) {
            violations.insert(format!("{at} must not import `{to}`"));
        }
    }
    violations.into_iter().collect()
}

/// Returns the uses of external crates outside the modules that may use them.
pub fn out_of_room(tree: &Tree, rooms: &[(&str, &[&str])]) -> Vec<String> {
    let mut violations = BTreeSet::new();
    for (index, module) in tree.modules.iter().enumerate() {
        let own = module.path.first().map_or("the root", String::as_str);
        for mention in &module.mentions {
            let Some((name, allowed)) = rooms.iter().find(|(name, _)| *name == mention.path[0]) else {
                continue;
            };
            // A name that resolves within the crate is not an external crate.
            let is_outer = mention.path.len() > 1 && tree.resolve(index, &mention.path[..1]).is_none();
            if is_outer && !allowed.contains(&own) {
                violations.insert(format!(
                    "{}:{}: `{name}` is used outside {}",
                    module.file,
                    mention.line,
                    allowed.join(", ")
                ));
            }
        }
    }
    violations.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planted::expect_violations;

    fn planted(files: &[(&str, &str)]) -> Tree {
        let read =
            |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_string());
        Tree::read(files[0].0, &read)
    }

    #[track_caller]
    fn check(files: &[(&str, &str)], expected: &[&str]) {
        expect_violations(circles(&imports(&planted(files))), expected);
    }

    #[test]
    fn a_circle_is_found() {
        let root = ("src/lib.rs", "mod a;\nmod b;\nmod c;");
        let [a, c] = [("src/a.rs", "use crate::b::B;\npub struct A;"), ("src/c.rs", "")];
        check(&[root, a, ("src/b.rs", "pub struct B;"), c], &[]);
        check(
            &[root, a, ("src/b.rs", "pub struct B(super::a::A);"), c],
            &["src/b.rs -> src/a.rs: A (line 1)"],
        );
        check(
            &[
                root,
                a,
                ("src/b.rs", "use super::c::C; pub struct B;"),
                ("src/c.rs", "use crate::a; pub struct C;"),
            ],
            &["a circle of 3 files"],
        );
        // In a macro call, and through an alias of a module.
        check(
            &[root, a, ("src/b.rs", "pub struct B;\nfn f() { assert!(crate::a::A == 1) }"), c],
            &["src/b.rs -> src/a.rs: A (line 2)"],
        );
        check(
            &[root, a, ("src/b.rs", "use crate::a;\npub struct B;\nfn f() { a::f() }"), c],
            &["src/b.rs -> src/a.rs: a (line 1)"],
        );
    }

    #[test]
    fn a_re_exported_name_is_imported_from_the_file_that_defines_it() {
        let root = ("src/lib.rs", "mod app;");
        let face =
            ("src/app/mod.rs", "mod body;\nmod response;\npub use body::Body;\npub use response::Response;");
        let body = ("src/app/body.rs", "pub struct Body;");
        check(
            &[root, face, body, ("src/app/response.rs", "use super::Body; pub struct Response(Body);")],
            &[],
        );
        let circle = ("src/app/body.rs", "use super::Response; pub struct Body(Response);");
        check(
            &[root, face, circle, ("src/app/response.rs", "use super::*; pub struct Response(Body);")],
            &["src/app/body.rs -> src/app/response.rs: Response (line 1)"],
        );
    }

    #[test]
    fn a_parent_may_re_export_a_child_that_imports_it_but_not_use_it() {
        let root = ("src/lib.rs", "mod a;");
        let child = ("src/a/b.rs", "use super::A; pub struct B(A);");
        check(&[root, ("src/a/mod.rs", "mod b;\npub use b::B;\npub struct A;"), child], &[]);
        check(
            &[root, ("src/a/mod.rs", "mod b;\npub struct A(b::B);"), child],
            &["src/a/mod.rs -> src/a/b.rs: B (line 2)"],
        );
        check(
            &[root, ("src/a/mod.rs", "mod b;\npub use b::B;\npub struct A(B);"), child],
            &["src/a/mod.rs -> src/a/b.rs: B (line 3)"],
        );
    }

    #[test]
    fn the_modules_of_a_file_that_an_attribute_names_lie_beside_it() {
        let root = ("tests/main.rs", "#[path = \"../examples/app/mod.rs\"]\nmod service;");
        let (app, a) = (
            ("examples/app/mod.rs", "mod a;\nmod b;"),
            ("examples/app/a.rs", "use super::b::B; pub struct A;"),
        );
        check(&[root, app, a, ("examples/app/b.rs", "pub struct B;")], &[]);
        check(
            &[root, app, a, ("examples/app/b.rs", "pub struct B(super::a::A);")],
            &["examples/app/b.rs -> examples/app/a.rs: A (line 1)"],
        );
    }

    #[test]
    fn imports_in_tests_do_not_count() {
        let root = ("src/lib.rs", "mod a;\nmod b;");
        let a = ("src/a.rs", "use crate::b::B;\npub struct A;");
        check(&[root, a, ("src/b.rs", "pub struct B;\n#[cfg(test)]\nmod tests { use crate::a::A; }")], &[]);
    }

    #[test]
    fn an_import_from_a_higher_floor_is_found() {
        let check = |text: &str, expected: &[&str]| {
            let files = [
                ("src/lib.rs", "mod app; mod arena; mod http1; mod ws; mod lounge; pub use arena::Arena;"),
                ("src/app.rs", "pub struct Request;"),
                ("src/arena.rs", "pub struct Arena;"),
                ("src/ws.rs", "pub struct Frame;"),
                ("src/lounge.rs", "pub struct Chair;"),
                ("src/http1.rs", text),
            ];
            let violations = upward(
                &imports(&planted(&files)),
                &[("arena", 0), ("http1", 1), ("ws", 1), ("app", 3)],
                &[("http1", "ws")],
            );
            expect_violations(violations, expected);
        };
        check("use crate::arena::Arena;", &[]);
        check("use crate::Arena;", &[]);
        check("use crate::app::Request;", &["src/http1.rs:1: `http1` (floor 1) imports `app` (floor 3)"]);
        check("\nfn f() -> crate::app::Request { g() }", &["src/http1.rs:2"]);
        check("#[cfg(test)]\nmod tests { use super::super::app; }", &["src/http1.rs:2"]);
        check("// crate::app\nconst A: &str = \"crate::app\";", &[]);
        check("use crate::ws::Frame;", &["must not import `ws`"]);
        check("use crate::lounge::Chair;", &["module `lounge` has no floor"]);
    }

    #[test]
    fn an_external_crate_outside_its_modules_is_found() {
        let check = |text: &str, expected: &[&str]| {
            let files = [
                ("src/lib.rs", "mod arena; mod app;"),
                ("src/arena.rs", "use bumpalo::Bump;"),
                ("src/app.rs", text),
            ];
            let violations = out_of_room(&planted(&files), &[("bumpalo", &["arena"])]);
            expect_violations(violations, expected);
        };
        check("", &[]);
        check("use bumpalo::Bump;", &["src/app.rs:1: `bumpalo` is used outside arena"]);
        check("\nfn f(bump: &::bumpalo::Bump) {}", &["src/app.rs:2"]);
        check("mod bumpalo { pub struct Bump; } use bumpalo::Bump;", &[]);
    }
}
