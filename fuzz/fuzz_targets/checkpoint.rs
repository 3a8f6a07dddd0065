#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dohle_log::fuzzing::checkpoint(input));
