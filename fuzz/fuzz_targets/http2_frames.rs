#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fleeting_testkit::fuzz::http2_frames(bytes));
