//! Borrowed data cannot escape: each attempt fails to compile, and its counterpart, which keeps a copy, compiles.
//!
//! The expected messages come from the toolchain named in Cargo.toml. After a change, run this test with
//! `TRYBUILD=overwrite` and review the differences. docs/lesson.md quotes some of the messages.

#[test]
fn every_escape_is_a_compile_error() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/escape/*_escapes.rs");
    cases.pass("tests/escape/*_kept.rs");
}

#[test]
fn every_escape_has_a_counterpart() {
    let names = |ending: &str| -> Vec<String> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/escape");
        let files = std::fs::read_dir(folder).expect("tests/escape exists");
        let names = files.map(|file| {
            file.expect("a readable directory").file_name().into_string().expect("an ASCII file name")
        });
        let mut names: Vec<_> =
            names.filter_map(|name| name.strip_suffix(ending).map(str::to_string)).collect();
        names.sort();
        names
    };
    let escapes = names("_escapes.rs");
    assert!(escapes.len() >= 16, "{escapes:?}");
    assert_eq!(escapes, names("_kept.rs"));
    assert_eq!(escapes, names("_escapes.stderr"));
}
