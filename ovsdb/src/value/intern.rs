//! [`Interner`]: one allocation for strings that repeat.

use std::fmt;
use std::sync::Arc;

/// Power of two. 8,192 slots of 20 bytes are 160 KiB, and hold the keys and common values of a large database.
const SLOTS: usize = 8_192;
/// Longer strings hardly ever repeat (address lists, matches of access lists).
const MAX_LEN: usize = 128;

/// Shares the allocation of strings that repeat: map keys, names of nodes and owners, `"true"`.
///
/// A bounded cache and not a table of every string, so it never has to be cleaned: a string that is in
/// use in several places keeps its slot, a unique one gives way to the next.
pub struct Interner {
    /// Of each text a part of its hash, and in the lowest bits how often it was asked for again. Nearly always that is
    /// enough to know that a text is not here, and who must give way to it, without a look at those that are.
    tags: Vec<u32>,
    texts: Vec<Option<Arc<str>>>,
}

/// The bits of a tag that count.
const AGAIN: u32 = 0b11;
/// A text asked for again as often as this gives way only if nobody has it any more. Once is not often: what two columns
/// of one row have in common repeats in no other.
const OFTEN: u32 = 2;

impl Default for Interner {
    fn default() -> Self {
        Self::new()
    }
}

impl Interner {
    /// An empty cache; it allocates at its first use.
    pub fn new() -> Self {
        Self {
            tags: Vec::new(),
            texts: Vec::new(),
        }
    }

    /// A shared copy of `text`.
    pub fn intern(&mut self, text: &str) -> Arc<str> {
        if text.len() > MAX_LEN {
            return Arc::from(text);
        }
        if self.tags.is_empty() {
            self.tags.resize(SLOTS, 0);
            self.texts.resize(SLOTS, None);
        }
        let hash = hash(text.as_bytes());
        // The upper bits, because only those depend on all of the text.
        let first = usize::try_from(hash >> (u64::BITS - SLOTS.ilog2())).expect("below SLOTS");
        #[expect(clippy::cast_possible_truncation, reason = "the other bits have chosen the place")]
        let tag = hash as u32 & !AGAIN;
        let mut free = None;
        // Two places for each string, so that two popular ones that collide can both stay.
        for at in [first, first ^ 1] {
            let again = self.tags[at] & AGAIN;
            if self.tags[at] & !AGAIN == tag
                && let Some(known) = &self.texts[at]
                && **known == *text
            {
                self.tags[at] = tag | (again + 1).min(OFTEN);
                return Arc::clone(known);
            }
            // One user beside the cache itself: nothing was gained by keeping it.
            let in_use = |known: &Arc<str>| Arc::strong_count(known) > 2;
            if again < OFTEN || !self.texts[at].as_ref().is_some_and(in_use) {
                free = free.or(Some(at));
            }
        }
        let new: Arc<str> = Arc::from(text);
        if let Some(at) = free {
            self.tags[at] = tag;
            self.texts[at] = Some(Arc::clone(&new));
        }
        new
    }
}

/// Quick rather than hard to collide with: whoever takes the trouble gains that a text is stored twice.
fn hash(text: &[u8]) -> u64 {
    // An odd number without a pattern: the golden ratio, as in Knuth's multiplicative hashing.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: [u8; 8]| (hash.rotate_left(29) ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
    let (words, rest) = text.as_chunks();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let hash = words.iter().fold(text.len() as u64, |hash, &word| mix(hash, word));
    let hash = mix(hash, last);
    // The lower bits of a product do not depend on the upper ones of its factors.
    (hash ^ (hash >> 32)).wrapping_mul(FACTOR)
}

impl fmt::Debug for Interner {
    /// Without the cached strings: they say nothing, and they are many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interner").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_share_an_allocation() {
        let mut interner = Interner::new();
        let a = interner.intern("router-port");
        let b = interner.intern("router-port");
        assert!(Arc::ptr_eq(&a, &b));
    }

    #[test]
    fn a_flood_of_unique_strings_does_not_evict_a_shared_one() {
        let mut interner = Interner::new();
        let users: Vec<_> = (0..3).map(|_| interner.intern("popular")).collect();
        let unique: Vec<_> = (0..100_000).map(|i| interner.intern(&format!("unique-{i}"))).collect();
        assert!(Arc::ptr_eq(&users[0], &interner.intern("popular")));
        assert_eq!(&*unique[77], "unique-77");
    }
}
