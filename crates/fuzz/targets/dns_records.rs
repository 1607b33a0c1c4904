#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dns::health::fuzz::records(bytes));
