//! Tables that fail: chosen operations are refused, or nothing gets through after the n-th, as if the agent had been killed there.

use super::{Capacity, MapError, MapName, Maps, Partial, Read};
use nix::errno::Errno;
use proxy_common::abi::{
    Backend, BackendId, BackendState, Descriptor, Frontend, FrontendKey, ServiceId, ServiceName, ServiceWord, SourceRange,
};

/// Decides which operations on hash tables fail: told the table and how many entries were tried before, it names the error.
pub type Refusal = Box<dyn FnMut(MapName, u64) -> Option<Errno> + Send>;

/// A body around another one.
pub struct FaultyMaps<M> {
    inner: M,
    done: u64,
    last: u64,
    tried: u64,
    refusal: Refusal,
    pause: Box<dyn FnMut() + Send>,
}

impl<M: Maps> FaultyMaps<M> {
    /// Lets everything through.
    pub fn new(inner: M) -> Self {
        Self { inner, done: 0, last: u64::MAX, tried: 0, refusal: Box::new(|_, _| None), pause: Box::new(|| {}) }
    }

    /// Lets `operations` through, entries of batches counted one by one, and nothing after them.
    #[must_use]
    pub fn dying_after(self, operations: u64) -> Self {
        Self { last: operations, ..self }
    }

    /// Refuses what `refusal` says.
    #[must_use]
    pub fn refusing(self, refusal: impl FnMut(MapName, u64) -> Option<Errno> + Send + 'static) -> Self {
        Self { refusal: Box::new(refusal), ..self }
    }

    /// Calls `pause` before each operation, so that others may run between any two.
    #[must_use]
    pub fn pausing(self, pause: impl FnMut() + Send + 'static) -> Self {
        Self { pause: Box::new(pause), ..self }
    }

    /// How many operations were asked for.
    pub const fn operations(&self) -> u64 {
        self.done
    }

    /// The tables within.
    pub fn into_inner(self) -> M {
        self.inner
    }

    fn lives(&mut self) -> bool {
        (self.pause)();
        self.done += 1;
        self.done <= self.last
    }

    fn batch<T: Copy>(
        &mut self,
        map: MapName,
        entries: &[T],
        apply: impl Fn(&mut M, &[T]) -> Result<(), Partial>,
    ) -> Result<(), Partial> {
        for (done, entry) in entries.iter().enumerate() {
            self.tried += 1;
            if let Some(errno) = (self.refusal)(map, self.tried - 1) {
                return Err(Partial { done, error: MapError::Kernel { map, call: "batch", errno } });
            }
            if self.lives() {
                apply(&mut self.inner, &[*entry]).map_err(|Partial { error, .. }| Partial { done, error })?;
            }
        }
        Ok(())
    }
}

impl<M: Read> Read for FaultyMaps<M> {
    fn capacity(&self) -> Capacity {
        self.inner.capacity()
    }

    fn service(&self, id: ServiceId) -> ServiceWord {
        self.inner.service(id)
    }

    fn descriptor(&self, index: u32) -> Descriptor {
        self.inner.descriptor(index)
    }

    fn slot(&self, index: u32) -> BackendId {
        self.inner.slot(index)
    }

    fn backend(&self, id: BackendId) -> Backend {
        self.inner.backend(id)
    }

    fn backend_state(&self, id: BackendId) -> BackendState {
        self.inner.backend_state(id)
    }

    fn name(&self, id: ServiceId) -> ServiceName {
        self.inner.name(id)
    }

    fn frontends(&self) -> Result<Vec<(FrontendKey, Frontend)>, MapError> {
        self.inner.frontends()
    }

    fn source_ranges(&self) -> Result<Vec<SourceRange>, MapError> {
        self.inner.source_ranges()
    }
}

impl<M: Maps> Maps for FaultyMaps<M> {
    fn set_service(&mut self, id: ServiceId, word: ServiceWord) {
        if self.lives() {
            self.inner.set_service(id, word);
        }
    }

    fn set_descriptor(&mut self, index: u32, descriptor: Descriptor) {
        if self.lives() {
            self.inner.set_descriptor(index, descriptor);
        }
    }

    fn set_slot(&mut self, index: u32, backend: BackendId) {
        if self.lives() {
            self.inner.set_slot(index, backend);
        }
    }

    fn set_backend(&mut self, id: BackendId, backend: Backend) {
        if self.lives() {
            self.inner.set_backend(id, backend);
        }
    }

    fn set_backend_state(&mut self, id: BackendId, state: BackendState) {
        if self.lives() {
            self.inner.set_backend_state(id, state);
        }
    }

    fn set_name(&mut self, id: ServiceId, name: ServiceName) {
        if self.lives() {
            self.inner.set_name(id, name);
        }
    }

    fn insert_frontends(&mut self, entries: &[(FrontendKey, Frontend)]) -> Result<(), Partial> {
        self.batch(MapName::Frontends, entries, M::insert_frontends)
    }

    fn remove_frontends(&mut self, keys: &[FrontendKey]) -> Result<(), Partial> {
        self.batch(MapName::Frontends, keys, M::remove_frontends)
    }

    fn insert_source_ranges(&mut self, ranges: &[SourceRange]) -> Result<(), Partial> {
        self.batch(MapName::SourceRanges, ranges, M::insert_source_ranges)
    }

    fn remove_source_ranges(&mut self, ranges: &[SourceRange]) -> Result<(), Partial> {
        self.batch(MapName::SourceRanges, ranges, M::remove_source_ranges)
    }

    fn clear_counters(&mut self, ids: &[ServiceId]) -> Result<(), Partial> {
        self.batch(MapName::ServiceCounters, ids, M::clear_counters)
    }
}
