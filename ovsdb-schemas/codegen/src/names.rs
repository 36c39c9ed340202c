//! Names of a schema as Rust spells them.

/// Keywords a table or column may be called by; the 2024 edition's list.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// A column as a field, a table as a module: `match` becomes `r#match`, `QoS` becomes `qos`.
pub(crate) fn snake(name: &str) -> String {
    let name = words(name).join("_").to_lowercase();
    if KEYWORDS.contains(&name.as_str()) {
        format!("r#{name}")
    } else {
        name
    }
}

/// A column as a constant: `external_ids` becomes `EXTERNAL_IDS`.
pub(crate) fn constant(name: &str) -> String {
    words(name).join("_").to_uppercase()
}

/// A table or a value of an enumeration as a type or variant: `DHCP_Options` becomes `DhcpOptions`.
pub(crate) fn camel(name: &str) -> String {
    let camel: String = words(name).into_iter().map(camel_word).collect();
    if camel.starts_with(|c: char| c.is_ascii_digit()) {
        format!("V{camel}")
    } else {
        camel
    }
}

fn words(name: &str) -> Vec<&str> {
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect()
}

/// Capitalises a word and turns runs of capitals into one: `DHCPv6` becomes `Dhcpv6`.
fn camel_word(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut after_capital = false;
    for (position, c) in word.chars().enumerate() {
        out.push(match position {
            0 => c.to_ascii_uppercase(),
            _ if after_capital => c.to_ascii_lowercase(),
            _ => c,
        });
        after_capital = c.is_ascii_uppercase();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_become_types() {
        for (table, expected) in [
            ("ACL", "Acl"),
            ("DHCPv6_Options", "Dhcpv6Options"),
            ("Logical_Switch_Port", "LogicalSwitchPort"),
            ("NB_Global", "NbGlobal"),
            ("Open_vSwitch", "OpenVSwitch"),
            ("QoS", "QoS"),
        ] {
            assert_eq!(camel(table), expected);
        }
    }

    #[test]
    fn keywords_become_raw_identifiers() {
        assert_eq!(snake("match"), "r#match");
        assert_eq!(snake("matches"), "matches");
    }

    #[test]
    fn values_become_variants() {
        assert_eq!(camel("allow-related"), "AllowRelated");
        assert_eq!(camel("dnat_and_snat"), "DnatAndSnat");
        assert_eq!(camel("802.1q"), "V8021q");
    }
}
