//! The folder as editors, tools and ConfigMap mounts change it.

use super::Files;
use crate::watch::objects::{Kind, Object};
use crate::watch::{Batch, Event, Source};
use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// A followed folder, and the ports of the Services that are in force.
struct Rig {
    dir: tempfile::TempDir,
    events: mpsc::Receiver<Batch>,
    ports: BTreeMap<String, i64>,
    troubles: BTreeMap<String, String>,
    synced: usize,
}

impl Rig {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let (sender, events) = mpsc::channel(16);
        tokio::spawn(Files::new(dir.path().into()).follow(sender));
        Self { dir, events, ports: BTreeMap::new(), troubles: BTreeMap::new(), synced: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    async fn next(&mut self) {
        let batch = tokio::time::timeout(Duration::from_secs(5), self.events.recv()).await.expect("events").unwrap();
        batch.events.into_iter().for_each(|event| self.take(event));
    }

    /// Takes in what comes within a time that is long against everything here, where nothing is to come.
    async fn settle(&mut self) {
        while let Ok(Some(batch)) = tokio::time::timeout(Duration::from_millis(150), self.events.recv()).await {
            batch.events.into_iter().for_each(|event| self.take(event));
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Apply(object) => {
                let Object::Service(service) = *object else { panic!("{object:?}") };
                self.ports.insert(service.metadata.name.unwrap(), service.spec.ports[0].port);
            }
            Event::Delete(_, name) => assert!(self.ports.remove(&*name.name).is_some(), "{name} is deleted once"),
            Event::Listed(..) => panic!("files are read, not listed"),
            Event::Synced(_) => self.synced += 1,
            Event::Trouble(subject, trouble) => {
                self.troubles.insert(subject.to_string(), trouble.to_string());
            }
            Event::Recovered(subject) => {
                assert!(self.troubles.remove(&subject.to_string()).is_some(), "{subject} recovers once")
            }
        }
    }

    fn in_force(&self) -> Vec<(&str, i64)> {
        self.ports.iter().map(|(name, port)| (name.as_str(), *port)).collect()
    }

    fn only_trouble(&self) -> &str {
        assert_eq!(self.troubles.len(), 1, "{:?}", self.troubles);
        self.troubles.values().next().unwrap()
    }
}

fn service(name: &str, port: u16) -> String {
    format!("---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: {port}}}]}}\n")
}

#[tokio::test]
async fn first_list_then_edits() {
    let mut rig = Rig::new(&[("a.yaml", &service("a", 1)), ("b.yml", &service("b", 1)), ("c.txt", "no: [")]);
    rig.next().await;
    assert_eq!((rig.in_force(), rig.synced), (vec![("a", 1), ("b", 1)], Kind::ALL.len()));
    rig.write("a.yaml", &(service("a", 2) + &service("c", 1)));
    rig.next().await;
    assert_eq!(rig.in_force(), [("a", 2), ("b", 1), ("c", 1)]);
    std::fs::remove_file(rig.path("a.yaml")).unwrap();
    rig.next().await;
    assert_eq!(rig.in_force(), [("b", 1)]);
    std::fs::rename(rig.path("b.yml"), rig.path("d.yaml")).unwrap();
    rig.write("d.yaml", &service("b", 3));
    rig.settle_until(|rig| rig.in_force() == [("b", 3)]).await;
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_is_reported_with_its_line() {
    let mut rig = Rig::new(&[("a.yaml", &service("a", 1))]);
    rig.next().await;
    rig.write("a.yaml", &(service("a", 2) + "---\napiVersion: v1\nkind: [\n"));
    rig.next().await;
    assert_eq!(rig.in_force(), [("a", 1)]);
    assert!(rig.only_trouble().starts_with("a.yaml:8: "), "{:?}", rig.troubles);
    rig.write("b.yaml", &service("b", 1));
    rig.next().await;
    assert_eq!(rig.in_force(), [("a", 1), ("b", 1)], "others go on");
    rig.write("a.yaml", "");
    rig.next().await;
    assert!(rig.only_trouble().starts_with("is empty"), "{:?}", rig.troubles);
    rig.write("a.yaml", &service("a", 3));
    rig.next().await;
    assert_eq!((rig.in_force(), rig.troubles.len()), (vec![("a", 3), ("b", 1)], 0));
    rig.write("a.yaml", "# nothing any more\n");
    rig.next().await;
    assert_eq!(rig.in_force(), [("b", 1)]);
}

#[tokio::test]
async fn a_half_written_file_is_not_read() {
    use std::io::Write;
    let mut rig = Rig::new(&[("a.yaml", &service("a", 1))]);
    rig.next().await;
    let mut file = std::fs::File::create(rig.path("a.yaml")).unwrap();
    file.write_all(b"---\napiVersion: v1\n").unwrap();
    rig.settle().await;
    assert_eq!((rig.in_force(), rig.troubles.len()), (vec![("a", 1)], 0));
    file.write_all(&service("a", 2).as_bytes()[19..]).unwrap();
    drop(file);
    rig.next().await;
    assert_eq!(rig.in_force(), [("a", 2)], "{:?}", rig.troubles);
}

#[tokio::test]
async fn editors_that_rename() {
    let mut rig = Rig::new(&[("a.yaml", &service("a", 1))]);
    rig.next().await;
    // vim: the old file is moved away, a new one is written in its place.
    std::fs::rename(rig.path("a.yaml"), rig.path("a.yaml~")).unwrap();
    let file = std::fs::File::create(rig.path("a.yaml")).unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    drop(file);
    rig.write("a.yaml", &service("a", 2));
    std::fs::remove_file(rig.path("a.yaml~")).unwrap();
    rig.settle_until(|rig| rig.in_force() == [("a", 2)]).await;
    // emacs, sed -i, kubectl: a new file is moved over the old one.
    rig.write(".a.yaml.tmp", &service("a", 3));
    std::fs::rename(rig.path(".a.yaml.tmp"), rig.path("a.yaml")).unwrap();
    rig.settle_until(|rig| rig.in_force() == [("a", 3)]).await;
    // A hard link is complete when it appears.
    rig.write("b.part", &service("b", 1));
    std::fs::hard_link(rig.path("b.part"), rig.path("b.yaml")).unwrap();
    rig.settle_until(|rig| rig.in_force() == [("a", 3), ("b", 1)]).await;
}

#[tokio::test]
async fn a_config_map_mount() {
    let mut rig = Rig::new(&[]);
    let mount = |version: &str, port: u16| {
        std::fs::create_dir(rig.path(version)).unwrap();
        std::fs::write(rig.path(version).join("a.yaml"), service("a", port)).unwrap();
        symlink(version, rig.path("..data_tmp")).unwrap();
        std::fs::rename(rig.path("..data_tmp"), rig.path("..data")).unwrap();
    };
    mount("..v1", 1);
    symlink("..data/a.yaml", rig.path("a.yaml")).unwrap();
    rig.settle_until(|rig| rig.in_force() == [("a", 1)]).await;
    let mount = |version: &str, port: u16| {
        std::fs::create_dir(rig.path(version)).unwrap();
        std::fs::write(rig.path(version).join("a.yaml"), service("a", port)).unwrap();
        symlink(version, rig.path("..data_tmp")).unwrap();
        std::fs::rename(rig.path("..data_tmp"), rig.path("..data")).unwrap();
    };
    mount("..v2", 2);
    std::fs::remove_dir_all(rig.path("..v1")).unwrap();
    rig.settle_until(|rig| rig.in_force() == [("a", 2)] && rig.troubles.is_empty()).await;
    // The file behind the link is watched.
    std::fs::write(rig.path("..v2/a.yaml"), service("a", 3)).unwrap();
    rig.settle_until(|rig| rig.in_force() == [("a", 3)]).await;
}

#[tokio::test]
async fn a_folder_that_goes_and_comes_back() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("manifests");
    let mut rig = Rig::new(&[]);
    let (sender, events) = mpsc::channel(16);
    tokio::spawn(Files::new(dir.clone()).follow(sender));
    rig.events = events;
    rig.next().await;
    assert!(rig.only_trouble().contains("can't follow the folder"), "{:?}", rig.troubles);
    let fill = |dir: &Path| {
        std::fs::create_dir(dir).unwrap();
        std::fs::write(dir.join("a.yaml"), service("a", 1)).unwrap();
    };
    fill(&dir);
    rig.settle_until(|rig| rig.in_force() == [("a", 1)] && rig.troubles.is_empty()).await;
    std::fs::rename(&dir, outer.path().join("elsewhere")).unwrap();
    rig.settle_until(|rig| !rig.troubles.is_empty()).await;
    assert_eq!(rig.in_force(), [("a", 1)], "what it defined stays");
    fill(&dir);
    rig.settle_until(|rig| rig.troubles.is_empty()).await;
    assert_eq!(rig.in_force(), [("a", 1)]);
}

#[tokio::test]
async fn an_edit_takes_effect_within_50_ms() {
    let mut rig = Rig::new(&[("a.yaml", &service("a", 1)), ("b.yaml", &service("b", 1))]);
    rig.next().await;
    let mut took = Vec::new();
    for port in 2..52 {
        let start = Instant::now();
        rig.write("a.yaml", &service("a", port));
        rig.next().await;
        took.push(start.elapsed());
        assert_eq!(rig.in_force(), [("a", i64::from(port)), ("b", 1)]);
    }
    took.sort();
    println!("edit to event: median {:?}, slowest {:?}", took[took.len() / 2], took[took.len() - 1]);
    assert!(took[took.len() / 2] < Duration::from_millis(50));
}

#[tokio::test]
async fn a_file_that_can_not_be_read() {
    let mut rig = Rig::new(&[("a.yaml", &service("a", 1))]);
    rig.next().await;
    // A link to itself can be read by nobody, root included.
    symlink("a.yaml", rig.path("loop")).unwrap();
    std::fs::rename(rig.path("loop"), rig.path("a.yaml")).unwrap();
    rig.settle_until(|rig| !rig.troubles.is_empty()).await;
    assert!(rig.only_trouble().contains("can't be read"), "{:?}", rig.troubles);
    assert_eq!(rig.in_force(), [("a", 1)], "what it defined stays");
    rig.write("whole", &service("a", 2));
    std::fs::rename(rig.path("whole"), rig.path("a.yaml")).unwrap();
    rig.settle_until(|rig| rig.in_force() == [("a", 2)] && rig.troubles.is_empty()).await;
}

#[tokio::test]
async fn a_folder_named_like_a_file() {
    let mut rig = Rig::new(&[("a.yaml", &service("a", 1))]);
    rig.next().await;
    std::fs::create_dir(rig.path("b.yaml")).unwrap();
    rig.write("c.yaml", &service("c", 1));
    rig.settle_until(|rig| rig.in_force() == [("a", 1), ("c", 1)]).await;
    assert_eq!(rig.troubles.len(), 0, "{:?}", rig.troubles);
}

impl Rig {
    async fn settle_until(&mut self, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            self.next().await;
        }
    }
}
