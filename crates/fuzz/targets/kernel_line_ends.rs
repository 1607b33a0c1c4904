#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kernel::fuzz::line_ends(bytes));
