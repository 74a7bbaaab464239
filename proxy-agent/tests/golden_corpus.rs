//! The corpus of the fuzz targets, and every crasher among it, held to what must hold of any input: whole, cut anywhere, and with
//! thousands of edits. The same edits each time.

#[path = "../fuzz/checks.rs"]
mod checks;

use std::fs;
use std::path::Path;

/// Edited copies of each file; all of them together take seconds.
const COPIES: u32 = 150;
/// What people write where something else belongs.
const WORDS: [&str; 16] = [
    "null",
    "[]",
    "{}",
    "\"\"",
    "-1",
    "0",
    "65536",
    "99999999999999999999",
    "true",
    "a: b",
    "\n---\n",
    "&a [*a]",
    "1e999",
    "::",
    "10.0.0.0/33",
    "\t",
];

fn replay(name: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let files: Vec<_> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(files.len() >= 5, "the corpus is there");
    let mut dice = Dice(0x5eed);
    for (path, bytes) in paths.iter().zip(&files) {
        println!("{}", path.display());
        check(bytes);
        (0..bytes.len()).step_by(bytes.len() / 40 + 1).for_each(|end| check(&bytes[..end]));
        for _ in 0..COPIES {
            let other = &files[dice.below(files.len())];
            check(&edited(bytes, other, &mut dice));
        }
    }
}

/// A copy with up to three edits.
fn edited(bytes: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    for _ in 0..=dice.below(3) {
        let (from, other_from) = (dice.below(copy.len() + 1), dice.below(other.len()));
        let to = (from + dice.below(24)).min(copy.len());
        let piece = match dice.below(5) {
            0 => Vec::new(),
            1 => vec![b' ' + dice.below(95) as u8],
            2 => other[other_from..(other_from + 60).min(other.len())].to_vec(),
            3 => copy[from..to].repeat(3),
            _ => WORDS[dice.below(WORDS.len())].into(),
        };
        copy.splice(from..to, piece);
    }
    copy
}

/// Xorshift.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// All that a script applies, as one file.
fn applied(script: &str) -> String {
    let sections = script.split("\n-- ").filter_map(|section| section.strip_prefix("apply --\n"));
    sections.map(|yaml| yaml.trim_end().to_owned() + "\n").collect::<Vec<_>>().join("---\n")
}

/// The scripts say all that a cluster can say: each is a file of the corpus. `SLUICE_GOLDEN=write` writes them anew.
#[test]
fn the_corpus_has_what_the_scripts_apply() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let write = std::env::var("SLUICE_GOLDEN").is_ok_and(|value| value == "write");
    for script in fs::read_dir(here.join("tests/golden")).unwrap() {
        let script = script.unwrap().path();
        let yaml = applied(&fs::read_to_string(&script).unwrap());
        let file = here.join("fuzz/corpus/manifests").join(script.file_stem().unwrap()).with_extension("yaml");
        if write {
            fs::write(&file, &yaml).unwrap();
        }
        assert!(fs::read_to_string(&file).is_ok_and(|held| held == yaml), "{}: SLUICE_GOLDEN=write writes it", file.display());
    }
}

#[test]
fn manifests() {
    replay("manifests", checks::manifests);
}

#[test]
fn configuration() {
    replay("configuration", checks::configuration);
}
