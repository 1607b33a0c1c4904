#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mailstore::import::fuzz::mbox(bytes));
