//! `cargo +nightly fuzz run decoder corpus/decoder seeds` in the crate's folder `fuzz`.
#![no_main]

#[path = "../exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|data: &[u8]| exercise::decoder(data));
