//! Any bytes as a configuration file.
#![no_main]

#[expect(dead_code, reason = "the other target uses it")]
#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::configuration(bytes));
