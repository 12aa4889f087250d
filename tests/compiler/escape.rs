//! Borrowed data cannot escape: each attempt fails to compile, and its counterpart, which keeps a copy, compiles and runs.
//!
//! docs/lesson.md quotes some of the messages. Some of the errors come only when code is generated, so the cases must not
//! merely be checked: one that passes makes trybuild build them.

/// The counterparts are part of this program: building each as a program of its own would build every dependency again.
macro_rules! counterparts {
    ($($name:ident)*) => {
        $(mod $name {
            include!(concat!("escape/", stringify!($name), "_kept.rs"));

            pub fn run() {
                main();
            }
        })*

        const COUNTERPARTS: &[(&str, fn())] = &[$((stringify!($name), $name::run)),*];
    };
}

counterparts! {
    arena_text_after_a_reset
    body_sent_to_a_thread
    conn_id_from_an_index
    global_map
    global_map_without_a_lock
    header_in_a_list
    header_in_a_session
    key_of_a_shared_map
    message_in_a_session
    request_in_a_thread
    response_in_a_cache
    shared_map_without_a_lock
    socket_in_a_list
    store_value_in_a_list
    type_with_drop_in_the_arena
    value_of_a_shared_map
    value_with_drop_in_a_layer
}

/// Adds a case for each escape. The counterpart makes trybuild build all of them.
pub fn add_to(cases: &trybuild::TestCases) {
    cases.compile_fail("escape/*_escapes.rs");
    cases.pass("escape/global_map_kept.rs");
}

#[test]
fn every_counterpart_runs() {
    COUNTERPARTS.iter().for_each(|(_, run)| run());
}

#[test]
fn every_escape_has_a_counterpart() {
    let names = |ending: &str| -> Vec<String> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/escape");
        let files = std::fs::read_dir(folder).expect("the folder exists");
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
    assert_eq!(escapes, names("_escapes.stderr"));
    let kept = names("_kept.rs");
    assert_eq!(escapes, kept);
    assert_eq!(kept, COUNTERPARTS.iter().map(|(name, _)| (*name).to_string()).collect::<Vec<_>>());
}
