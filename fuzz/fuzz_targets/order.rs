#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| keyroll_fuzz::order(data));
