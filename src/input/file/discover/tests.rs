use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

/// A tree of files below a directory of its own.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new(files: &[&str]) -> Tree {
        let tree = Tree(tempfile::tempdir().unwrap());
        files.iter().for_each(|file| tree.write(file));
        tree
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, path.as_os_str().as_bytes()).unwrap();
    }

    fn discovery(&self, paths: &[&str], exclude: &[&str], max_depth: usize) -> Discovery {
        let parse = |texts: &[&str]| {
            let texts = texts.iter().map(|text| self.path(text));
            texts.map(|text| PathPattern::parse(text.to_str().unwrap()).unwrap()).collect()
        };
        Discovery { paths: parse(paths), exclude: parse(exclude), max_depth }
    }

    fn names<'p>(&self, paths: impl IntoIterator<Item = &'p PathBuf>) -> Vec<String> {
        let paths = paths.into_iter().map(|path| path.strip_prefix(self.0.path()).unwrap());
        paths.map(|path| path.to_str().unwrap().to_owned()).collect()
    }

    fn find(&self, paths: &[&str], exclude: &[&str], max_depth: usize) -> Vec<String> {
        let walk = self.discovery(paths, exclude, max_depth).walk();
        assert!(walk.faults.is_empty(), "{:?}", walk.faults);
        self.names(walk.files.iter().map(|file| &file.path))
    }
}

#[test]
fn patterns_excludes_and_depth() {
    let tree = Tree::new(&["a.log", "b.txt", "x/a.log", "x/y/a.log", "x/y/z/a.log", ".h/a.log", "x/.b.log"]);
    assert_eq!(tree.find(&["*.log"], &[], 10), ["a.log"]);
    assert_eq!(tree.find(&["**/*.log"], &[], 10), ["a.log", "x/a.log", "x/y/a.log", "x/y/z/a.log"]);
    assert_eq!(tree.find(&["**/*.log"], &[], 1), ["a.log", "x/a.log"]);
    assert_eq!(tree.find(&["**/*.log"], &["x/y"], 10), ["a.log", "x/a.log"]);
    assert_eq!(tree.find(&["**/*.log"], &["**/y/a.log", "a.*"], 10), ["x/a.log", "x/y/z/a.log"]);
    assert_eq!(tree.find(&["**/*.log"], &["x/**"], 10), ["a.log"]);
    assert_eq!(
        tree.find(&["*/a.log", "b.txt", "x/*.log", ".h/*"], &[], 10),
        [".h/a.log", "b.txt", "x/a.log"]
    );
    assert_eq!(tree.find(&["{x,no}/{a,b}.log", "no.log"], &[], 10), ["x/a.log"]);
    assert_eq!(tree.find(&["x"], &[], 10), Vec::<String>::new());
}

#[test]
fn a_file_comes_once_whatever_its_paths() {
    let tree = Tree::new(&["pods/1/0.log", "pods/2/0.log", "real/app.log"]);
    fs::create_dir(tree.path("containers")).unwrap();
    symlink(tree.path("pods/1/0.log"), tree.path("containers/one.log")).unwrap();
    symlink(tree.path("gone"), tree.path("containers/two.log")).unwrap();
    symlink("three.log", tree.path("containers/three.log")).unwrap();
    fs::hard_link(tree.path("real/app.log"), tree.path("real/same.log")).unwrap();
    symlink(tree.path("real"), tree.path("link")).unwrap();
    symlink(tree.0.path(), tree.path("real/loop")).unwrap();
    let mut discovery = tree.discovery(&["**/*.log"], &[], 10);
    let walk = discovery.walk();
    // A link to itself is a fault, a link to nothing is none.
    assert_eq!(tree.names(walk.faults.iter().map(|fault| &fault.path))[0], "containers/three.log");
    let files = tree.names(walk.files.iter().map(|file| &file.path));
    assert_eq!(files, ["containers/one.log", "link/app.log", "pods/2/0.log"]);
    assert_eq!(walk.files[0].id, FileId::of(&fs::metadata(tree.path("pods/1/0.log")).unwrap()));
    assert_eq!(discovery.walk().files, walk.files);
}

#[test]
fn rotated_and_packed_files_are_no_files_of_their_own() {
    let tree = Tree::new(&[
        "app.log",
        "app.log.1",
        "app.log.2.gz",
        "app.log-20260101",
        "app.log.2026-01-01",
        "app.log.bak",
        "0.log",
        "0.log.20260101-150405",
        "0.log.20260101-150405.gz",
        "other.1",
        "old.log.gz",
        "old.log.zip",
        "app.log.x",
    ]);
    assert_eq!(tree.find(&["*"], &[], 10), ["0.log", "app.log", "app.log.x", "other.1"]);
    assert_eq!(tree.find(&["*.gz"], &["app*"], 10), ["0.log.20260101-150405.gz", "old.log.gz"]);
    assert_eq!(tree.find(&["app.log.1", "app.log.2.gz"], &[], 10), ["app.log.1", "app.log.2.gz"]);
}

#[test]
fn directories_to_watch_are_those_in_which_something_may_come() {
    let tree = Tree::new(&["a/x.log", "b/c/y.log"]);
    let watched = |paths: &[&str]| {
        let walk = tree.discovery(paths, &[], 10).walk();
        tree.names(&walk.directories)
    };
    assert_eq!(watched(&["a/x.log"]), ["a"]);
    assert_eq!(watched(&["a/no.log"]), ["a"]);
    assert_eq!(watched(&["a/no/x.log", "b/c/y.log"]), ["a", "b/c"]);
    assert_eq!(watched(&["b/*/*.log"]), ["b", "b/c"]);
    assert_eq!(watched(&["**/y.log"]), ["", "a", "b", "b/c"]);
}

#[test]
fn what_cannot_be_listed_is_a_fault_and_the_others_go_on() {
    let tree = Tree::new(&["a/x.log", "b/x.log", "c/x.log"]);
    fs::set_permissions(tree.path("b"), fs::Permissions::from_mode(0o000)).unwrap();
    let is_root = fs::read_dir(tree.path("b")).is_ok();
    let walk = tree.discovery(&["*/*.log"], &[], 10).walk();
    fs::set_permissions(tree.path("b"), fs::Permissions::from_mode(0o700)).unwrap();
    if !is_root {
        assert_eq!(tree.names(walk.files.iter().map(|file| &file.path)), ["a/x.log", "c/x.log"]);
        assert_eq!(tree.names(walk.faults.iter().map(|fault| &fault.path)), ["b"]);
    }
}

#[test]
fn links_that_lead_everywhere_cost_no_more_than_their_directories() {
    let tree = Tree::new(&[]);
    // Each directory leads to the next one in eight ways: 8^20 paths.
    for at in 0..20 {
        let dir = tree.path(&format!("d{at}"));
        fs::create_dir(&dir).unwrap();
        for way in 0..8 {
            symlink(tree.path(&format!("d{}", at + 1)), dir.join(format!("w{way}"))).unwrap();
        }
    }
    tree.write("d20/x.log");
    assert_eq!(tree.find(&["d0/**/*.log"], &[], 100).len(), 1);
}

#[test]
fn ten_thousand_files_are_all_found() {
    let tree = Tree::new(&[]);
    for dir in 0..200 {
        let dir = tree.path(&format!("ns_{dir}/app"));
        fs::create_dir_all(&dir).unwrap();
        for file in 0..50 {
            fs::File::create(dir.join(format!("{file}.log"))).unwrap();
        }
    }
    let mut discovery = tree.discovery(&["*/app/*.log"], &["*/app/1[0-4].log"], 10);
    let walk = discovery.walk();
    assert_eq!(walk.files.len(), 9_000);
    // What stands between is named by the pattern.
    assert_eq!(walk.directories.len(), 201);
}
