//! A table of nftables as text: whole, or what turns one into another. Must not do I/O.
//!
//! A table of a thousand services takes nft seconds to write where each has a chain of its own; the difference that one of
//! them makes takes some milliseconds.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Family and name.
pub(super) const TABLE: &str = "inet meridian";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    sets: BTreeMap<String, Set>,
    chains: BTreeMap<String, Chain>,
}

/// A set, or a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    keyword: &'static str,
    declaration: String,
    /// Keys and, in a map, values.
    elements: BTreeMap<String, String>,
    /// Packets add the elements, and what they added is to be kept.
    learned: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Chain {
    /// Type, hook and priority of a base chain; empty in others.
    hook: String,
    rules: Vec<String>,
}

/// What a table that is there consists of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Present {
    /// `set` or `map`, and name.
    pub(super) sets: Vec<(String, String)>,
    pub(super) chains: Vec<String>,
}

impl Set {
    pub(super) fn plain(declaration: impl Into<String>) -> Self {
        Self {
            keyword: "set",
            declaration: declaration.into(),
            elements: BTreeMap::new(),
            learned: false,
        }
    }

    pub(super) fn map(declaration: impl Into<String>) -> Self {
        Self {
            keyword: "map",
            ..Self::plain(declaration)
        }
    }

    /// A set that packets fill. Whatever is part of its declaration must be part of its name.
    pub(super) fn learned(declaration: impl Into<String>) -> Self {
        Self {
            learned: true,
            ..Self::plain(declaration)
        }
    }

    /// Adds an element; its value is empty in a set.
    pub(super) fn insert(&mut self, key: String, value: String) {
        self.elements.insert(key, value);
    }
}

impl Table {
    pub(super) fn add_set(&mut self, name: impl Into<String>, set: Set) {
        self.sets.insert(name.into(), set);
    }

    /// Adds a chain; `hook` is empty for one that others jump to.
    pub(super) fn add_chain(&mut self, name: impl Into<String>, hook: &str, rules: Vec<String>) {
        let hook = hook.to_owned();
        self.chains.insert(name.into(), Chain { hook, rules });
    }

    /// Commands that put this table in the place of one that is there, of which sets that packets filled are kept.
    pub(super) fn replace(&self, present: &Present) -> String {
        let mut text = format!("add table {TABLE}\nflush table {TABLE}\n");
        for (keyword, name) in &present.sets {
            let kept = self.sets.get(name).is_some_and(|set| set.learned);
            if !kept {
                writeln!(text, "delete {keyword} {TABLE} {name}").ok();
            }
        }
        for name in &present.chains {
            writeln!(text, "delete chain {TABLE} {name}").ok();
        }
        text + &self.to_string()
    }

    /// Commands that turn a table that is as `before` into this one; `None` if base chains differ. They follow the host's
    /// ports in the VPC and not services, and so seldom change that the whole table may be written, in order.
    pub(super) fn difference(&self, before: &Self) -> Option<String> {
        let mut first = String::new();
        let mut last = String::new();
        let mut added = Self::default();
        for (name, set) in &self.sets {
            match before.sets.get(name) {
                None => added.add_set(name, set.clone()),
                Some(old) if old.declaration != set.declaration => return None,
                Some(old) => {
                    let gone = old
                        .elements
                        .iter()
                        .filter(|(key, value)| set.elements.get(*key) != Some(value));
                    let gone: Vec<_> = gone.map(|(key, _)| key.as_str()).collect();
                    if !gone.is_empty() {
                        writeln!(first, "delete element {TABLE} {name} {{ {} }}", gone.join(", ")).ok();
                    }
                    let mut new = set.clone();
                    new.elements.retain(|key, value| old.elements.get(key) != Some(value));
                    if !new.elements.is_empty() {
                        added.add_set(name, new);
                    }
                }
            }
        }
        for (name, old) in &before.chains {
            match self.chains.get(name) {
                Some(chain) if chain == old => continue,
                Some(chain) if chain.hook.is_empty() && old.hook.is_empty() => {}
                Some(_) => return None,
                None => {
                    writeln!(last, "delete chain {TABLE} {name}").ok();
                }
            }
            writeln!(first, "flush chain {TABLE} {name}").ok();
        }
        let changed = self
            .chains
            .iter()
            .filter(|(name, chain)| before.chains.get(*name) != Some(chain));
        added
            .chains
            .extend(changed.map(|(name, chain)| (name.clone(), chain.clone())));
        for (name, old) in before.sets.iter().filter(|(name, _)| !self.sets.contains_key(*name)) {
            writeln!(last, "delete {} {TABLE} {name}", old.keyword).ok();
        }
        // What goes must have nothing that refers to it: elements, then rules, then chains and sets.
        Some(first + &last + &added.to_string())
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "table {TABLE} {{")?;
        for (name, set) in &self.sets {
            let Set {
                keyword,
                declaration,
                elements,
                ..
            } = set;
            writeln!(f, "  {keyword} {name} {{\n    {declaration}")?;
            if !elements.is_empty() {
                f.write_str("    elements = { ")?;
                for (position, (key, value)) in elements.iter().enumerate() {
                    let comma = if position == 0 { "" } else { ", " };
                    let colon = if value.is_empty() { "" } else { " : " };
                    write!(f, "{comma}{key}{colon}{value}")?;
                }
                f.write_str(" }\n")?;
            }
            writeln!(f, "  }}")?;
        }
        for (name, chain) in &self.chains {
            writeln!(f, "  chain {name} {{")?;
            for line in [&chain.hook]
                .into_iter()
                .filter(|hook| !hook.is_empty())
                .chain(&chain.rules)
            {
                writeln!(f, "    {line}")?;
            }
            writeln!(f, "  }}")?;
        }
        writeln!(f, "}}")
    }
}

impl Present {
    /// Reads what `nft list table` prints.
    pub(super) fn read(listing: &str) -> Self {
        let mut present = Self::default();
        for line in listing.lines() {
            let mut words = line.split_whitespace();
            let (Some(keyword), Some(name), Some("{")) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            match keyword {
                "set" | "map" => present.sets.push((keyword.to_owned(), name.to_owned())),
                "chain" => present.chains.push(name.to_owned()),
                _ => {}
            }
        }
        present
    }
}

/// A listing without what packets added: nobody changed the table only because it is used.
pub(super) fn without_learned(listing: &str) -> String {
    let mut text = String::new();
    let mut dynamic = false;
    let mut skipping = false;
    for line in listing.lines() {
        let trimmed = line.trim();
        if trimmed.ends_with('{') && trimmed.split_whitespace().count() == 3 {
            dynamic = false;
        }
        dynamic |= trimmed.starts_with("flags ") && trimmed.contains("dynamic");
        skipping |= dynamic && trimmed.starts_with("elements = {");
        if !skipping {
            text.push_str(line);
            text.push('\n');
        }
        skipping &= !trimmed.ends_with('}');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(elements: &[(&str, &str)], chains: &[(&str, &str)]) -> Table {
        let mut table = Table::default();
        let mut map = Set::map("type inet_service : verdict");
        for (key, value) in elements {
            map.insert((*key).to_owned(), (*value).to_owned());
        }
        table.add_set("ports", map);
        for (name, rule) in chains {
            table.add_chain(*name, "", vec![(*rule).to_owned()]);
        }
        table
    }

    #[test]
    fn a_table_is_written_as_nft_reads_it() {
        let mut table = table(&[("80", "drop"), ("81", "goto web")], &[("web", "accept")]);
        table.add_chain("input", "type filter hook input priority 0; policy accept;", vec![]);
        let text = "table inet meridian {\n  map ports {\n    type inet_service : verdict\n    elements = { 80 : drop, \
                    81 : goto web }\n  }\n  chain input {\n    type filter hook input priority 0; policy accept;\n  }\n  \
                    chain web {\n    accept\n  }\n}\n";
        assert_eq!(table.to_string(), text);
    }

    #[test]
    fn a_difference_removes_what_refers_before_what_is_referred_to() {
        let before = table(
            &[("80", "goto web"), ("81", "goto api")],
            &[("web", "accept"), ("api", "drop")],
        );
        let after = table(
            &[("80", "goto new"), ("81", "goto api")],
            &[("new", "drop"), ("api", "accept")],
        );
        let text = "delete element inet meridian ports { 80 }\nflush chain inet meridian api\nflush chain inet meridian web\n\
                    delete chain inet meridian web\ntable inet meridian {\n  map ports {\n    type inet_service : verdict\n    \
                    elements = { 80 : goto new }\n  }\n  chain api {\n    accept\n  }\n  chain new {\n    drop\n  }\n}\n";
        assert_eq!(after.difference(&before).unwrap(), text);
        assert_eq!(after.difference(&after).unwrap(), "table inet meridian {\n}\n");
    }

    #[test]
    fn sets_that_packets_filled_stay_where_they_are_still_wanted() {
        let mut after = Table::default();
        after.add_set("kept", Set::learned("type ipv4_addr"));
        let listing = "table inet meridian {\n\tset kept {\n\t\ttype ipv4_addr\n\t}\n\n\tset gone {\n\t}\n\n\tmap ports {\n\t}\n\n\
                       \tchain web {\n\t\tip saddr { 1.2.3.4 } accept\n\t}\n}\n";
        let text = after.replace(&Present::read(listing));
        let deleted: Vec<_> = text.lines().filter(|line| line.starts_with("delete")).collect();
        assert_eq!(
            deleted,
            [
                "delete set inet meridian gone",
                "delete map inet meridian ports",
                "delete chain inet meridian web"
            ]
        );
    }

    #[test]
    fn a_listing_is_the_same_whoever_used_a_service() {
        let quiet = "\tset a {\n\t\tflags dynamic,timeout\n\t}\n\n\tset b {\n\t\telements = { 1 }\n\t}\n";
        let used = "\tset a {\n\t\tflags dynamic,timeout\n\t\telements = { 1.2.3.4 expires 3s,\n\t\t\t     1.2.3.5 expires 4s }\n\t}\n\n\
                    \tset b {\n\t\telements = { 1 }\n\t}\n";
        assert_eq!(without_learned(used), quiet);
        assert_eq!(without_learned(quiet), quiet);
    }
}
