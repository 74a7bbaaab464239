//! Which file defines which object. Pure: files in, events out.

use super::parse::Defined;
use crate::watch::objects::{Kind, ObjectName};
use crate::watch::trouble::{FileLine, FileTrouble};
use crate::watch::{Event, Subject};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

type Id = (Kind, ObjectName);

/// The definitions of one object by file name and place in the file.
type Places = BTreeMap<(Arc<str>, usize), Arc<Defined>>;

/// Every definition of every object; the first, by file name and place, is in force.
#[derive(Debug, Default)]
pub struct Definitions {
    files: BTreeMap<Arc<str>, BTreeSet<Id>>,
    objects: HashMap<Id, Places>,
}

impl Definitions {
    /// The files that are known.
    pub fn files(&self) -> impl Iterator<Item = &Arc<str>> {
        self.files.keys()
    }

    /// Whether the file defines anything.
    pub fn defines(&self, file: &str) -> bool {
        self.files.get(file).is_some_and(|ids| !ids.is_empty())
    }

    /// The file defines this and nothing else.
    pub fn set(&mut self, file: &str, defined: Vec<Defined>) -> Vec<Event> {
        let file: Arc<str> = file.into();
        let new: Vec<(Id, Arc<Defined>)> =
            defined.into_iter().map(|item| ((item.object.kind(), item.object.name()), Arc::new(item))).collect();
        let after: BTreeSet<Id> = new.iter().map(|(id, _)| id.clone()).collect();
        let mut touched = self.files.insert(file.clone(), after.clone()).unwrap_or_default();
        touched.extend(after);
        let before: Vec<_> = touched.into_iter().map(|id| (self.in_force(&id), id)).collect();
        for (_, id) in &before {
            self.objects.entry(id.clone()).or_default().retain(|(other, _), _| *other != file);
        }
        for (place, (id, item)) in new.into_iter().enumerate() {
            self.objects.entry(id).or_default().insert((file.clone(), place), item);
        }
        before.into_iter().flat_map(|(before, id)| self.events(before, id)).collect()
    }

    /// The file is gone.
    pub fn remove(&mut self, file: &str) -> Vec<Event> {
        let events = self.set(file, Vec::new());
        self.files.remove(file);
        events
    }

    fn in_force(&self, id: &Id) -> InForce {
        let mut definitions = self.objects.get(id).into_iter().flatten();
        InForce { first: definitions.next().map(place), second: definitions.next().map(place) }
    }

    fn events(&mut self, before: InForce, id: Id) -> Vec<Event> {
        let after = self.in_force(&id);
        if after.first.is_none() {
            self.objects.remove(&id);
        }
        let (kind, name) = id;
        let object = match (&before.first, &after.first) {
            (Some(_), None) => Some(Event::Delete(kind, name.clone())),
            (Some((_, old)), Some((_, new))) if old.object == new.object => None,
            (_, Some((_, new))) => Some(new.object.clone().into()),
            (None, None) => None,
        };
        let subject = Subject::Object(kind, name);
        let duplicate = match (before.trouble(), after.trouble()) {
            (old, Some(new)) if old.as_ref() != Some(&new) => Some(Event::Trouble(subject, new.into())),
            (Some(_), None) => Some(Event::Recovered(subject)),
            _ => None,
        };
        object.into_iter().chain(duplicate).collect()
    }
}

/// The definition that counts, and the first that doesn't.
struct InForce {
    first: Option<(FileLine, Arc<Defined>)>,
    second: Option<(FileLine, Arc<Defined>)>,
}

impl InForce {
    fn trouble(&self) -> Option<FileTrouble> {
        let (used, _) = self.first.clone()?;
        let (ignored, _) = self.second.clone()?;
        Some(FileTrouble::Duplicate { used, ignored })
    }
}

fn place((at, defined): (&(Arc<str>, usize), &Arc<Defined>)) -> (FileLine, Arc<Defined>) {
    (FileLine { file: at.0.to_string(), line: defined.line }, defined.clone())
}

#[cfg(test)]
mod tests {
    use super::super::parse::yaml;
    use super::*;
    use crate::watch::objects::Object;

    fn service(name: &str, port: u16) -> String {
        format!("---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: {port}}}]}}\n")
    }

    fn said(events: &[Event]) -> Vec<String> {
        let text = |event: &Event| match event {
            Event::Apply(object) => {
                let Object::Service(service) = &**object else { panic!("{object:?}") };
                format!("apply {} {}", service.metadata.name.as_ref().unwrap(), service.spec.ports[0].port)
            }
            Event::Delete(kind, name) => format!("delete {kind} {name}"),
            Event::Trouble(subject, trouble) => format!("{subject} {trouble}"),
            Event::Recovered(subject) => format!("recovered {subject}"),
            other => panic!("{other:?}"),
        };
        events.iter().map(text).collect()
    }

    #[test]
    fn differences_alone_are_said() {
        let mut all = Definitions::default();
        let text = service("a", 1) + &service("b", 1);
        assert_eq!(said(&all.set("x.yaml", yaml(&text).unwrap())), ["apply a 1", "apply b 1"]);
        assert_eq!(said(&all.set("x.yaml", yaml(&text).unwrap())), [""; 0]);
        let text = service("b", 2) + &service("c", 1);
        let events = all.set("x.yaml", yaml(&text).unwrap());
        assert_eq!(said(&events), ["delete Service default/a", "apply b 2", "apply c 1"]);
        assert_eq!(said(&all.remove("x.yaml")), ["delete Service default/b", "delete Service default/c"]);
        assert_eq!(all.files().count(), 0);
        assert!(all.objects.is_empty());
    }

    #[test]
    fn of_duplicates_the_first_file_counts_whatever_came_first() {
        let mut all = Definitions::default();
        assert_eq!(said(&all.set("b.yaml", yaml(&service("a", 2)).unwrap())), ["apply a 2"]);
        let duplicate =
            "Service default/a defined in a.yaml:1 and again in b.yaml:1; the first by file name counts, remove the other";
        assert_eq!(said(&all.set("a.yaml", yaml(&service("a", 1)).unwrap())), ["apply a 1", duplicate]);
        assert_eq!(said(&all.set("b.yaml", yaml(&service("a", 3)).unwrap())), [""; 0]);
        assert_eq!(said(&all.remove("a.yaml")), ["apply a 3", "recovered Service default/a"]);
    }

    #[test]
    fn a_duplicate_in_one_file() {
        let mut all = Definitions::default();
        let events = all.set("a.yaml", yaml(&(service("a", 1) + &service("a", 2))).unwrap());
        assert!(said(&events)[1].contains("a.yaml:1 and again in a.yaml:6"), "{:?}", said(&events));
    }
}
