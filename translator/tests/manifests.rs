//! Following a real folder.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed expectation is a failed test"
)]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Told, eventually};
use meridian_northbound::Feed;
use meridian_translator::problems::Board;
use meridian_translator::source::manifests::{self, Watching};
use tempfile::TempDir;

struct Followed {
    dir: TempDir,
    told: Told,
    board: Board,
    watching: Option<Watching>,
}

impl Followed {
    async fn new(files: &[(&str, String)]) -> Self {
        let dir = TempDir::new().unwrap();
        let root = dir.path().join("cluster");
        fs::create_dir(&root).unwrap();
        for (name, text) in files {
            fs::write(root.join(name), text).unwrap();
        }
        let (feed, inputs) = Feed::to_receiver();
        let board = Board::default();
        let watching = manifests::watch(&root, feed, board.clone()).unwrap();
        let mut told = Told::new(inputs);
        told.until_synced(1).await;
        Self {
            dir,
            told,
            board,
            watching: Some(watching),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("cluster").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    async fn until_pods(&mut self, expected: &[&str]) {
        self.told
            .until(&format!("{expected:?}"), |told| told.pods() == expected)
            .await;
    }
}

fn pod(name: &str, on: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{namespace: ns, name: {name}}}\nspec: {{nodeName: {on}}}\n")
}

#[tokio::test]
async fn files_written_changed_renamed_and_removed_are_followed() {
    let mut f = Followed::new(&[("a.yaml", pod("a", "x"))]).await;
    assert_eq!(f.told.pods(), ["ns/a on x"]);
    f.write("b.yaml", &pod("b", "x"));
    f.until_pods(&["ns/a on x", "ns/b on x"]).await;
    f.write("a.yaml", &pod("a", "y"));
    f.until_pods(&["ns/a on y", "ns/b on x"]).await;
    fs::rename(f.path("b.yaml"), f.path("c.yaml")).unwrap();
    f.write("c.yaml", &pod("b", "z"));
    f.until_pods(&["ns/a on y", "ns/b on z"]).await;
    fs::remove_file(f.path("a.yaml")).unwrap();
    f.until_pods(&["ns/b on z"]).await;
}

#[tokio::test]
async fn an_editor_that_renames_over_the_file_is_followed() {
    let mut f = Followed::new(&[("a.yaml", pod("a", "x"))]).await;
    for on in ["y", "z"] {
        f.write(".a.yaml.swp", &pod("a", on));
        fs::rename(f.path(".a.yaml.swp"), f.path("a.yaml")).unwrap();
        f.until_pods(&[&format!("ns/a on {on}")]).await;
    }
}

#[tokio::test]
async fn folders_that_come_and_go_are_followed() {
    let mut f = Followed::new(&[]).await;
    fs::create_dir(f.path("deep")).unwrap();
    f.write("deep/a.yaml", &pod("a", "x"));
    f.until_pods(&["ns/a on x"]).await;
    f.write("deep/a.yaml", &pod("a", "y"));
    f.until_pods(&["ns/a on y"]).await;
    fs::remove_dir_all(f.path("deep")).unwrap();
    f.until_pods(&[]).await;
}

#[tokio::test]
async fn links_swapped_as_kubelet_does_are_followed() {
    let mut f = Followed::new(&[]).await;
    for (version, on) in [("..1", "x"), ("..2", "y")] {
        fs::create_dir(f.path(version)).unwrap();
        f.write(&format!("{version}/a.yaml"), &pod("a", on));
        std::os::unix::fs::symlink(version, f.path("..tmp")).unwrap();
        fs::rename(f.path("..tmp"), f.path("..data")).unwrap();
        if !f.path("a.yaml").exists() {
            std::os::unix::fs::symlink("..data/a.yaml", f.path("a.yaml")).unwrap();
        }
        f.until_pods(&[&format!("ns/a on {on}")]).await;
    }
}

#[tokio::test]
async fn a_file_that_breaks_is_a_problem_until_it_is_mended() {
    let mut f = Followed::new(&[("a.yaml", pod("a", "x"))]).await;
    f.write("a.yaml", "kind: [");
    eventually("a problem", || f.board.len() == 1).await;
    f.write("b.yaml", &pod("b", "x"));
    f.until_pods(&["ns/a on x", "ns/b on x"]).await;
    f.write("a.yaml", &pod("a", "y"));
    f.until_pods(&["ns/a on y", "ns/b on x"]).await;
    eventually("no problem", || f.board.is_empty()).await;
}

#[tokio::test]
async fn a_folder_that_vanishes_and_comes_back_is_followed_again() {
    let mut f = Followed::new(&[("a.yaml", pod("a", "x"))]).await;
    let aside = f.dir.path().join("aside");
    fs::rename(f.path(""), &aside).unwrap();
    eventually("a problem", || f.board.len() == 1).await;
    assert_eq!(f.told.pods(), ["ns/a on x"]);
    fs::rename(&aside, f.path("")).unwrap();
    eventually("no problem", || f.board.is_empty()).await;
    f.write("b.yaml", &pod("b", "x"));
    f.until_pods(&["ns/a on x", "ns/b on x"]).await;
}

#[tokio::test]
async fn a_folder_that_does_not_exist_is_an_error_that_names_it() {
    let (feed, _inputs) = Feed::to_receiver();
    let error = manifests::watch("/nonexistent/cluster".as_ref(), feed, Board::default()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("folder of manifests /nonexistent/cluster: "),
        "{error}"
    );
}

#[tokio::test]
async fn following_ends_with_its_handle() {
    let mut f = Followed::new(&[]).await;
    f.watching = None;
    let ended = async {
        while !f.told.is_over() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(ovsdb::testing::PATIENCE, ended).await.unwrap();
}
