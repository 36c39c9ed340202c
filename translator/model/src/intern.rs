//! One copy of each text that many objects repeat (node names, namespaces, labels).

use std::collections::HashSet;
use std::sync::Arc;

use crate::Name;

/// Hands out shared copies of texts. Texts nobody else holds any more are dropped from time to
/// time, so that names that come and go do not add up.
#[derive(Debug, Default)]
pub struct Interner {
    names: HashSet<Name>,
    sweep_at: usize,
}

/// Below this many texts a sweep is not worth its walk.
const SWEEP_FLOOR: usize = 1024;

impl Interner {
    /// The shared copy of `text`.
    pub fn intern(&mut self, text: &str) -> Name {
        if let Some(name) = self.names.get(text) {
            return name.clone();
        }
        self.insert(Arc::from(text))
    }

    /// Replaces `name` with the shared copy of the same text.
    pub fn share(&mut self, name: &mut Name) {
        match self.names.get(&**name) {
            Some(known) => *name = known.clone(),
            None => {
                self.insert(name.clone());
            }
        }
    }

    fn insert(&mut self, name: Name) -> Name {
        // Sweeping only when the set has doubled keeps the cost per insertion constant.
        if self.names.len() >= self.sweep_at.max(SWEEP_FLOOR) {
            self.names.retain(|name| Arc::strong_count(name) > 1);
            self.sweep_at = self.names.len() * 2;
        }
        self.names.insert(name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_one_allocation() {
        let mut interner = Interner::default();
        let first = interner.intern("node-a");
        let mut second: Name = "node-a".into();
        interner.share(&mut second);
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn texts_nobody_holds_are_forgotten() {
        let mut interner = Interner::default();
        let kept = interner.intern("kept");
        for n in 0..10 * SWEEP_FLOOR {
            interner.intern(&format!("pod-{n}"));
        }
        assert!(interner.names.len() <= 2 * SWEEP_FLOOR);
        assert!(Arc::ptr_eq(&kept, &interner.intern("kept")));
    }
}
