//! The slices of one Service, by name. Hardly any Service has many, and a tree would take more memory than what it holds.

use super::slice::Slice;
use std::sync::Arc;

/// The slices of one Service, sorted by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Slices(Vec<(Arc<str>, Slice)>);

impl Slices {
    /// All slices, in the order of their names.
    pub fn values(&self) -> impl Iterator<Item = &Slice> {
        self.0.iter().map(|(_, slice)| slice)
    }

    /// The slice of this name.
    pub fn get(&self, name: &str) -> Option<&Slice> {
        self.find(name).ok().map(|place| &self.0[place].1)
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a slice, or replaces that of the same name.
    pub fn insert(&mut self, name: Arc<str>, slice: Slice) {
        match self.find(&name) {
            Ok(place) => self.0[place].1 = slice,
            Err(place) => {
                self.0.reserve_exact(1);
                self.0.insert(place, (name, slice));
            }
        }
    }

    /// Takes the slice of this name away.
    pub fn remove(&mut self, name: &str) {
        if let Ok(place) = self.find(name) {
            self.0.remove(place);
        }
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| (**other).cmp(name))
    }
}
