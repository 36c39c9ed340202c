//! [`Engine`]: which units are dirty, what each contributed, and what became different.
//!
//! Knows no kind of unit: it is told which facts changed, has the units that read them compiled, and replaces what they
//! contributed before. A further kind needs nothing here.

use std::collections::{BTreeSet, HashMap, HashSet};

use ovsdb::Uuid;

use crate::desired::Output;
use crate::fact::Fact;
use crate::{Delta, Desired, LinkId, Problem, Unit};

#[derive(Debug, Default)]
pub(crate) struct Engine {
    desired: Desired,
    problems: BTreeSet<Problem>,
    units: HashMap<Unit, Contribution>,
    readers: HashMap<Fact, BTreeSet<Unit>>,
    dirty: BTreeSet<Unit>,
}

/// What a unit put into the whole when it last compiled, and what it read for that.
#[derive(Debug, Default)]
struct Contribution {
    rows: Box<[(&'static str, Uuid)]>,
    links: Box<[LinkId]>,
    problems: Box<[Problem]>,
    reads: Box<[Fact]>,
}

/// What compiling a unit yields.
#[derive(Debug, Default)]
pub(crate) struct Compiled {
    pub(crate) output: Output,
    /// The facts it read, those it is the home of aside.
    pub(crate) reads: BTreeSet<Fact>,
}

impl Engine {
    pub(crate) fn desired(&self) -> &Desired {
        &self.desired
    }

    pub(crate) fn problems(&self) -> &BTreeSet<Problem> {
        &self.problems
    }

    /// Has a unit compiled next time.
    pub(crate) fn mark(&mut self, unit: Unit) {
        self.dirty.insert(unit);
    }

    /// Has everything compiled next time.
    pub(crate) fn mark_all(&mut self) {
        self.dirty.extend(self.units.keys().cloned());
    }

    /// Has every unit compiled next time that depends on a fact.
    pub(crate) fn touch(&mut self, fact: &Fact) {
        self.dirty.extend(fact.home());
        if let Some(readers) = self.readers.get(fact) {
            self.dirty.extend(readers.iter().cloned());
        }
    }

    /// The units that depend on a fact, as of their last compile; units it is the home of aside.
    pub(crate) fn readers(&self, fact: &Fact) -> impl Iterator<Item = &Unit> {
        self.readers.get(fact).into_iter().flatten()
    }

    /// Whether anything is dirty.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Takes out what is dirty, to be given to [`Self::run`].
    pub(crate) fn take_dirty(&mut self) -> BTreeSet<Unit> {
        std::mem::take(&mut self.dirty)
    }

    /// The same of what comes before `bound`.
    pub(crate) fn take_dirty_before(&mut self, bound: &Unit) -> BTreeSet<Unit> {
        let rest = self.dirty.split_off(bound);
        std::mem::replace(&mut self.dirty, rest)
    }

    /// Compiles units in the order given and returns what became different. What goes away comes first in the delta, so
    /// that whoever writes in its order never has two rows with one address.
    pub(crate) fn run(&mut self, units: impl IntoIterator<Item = Unit>, compile: impl Fn(&Unit) -> Compiled) -> Delta {
        let mut gone = Vec::new();
        let mut delta = Delta::default();
        for unit in units {
            let compiled = compile(&unit);
            self.absorb(unit, compiled, &mut gone, &mut delta);
        }
        gone.append(&mut delta.rows);
        delta.rows = gone;
        delta
    }

    fn absorb(
        &mut self,
        unit: Unit,
        Compiled { output, reads }: Compiled,
        gone: &mut Vec<(&'static str, Uuid)>,
        delta: &mut Delta,
    ) {
        delta.units += 1;
        let old = self.units.remove(&unit).unwrap_or_default();
        let rows: Box<[_]> = output.rows.iter().map(|row| (row.table, row.uuid)).collect();
        let links: Box<[_]> = output.links.iter().map(crate::Link::id).collect();

        for &(table, uuid) in without(&old.rows, &rows) {
            self.desired.remove(table, uuid);
            gone.push((table, uuid));
        }
        for row in output.rows {
            let id = (row.table, row.uuid);
            if self.desired.put(row) {
                delta.rows.push(id);
            }
        }
        for link in without(&old.links, &links) {
            if self.desired.unlink(link, &unit) {
                delta.links.push(link.clone());
            }
        }
        for link in output.links {
            let id = link.id();
            if self.desired.link(link) {
                delta.links.push(id);
            }
        }
        for problem in &old.problems {
            self.problems.remove(problem);
        }
        self.problems.extend(output.problems.iter().cloned());
        self.note_reads(&unit, &old.reads, &reads);

        let contribution = Contribution {
            rows,
            links,
            problems: output.problems.into(),
            reads: reads.into_iter().collect(),
        };
        if !contribution.is_empty() {
            self.units.insert(unit, contribution);
        }
    }

    fn note_reads(&mut self, unit: &Unit, old: &[Fact], new: &BTreeSet<Fact>) {
        for fact in old.iter().filter(|fact| !new.contains(fact)) {
            if let Some(readers) = self.readers.get_mut(fact) {
                readers.remove(unit);
                if readers.is_empty() {
                    self.readers.remove(fact);
                }
            }
        }
        for fact in new {
            if let Some(readers) = self.readers.get_mut(fact) {
                readers.insert(unit.clone());
            } else {
                self.readers.insert(fact.clone(), BTreeSet::from([unit.clone()]));
            }
        }
    }
}

impl Contribution {
    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.links.is_empty() && self.problems.is_empty() && self.reads.is_empty()
    }
}

/// The elements of `old` that are not in `new`.
fn without<'a, T: Eq + std::hash::Hash>(old: &'a [T], new: &'a [T]) -> impl Iterator<Item = &'a T> {
    // Most units have a handful of rows, some (address sets) many links.
    let many: Option<HashSet<&T>> = (new.len() > 16 && old != new).then(|| new.iter().collect());
    let same = old == new;
    old.iter().filter(move |item| {
        !same
            && !many
                .as_ref()
                .map_or_else(|| new.contains(item), |new| new.contains(item))
    })
}
