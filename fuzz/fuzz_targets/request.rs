#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dohle_protocol::fuzzing::request(input));
