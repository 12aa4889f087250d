//! The load that trains a profile-guided build gets the answers that it expects.

use std::process::Command;

#[test]
fn the_training_of_a_profile_guided_build_fits_the_program() {
    let build = concat!(env!("CARGO_MANIFEST_DIR"), "/profile-guided/build");
    let status = Command::new(build).args(["--check", env!("CARGO_BIN_EXE_fleeting")]).status();
    assert!(status.expect("python3 is installed").success());
}
