//! Following the folder.

use super::definitions::Definitions;
use super::folder::{self, Content};
use crate::watch::objects::Kind;
use crate::watch::trouble::FileTrouble;
use crate::watch::{Batch, Event, Events, Source, Subject};
use futures::{FutureExt, StreamExt};
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

/// Editors take a file away and put it back; within this time nothing is withdrawn. An edit is effective within 50 ms.
const GRACE: Duration = Duration::from_millis(20);
/// How long until a folder that can't be followed is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// A folder of manifests.
#[derive(Clone, Debug)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// The manifests in `folder`.
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }
}

impl Source for Files {
    async fn follow(self, events: Events) {
        let mut follower = Follower { folder: self.folder, ..Follower::default() };
        while let Err(error) = follower.follow(&events).await {
            let trouble = FileTrouble::Folder(error.to_string());
            let subject = Subject::Folder(follower.folder.clone());
            follower.troubled.insert(subject.clone());
            if events.send(Batch::just_came(vec![Event::Trouble(subject, trouble.into())])).await.is_err() {
                return;
            }
            tokio::select! {
                () = events.closed() => return,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }
}

#[derive(Default)]
struct Follower {
    folder: PathBuf,
    definitions: Definitions,
    /// Files that were taken away, and when that counts.
    leaving: BTreeMap<String, Instant>,
    troubled: BTreeSet<Subject>,
}

/// The folder's own watch, and those of folders behind symbolic links.
struct Watches {
    stream: EventStream<Vec<u8>>,
    folder: WatchDescriptor,
}

impl Follower {
    /// Follows the folder until nobody listens, or until it can't be followed any more.
    async fn follow(&mut self, events: &Events) -> io::Result<()> {
        let mut watches = Watches::open(&self.folder)?;
        let mut said = self.scan(&mut watches).await?;
        said.extend(self.recovered(Subject::Folder(self.folder.clone())));
        said.extend(Kind::ALL.map(Event::Synced));
        loop {
            if !said.is_empty() && events.send(Batch::just_came(std::mem::take(&mut said))).await.is_err() {
                return Ok(());
            }
            let next_leaving = self.leaving.values().min().copied();
            let leaving = async {
                match next_leaving {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = events.closed() => return Ok(()),
                () = leaving => said = self.withdraw(),
                event = watches.stream.next() => {
                    let first = event.ok_or(io::ErrorKind::UnexpectedEof)??;
                    said = self.see(&mut watches, first).await?;
                }
            }
        }
    }

    /// Takes in an inotify event and all others that are there already.
    async fn see(&mut self, watches: &mut Watches, first: EventOwned) -> io::Result<Vec<Event>> {
        let (mut names, mut all) = (BTreeSet::new(), false);
        let mut next = Some(first);
        while let Some(event) = next {
            if event.wd == watches.folder
                && event.mask.intersects(EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::IGNORED)
            {
                return Err(io::Error::new(io::ErrorKind::NotFound, "it was moved or deleted"));
            }
            let name = event.name.as_ref().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if event.mask.contains(EventMask::Q_OVERFLOW) || event.wd != watches.folder || name.starts_with("..") {
                all = true;
            } else if folder::is_manifest(&name) {
                self.see_name(name, event.mask, &mut names);
            }
            next = watches.stream.next().now_or_never().flatten().transpose()?;
        }
        if all { self.scan(watches).await } else { Ok(self.read(names).await) }
    }

    fn see_name(&mut self, name: String, mask: EventMask, names: &mut BTreeSet<String>) {
        let path = self.folder.join(&name);
        if mask.intersects(EventMask::DELETE | EventMask::MOVED_FROM) {
            self.leaving.insert(name, Instant::now() + GRACE);
        } else if mask.intersects(EventMask::CLOSE_WRITE | EventMask::MOVED_TO)
            || (mask.contains(EventMask::CREATE) && folder::is_complete_when_created(&path))
            || (mask.contains(EventMask::ATTRIB) && self.troubled.contains(&Subject::File(path)))
        {
            names.insert(name);
        }
    }

    /// Reads every file, and watches the folders behind symbolic links.
    async fn scan(&mut self, watches: &mut Watches) -> io::Result<Vec<Event>> {
        let names = folder::list(&self.folder)?;
        for behind in folder::behind_links(&self.folder, &names) {
            // A folder that can't be watched is one whose files can't be read either: that is what is reported.
            drop(watches.stream.watches().add(behind, watched()));
        }
        let gone: Vec<_> = self.definitions.files().filter(|file| !names.contains(&***file)).map(ToString::to_string).collect();
        self.leaving.extend(gone.into_iter().map(|name| (name, Instant::now() + GRACE)));
        Ok(self.read(names).await)
    }

    async fn read(&mut self, names: BTreeSet<String>) -> Vec<Event> {
        let mut said = Vec::new();
        for name in names {
            let path = self.folder.join(&name);
            let reading = path.clone();
            let Ok(content) = tokio::task::spawn_blocking(move || folder::read(&reading)).await else { continue };
            match content {
                Content::Absent => drop(self.leaving.insert(name, Instant::now() + GRACE)),
                Content::Bad(FileTrouble::Empty) if !self.definitions.defines(&name) => {}
                Content::Bad(trouble) => {
                    self.leaving.remove(&name);
                    self.troubled.insert(Subject::File(path.clone()));
                    said.push(Event::Trouble(Subject::File(path), trouble.into()));
                }
                Content::Defined(defined) => {
                    self.leaving.remove(&name);
                    said.extend(self.definitions.set(&name, defined));
                    said.extend(self.recovered(Subject::File(path)));
                }
            }
        }
        said
    }

    /// Withdraws what files defined that stayed away. One that is there again is about to be written.
    fn withdraw(&mut self) -> Vec<Event> {
        let now = Instant::now();
        let due: Vec<_> = self.leaving.iter().filter(|(_, at)| **at <= now).map(|(name, _)| name.clone()).collect();
        let mut said = Vec::new();
        for name in due {
            self.leaving.remove(&name);
            let path = self.folder.join(&name);
            if !path.is_file() {
                said.extend(self.definitions.remove(&name));
                said.extend(self.recovered(Subject::File(path)));
            }
        }
        said
    }

    fn recovered(&mut self, subject: Subject) -> Option<Event> {
        self.troubled.remove(&subject).then_some(Event::Recovered(subject))
    }
}

impl Watches {
    fn open(folder: &std::path::Path) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let folder =
            inotify.watches().add(folder, watched() | WatchMask::DELETE_SELF | WatchMask::MOVE_SELF | WatchMask::ONLYDIR)?;
        Ok(Self { stream: inotify.into_event_stream(vec![0; 16 * 1024])?, folder })
    }
}

fn watched() -> WatchMask {
    WatchMask::CLOSE_WRITE
        | WatchMask::CREATE
        | WatchMask::MOVED_TO
        | WatchMask::MOVED_FROM
        | WatchMask::DELETE
        | WatchMask::ATTRIB
}
