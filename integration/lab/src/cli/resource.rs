//! Kinds and names as people write them: `po web-0`, `deployment/web`, `pods`.

use anyhow::{bail, ensure};
use meridian_lab::cluster::object::Key;

/// Short names, and kinds that live in no namespace (`false`).
const KINDS: &[(&str, &[&str], bool)] = &[
    ("Pod", &["po"], true),
    ("Node", &["no"], false),
    ("Namespace", &["ns"], false),
    ("Deployment", &["deploy"], true),
    ("ReplicaSet", &["rs"], true),
    ("StatefulSet", &["sts"], true),
    ("DaemonSet", &["ds"], true),
    ("Service", &["svc"], true),
    ("EndpointSlice", &[], true),
    ("NetworkPolicy", &["netpol"], true),
    ("ClusterNetworkPolicy", &["cnp"], false),
    ("AdminNetworkPolicy", &["anp"], false),
    ("BaselineAdminNetworkPolicy", &["banp"], false),
    ("Vpc", &[], false),
    ("VpcPeering", &["vpcpeer"], false),
    ("Subnet", &[], false),
];

/// The kind somebody means, and whether it lives in a namespace.
pub(crate) fn kind(text: &str) -> anyhow::Result<(&'static str, bool)> {
    let text = text.to_lowercase();
    let found = KINDS.iter().find(|(kind, short, _)| {
        let kind = kind.to_lowercase();
        let plural = match kind.strip_suffix('y') {
            Some(stem) => format!("{stem}ies"),
            None => format!("{kind}s"),
        };
        text == kind || text == plural || short.contains(&text.as_str())
    });
    let Some((kind, _, namespaced)) = found else {
        let kinds: Vec<_> = KINDS.iter().map(|(kind, ..)| kind.to_lowercase()).collect();
        bail!("the lab knows no kind {text:?}; it knows {}", kinds.join(", "))
    };
    Ok((kind, *namespaced))
}

/// `KIND NAME...` or `KIND/NAME...` as keys.
pub(crate) fn keys(words: &[String], namespace: &str) -> anyhow::Result<Vec<Key>> {
    let pairs: Vec<(&str, &str)> = if words.iter().any(|w| w.contains('/')) {
        words
            .iter()
            .map(|word| {
                word.split_once('/')
                    .ok_or_else(|| anyhow::anyhow!("{word:?} is not KIND/NAME"))
            })
            .collect::<anyhow::Result<_>>()?
    } else {
        ensure!(words.len() > 1, "a kind needs a name: {} NAME", words[0]);
        words[1..]
            .iter()
            .map(|name| (words[0].as_str(), name.as_str()))
            .collect()
    };
    pairs
        .into_iter()
        .map(|(word, name)| {
            let (kind, namespaced) = kind(word)?;
            Ok(Key::new(kind, if namespaced { namespace } else { "" }, name))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys_of(words: &[&str]) -> Vec<Key> {
        let words: Vec<_> = words.iter().map(|w| (*w).to_owned()).collect();
        keys(&words, "shop").unwrap()
    }

    #[test]
    fn kinds_are_known_by_short_and_plural_names() {
        assert_eq!(kind("netpol").unwrap().0, "NetworkPolicy");
        assert_eq!(kind("networkpolicies").unwrap().0, "NetworkPolicy");
        assert_eq!(kind("pods").unwrap().0, "Pod");
        assert!(kind("unicorn").is_err());
    }

    #[test]
    fn names_are_given_with_or_without_a_slash() {
        let pods = [Key::new("Pod", "shop", "a"), Key::new("Pod", "shop", "b")];
        assert_eq!(keys_of(&["pod", "a", "b"]), pods);
        assert_eq!(keys_of(&["pod/a", "po/b"]), pods);
        assert_eq!(keys_of(&["ns/x"]), [Key::new("Namespace", "", "x")]);
    }
}
