//! What `sync` needs of the tables. Ids and indexes that are written lie below [`Read::capacity`]; reads beyond it are zero.

use super::{Capacity, MapError, Partial};
use proxy_common::abi::{
    Backend, BackendId, BackendState, Descriptor, Frontend, FrontendKey, ServiceId, ServiceName, ServiceWord, SourceRange,
};

/// The tables as they stand.
pub trait Read {
    /// Numbers of entries in force.
    fn capacity(&self) -> Capacity;
    /// Which descriptor is in force.
    fn service(&self, id: ServiceId) -> ServiceWord;
    /// A descriptor.
    fn descriptor(&self, index: u32) -> Descriptor;
    /// One place of a set.
    fn slot(&self, index: u32) -> BackendId;
    /// An endpoint.
    fn backend(&self, id: BackendId) -> Backend;
    /// An endpoint's state.
    fn backend_state(&self, id: BackendId) -> BackendState;
    /// Who a service is.
    fn name(&self, id: ServiceId) -> ServiceName;
    /// All frontends, in no order.
    fn frontends(&self) -> Result<Vec<(FrontendKey, Frontend)>, MapError>;
    /// All source ranges, in no order.
    fn source_ranges(&self) -> Result<Vec<SourceRange>, MapError>;

    /// The services in force, by id.
    fn in_force(&self) -> impl Iterator<Item = ServiceId> {
        (0..self.capacity().services).map(ServiceId).filter(|id| self.service(*id) != ServiceWord::NONE)
    }
}

/// The tables as `sync` changes them. Stores become visible in the order in which they are made.
pub trait Maps: Read {
    /// The flip: with one store the service means what its new descriptor says.
    fn set_service(&mut self, id: ServiceId, word: ServiceWord);
    /// Writes a descriptor that no service word names.
    fn set_descriptor(&mut self, index: u32, descriptor: Descriptor);
    /// Writes a place that programs cannot reach.
    fn set_slot(&mut self, index: u32, backend: BackendId);
    /// Writes address, port and flags, and then, with release order, the generation.
    fn set_backend(&mut self, id: BackendId, backend: Backend);
    /// Writes a backend's state.
    fn set_backend_state(&mut self, id: BackendId, state: BackendState);
    /// Writes the name of a service that is not in force.
    fn set_name(&mut self, id: ServiceId, name: ServiceName);
    /// Inserts or replaces frontends.
    fn insert_frontends(&mut self, entries: &[(FrontendKey, Frontend)]) -> Result<(), Partial>;
    /// Removes frontends; one that is not there is no error.
    fn remove_frontends(&mut self, keys: &[FrontendKey]) -> Result<(), Partial>;
    /// Inserts source ranges into sets that no descriptor in force names.
    fn insert_source_ranges(&mut self, ranges: &[SourceRange]) -> Result<(), Partial>;
    /// Removes source ranges; one that is not there is no error.
    fn remove_source_ranges(&mut self, ranges: &[SourceRange]) -> Result<(), Partial>;
    /// Sets the connection counters of services to zero.
    fn clear_counters(&mut self, ids: &[ServiceId]) -> Result<(), Partial>;
}
