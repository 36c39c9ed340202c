//! Tests of [`super::Folder`] on real folders.

use std::fs;

use meridian_model::{Event, Key, Object};
use tempfile::TempDir;

use super::*;

struct Fixture {
    dir: TempDir,
    folder: Folder,
}

impl Fixture {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let folder = Folder::new(dir.path());
        Self { dir, folder }
    }

    fn write(&self, name: &str, text: &str) -> &Self {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn remove(&self, name: &str) -> &Self {
        fs::remove_file(self.dir.path().join(name)).unwrap();
        self
    }

    /// Events of a scan as short texts.
    fn scan(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        self.folder.scan(&mut |event| {
            events.push(match event {
                Event::Apply(Object::Pod(pod)) => {
                    format!("+{} on {}", pod.key(), pod.node.as_deref().unwrap_or("nothing"))
                }
                Event::Apply(object) => format!("+{}", object.key()),
                Event::Delete(Key::Pod(namespace, name)) => format!("-{namespace}/{name}"),
                other => format!("{other:?}"),
            });
        });
        events
    }

    fn problems(&self) -> Vec<String> {
        let problems = self.folder.problems();
        problems.iter().map(ToString::to_string).collect()
    }
}

fn pod(name: &str, node: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata:\n  namespace: ns\n  name: {name}\nspec:\n  nodeName: {node}\n")
}

#[test]
fn files_are_found_in_subfolders_and_by_their_names() {
    let mut f = Fixture::new();
    f.write("a.yaml", &pod("a", "n"))
        .write("deep/er/b.yml", &pod("b", "n"))
        .write("c.txt", &pod("c", "n"))
        .write(".d.yaml", &pod("d", "n"));
    assert_eq!(f.scan(), ["+ns/a on n", "+ns/b on n"]);
    assert_eq!(f.scan(), [""; 0]);
}

#[test]
fn a_removed_file_takes_its_objects_along() {
    let mut f = Fixture::new();
    f.write("a.yaml", &pod("a", "n"));
    f.scan();
    f.remove("a.yaml");
    assert_eq!(f.scan(), ["-ns/a"]);
    assert_eq!(f.folder.size(), (0, 0));
}

#[test]
fn an_object_that_moves_between_files_is_never_gone() {
    let mut f = Fixture::new();
    f.write("a.yaml", &pod("p", "n"));
    f.scan();
    f.write("b.yaml", &pod("p", "m")).remove("a.yaml");
    assert_eq!(f.scan(), ["+ns/p on m"]);
    assert!(f.problems().is_empty());
}

#[test]
fn a_file_that_breaks_keeps_what_it_last_said() {
    let mut f = Fixture::new();
    f.write("a.yaml", &format!("{}---\n{}", pod("a", "n"), pod("b", "n")))
        .write("b.yaml", &pod("c", "n"));
    f.scan();
    f.write("a.yaml", "kind: [").write("b.yaml", &pod("c", "other"));
    assert_eq!(f.scan(), ["+ns/c on other"]);
    assert!(
        f.problems()[0].starts_with("file/a.yaml: document 1: "),
        "{:?}",
        f.problems()
    );
    f.write("a.yaml", &pod("a", "n2"));
    assert_eq!(f.scan(), ["-ns/b", "+ns/a on n2"]);
    assert!(f.problems().is_empty());
}

#[test]
fn a_field_that_does_not_fit_names_file_document_object_and_field() {
    let mut f = Fixture::new();
    let bad = pod("b", "n").replace("nodeName: n", "nodeName: [n]");
    f.write("a.yaml", &format!("{}---\n{bad}", pod("a", "n")));
    assert_eq!(f.scan(), ["+ns/a on n"]);
    let problems = f.problems();
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].starts_with("a.yaml: document 2: pod/ns/b: spec.nodeName: "),
        "{problems:?}"
    );
}

#[test]
fn the_first_of_two_files_counts_and_both_are_named() {
    let mut f = Fixture::new();
    f.write("b.yaml", &pod("p", "from-b"));
    f.scan();
    f.write("a.yaml", &pod("p", "from-a"));
    assert_eq!(f.scan(), ["+ns/p on from-a"]);
    assert_eq!(
        f.problems(),
        ["pod/ns/p: defined in a.yaml and in b.yaml; the first counts, remove it from the others"]
    );
    f.remove("a.yaml");
    assert_eq!(f.scan(), ["+ns/p on from-b"]);
    assert!(f.problems().is_empty());
}

#[test]
fn the_same_object_twice_in_one_file_is_reported() {
    let mut f = Fixture::new();
    f.write("a.yaml", &format!("{}---\n{}", pod("p", "n"), pod("p", "m")));
    assert_eq!(f.scan(), ["+ns/p on n"]);
    assert_eq!(
        f.problems(),
        ["pod/ns/p: defined twice, in a.yaml: document 1 and in a.yaml: document 2; the first counts"]
    );
}

#[test]
fn a_folder_that_vanishes_takes_nothing_along() {
    let mut f = Fixture::new();
    f.write("a.yaml", &pod("a", "n"));
    f.scan();
    let aside = TempDir::new().unwrap();
    fs::rename(f.dir.path(), aside.path().join("x")).unwrap();
    assert_eq!(f.scan(), [""; 0]);
    assert!(
        f.problems()[0].contains("nothing read from it is taken for gone"),
        "{:?}",
        f.problems()
    );
    fs::rename(aside.path().join("x"), f.dir.path()).unwrap();
    assert_eq!(f.scan(), [""; 0]);
    assert!(f.problems().is_empty());
}

#[test]
fn a_file_unreadable_from_the_start_leaves_doubt_until_it_reads() {
    let mut f = Fixture::new();
    f.write("a.yaml", "kind: [");
    f.scan();
    assert!(f.folder.doubt().unwrap().starts_with("a.yaml"));
    f.write("b.yaml", "kind: [");
    f.scan();
    f.write("a.yaml", &pod("a", "n"));
    f.scan();
    assert_eq!(f.folder.doubt(), None, "b.yaml never had objects");
}

#[test]
fn other_kinds_are_counted() {
    let mut f = Fixture::new();
    f.write("a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n");
    assert_eq!(f.scan(), [""; 0]);
    assert_eq!(f.folder.ignored(), 1);
    assert!(f.problems().is_empty());
}
