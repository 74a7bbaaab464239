//! What a grace period has freed: first cleared, so that whatever an agent finds that is not zero was in use, then given back.

use super::Sync;
use super::retire::Retired;
use crate::maps::{Maps, Partial};
use bytemuck::Zeroable;
use proxy_common::abi::{Backend, BackendId, BackendState, Descriptor, RangeSet, ServiceId, ServiceName, SourceRange};

impl<M: Maps> Sync<M> {
    pub(super) fn release(&mut self, free: Vec<Retired>) {
        let mut services = Vec::new();
        for retired in free {
            match retired {
                Retired::Service(id) => {
                    self.maps.set_name(id, ServiceName::zeroed());
                    services.push(id);
                }
                Retired::Descriptor(index) => {
                    self.maps.set_descriptor(index, Descriptor::default());
                    self.space.give(retired);
                }
                Retired::Slots((first, order)) => {
                    (first..first + (1 << order)).for_each(|slot| self.maps.set_slot(slot, BackendId::default()));
                    self.space.give(retired);
                }
                Retired::Sources(set) => self.release_sources(set),
                Retired::Backend(id) => {
                    self.maps.set_backend_state(id, BackendState::default());
                    self.maps.set_backend(id, Backend::zeroed());
                    self.space.give(retired);
                }
            }
        }
        self.release_services(&services);
    }

    /// A set that resists waits for the next grace period.
    fn release_sources(&mut self, set: RangeSet) {
        let entries: Vec<SourceRange> = self.space.sources.entries(set).collect();
        match self.maps.remove_source_ranges(&entries) {
            Ok(()) => self.space.sources.give(set),
            Err(Partial { error, .. }) => {
                tracing::warn!(%error, "a set of source ranges cannot be taken out yet");
                self.retired.put_off(Retired::Sources(set));
            }
        }
    }

    /// A service id is free once its counter is zero; one that resists waits for the next grace period.
    fn release_services(&mut self, ids: &[ServiceId]) {
        let mut rest = ids;
        while !rest.is_empty() {
            let done = match self.maps.clear_counters(rest) {
                Ok(()) => rest.len(),
                Err(Partial { done, error }) => {
                    tracing::warn!(%error, "a service's id cannot be freed yet");
                    self.retired.put_off(Retired::Service(rest[done]));
                    done
                }
            };
            rest[..done].iter().for_each(|id| self.space.services.give(id.0));
            rest = &rest[rest.len().min(done + 1)..];
        }
    }
}
