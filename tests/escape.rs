//! What is fleeting does not get out: each way that was tried does not compile, and its twin, which
//! keeps a copy, does.
//!
//! The expected messages are those of the toolchain that Cargo.toml states. After a change, run this
//! with `TRYBUILD=overwrite` and read what has changed.

#[test]
fn what_is_fleeting_does_not_get_out() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/escape/*_escapes.rs");
    cases.pass("tests/escape/*_kept.rs");
}

#[test]
fn each_way_out_has_its_twin() {
    let names = |ending: &str| -> Vec<String> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/escape");
        let files = std::fs::read_dir(folder).expect("the cases are there");
        let names = files.map(|file| file.expect("a file").file_name().into_string().expect("ASCII"));
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
