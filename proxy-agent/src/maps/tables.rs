//! The mapped tables as one value, whatever memory they lie in, with the hash tables beside them.

use super::{Array, Capacity, MapError, Maps, Memory, Partial, Read};
use proxy_common::abi::{
    Backend, BackendId, BackendState, Descriptor, Frontend, FrontendKey, ServiceId, ServiceName, ServiceWord, SourceRange,
};

/// Mapped arrays in memories `M`, hash tables `H`.
#[derive(Clone, Debug)]
pub struct Tables<M, H> {
    pub(super) capacity: Capacity,
    pub(super) services: Array<M, ServiceWord>,
    pub(super) descriptors: Array<M, Descriptor>,
    pub(super) slots: Array<M, BackendId>,
    pub(super) backends: Array<M, Backend>,
    pub(super) states: Array<M, BackendState>,
    pub(super) names: Array<M, ServiceName>,
    pub(super) hashes: H,
}

/// Hash tables to look into.
pub trait HashRead {
    /// All frontends.
    fn frontends(&self) -> Result<Vec<(FrontendKey, Frontend)>, MapError>;
    /// All source ranges.
    fn source_ranges(&self) -> Result<Vec<SourceRange>, MapError>;
}

/// Hash tables to change.
pub trait HashWrite: HashRead {
    /// See [`Maps::insert_frontends`].
    fn insert_frontends(&mut self, entries: &[(FrontendKey, Frontend)]) -> Result<(), Partial>;
    /// See [`Maps::remove_frontends`].
    fn remove_frontends(&mut self, keys: &[FrontendKey]) -> Result<(), Partial>;
    /// See [`Maps::insert_source_ranges`].
    fn insert_source_ranges(&mut self, ranges: &[SourceRange]) -> Result<(), Partial>;
    /// See [`Maps::remove_source_ranges`].
    fn remove_source_ranges(&mut self, ranges: &[SourceRange]) -> Result<(), Partial>;
    /// See [`Maps::clear_counters`].
    fn clear_counters(&mut self, ids: &[ServiceId]) -> Result<(), Partial>;
}

impl<M: Memory, H: HashRead> Read for Tables<M, H> {
    fn capacity(&self) -> Capacity {
        self.capacity
    }

    fn service(&self, id: ServiceId) -> ServiceWord {
        self.services.load(id.0)
    }

    fn descriptor(&self, index: u32) -> Descriptor {
        self.descriptors.load(index)
    }

    fn slot(&self, index: u32) -> BackendId {
        self.slots.load(index)
    }

    fn backend(&self, id: BackendId) -> Backend {
        self.backends.load(id.0)
    }

    fn backend_state(&self, id: BackendId) -> BackendState {
        self.states.load(id.0)
    }

    fn name(&self, id: ServiceId) -> ServiceName {
        self.names.load(id.0)
    }

    fn frontends(&self) -> Result<Vec<(FrontendKey, Frontend)>, MapError> {
        self.hashes.frontends()
    }

    fn source_ranges(&self) -> Result<Vec<SourceRange>, MapError> {
        self.hashes.source_ranges()
    }
}

impl<M: Memory, H: HashWrite> Maps for Tables<M, H> {
    fn set_service(&mut self, id: ServiceId, word: ServiceWord) {
        self.services.store(id.0, word);
    }

    fn set_descriptor(&mut self, index: u32, descriptor: Descriptor) {
        self.descriptors.store(index, descriptor);
    }

    fn set_slot(&mut self, index: u32, backend: BackendId) {
        self.slots.store(index, backend);
    }

    fn set_backend(&mut self, id: BackendId, backend: Backend) {
        self.backends.store(id.0, backend);
    }

    fn set_backend_state(&mut self, id: BackendId, state: BackendState) {
        self.states.store(id.0, state);
    }

    fn set_name(&mut self, id: ServiceId, name: ServiceName) {
        self.names.store(id.0, name);
    }

    fn insert_frontends(&mut self, entries: &[(FrontendKey, Frontend)]) -> Result<(), Partial> {
        self.hashes.insert_frontends(entries)
    }

    fn remove_frontends(&mut self, keys: &[FrontendKey]) -> Result<(), Partial> {
        self.hashes.remove_frontends(keys)
    }

    fn insert_source_ranges(&mut self, ranges: &[SourceRange]) -> Result<(), Partial> {
        self.hashes.insert_source_ranges(ranges)
    }

    fn remove_source_ranges(&mut self, ranges: &[SourceRange]) -> Result<(), Partial> {
        self.hashes.remove_source_ranges(ranges)
    }

    fn clear_counters(&mut self, ids: &[ServiceId]) -> Result<(), Partial> {
        self.hashes.clear_counters(ids)
    }
}
