#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pack::fuzz::bundle(bytes));
