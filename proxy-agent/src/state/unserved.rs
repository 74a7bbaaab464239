//! What Services ask for and do not get yet, each never silently.

use std::fmt;

/// Something that a Service asks for and does not get.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Unserved {
    /// Its SCTP ports are not served.
    Sctp,
}

impl Unserved {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::Sctp];

    /// The name in metrics, and in the CLI.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Unserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sctp => "SCTP ports are not served",
        })
    }
}

/// A set of [`Unserved`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UnservedSet(u16);

impl UnservedSet {
    /// Whether there is nothing in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `item` is in it.
    pub const fn contains(self, item: Unserved) -> bool {
        self.0 & 1 << item as u8 != 0
    }

    /// Puts `item` in it.
    pub const fn insert(&mut self, item: Unserved) {
        self.0 |= 1 << item as u8;
    }

    /// What is in one or the other.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What is in it, in order.
    pub fn iter(self) -> impl Iterator<Item = Unserved> {
        Unserved::ALL.into_iter().filter(move |item| self.contains(*item))
    }
}

impl FromIterator<Unserved> for UnservedSet {
    fn from_iter<I: IntoIterator<Item = Unserved>>(items: I) -> Self {
        items.into_iter().fold(Self::default(), |mut set, item| {
            set.insert(item);
            set
        })
    }
}
