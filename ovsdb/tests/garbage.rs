//! The fuzz target's seeds, cut and damaged in every place: a quick stand-in where nobody runs the fuzzer.
#![allow(clippy::unwrap_used, reason = "these are tests, and so are their helpers")]

#[path = "../fuzz/exercise.rs"]
mod exercise;

use std::path::Path;

fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let entries = std::fs::read_dir(folder).unwrap();
    let seeds: Vec<_> = entries
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert!(seeds.len() > 4);
    seeds
}

#[test]
fn seeds_cut_off_anywhere_do_no_harm() {
    for seed in seeds() {
        for end in 0..=seed.len() {
            exercise::decoder(&seed[..end]);
        }
    }
}

#[test]
fn seeds_damaged_anywhere_do_no_harm() {
    for seed in seeds() {
        for at in 0..seed.len() {
            for noise in *b"\"0[]{}\\\xff" {
                let mut bytes = seed.clone();
                bytes[at] = noise;
                exercise::decoder(&bytes);
            }
        }
    }
}

#[test]
fn deep_nesting_does_no_harm() {
    for open in ["[", "{\"a\":", "[\"set\",["] {
        exercise::decoder(open.repeat(100_000).as_bytes());
    }
}
