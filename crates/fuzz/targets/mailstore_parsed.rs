#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mailstore::parsed::fuzz::message(bytes));
