//! In the folder `fuzz`: `mkdir -p corpus/decoder && cargo +nightly fuzz run decoder corpus/decoder seeds`.
#![no_main]

#[path = "../exercise.rs"]
mod exercise;

libfuzzer_sys::fuzz_target!(|data: &[u8]| exercise::decoder(data));
