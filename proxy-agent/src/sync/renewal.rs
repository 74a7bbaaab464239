//! The renewal of FLOW_FILTER, a step with each sweep: first the half that is not asked is cleared; with the next step it gets the
//! keys that stand in the tables, and is asked from then on.
//!
//! The time between two steps lets programs that have set a bit just before the clearing finish their insert, so that the key is
//! found in its table; and lets those that still ask the old half have their answer before that is cleared. An agent that
//! starts begins with clearing, whatever the last one was at.

use crate::maps::{FLOW_TABLES, Flows, MapError};

/// What is to be done next.
#[derive(Debug, Default)]
pub struct Renewal {
    cleared: bool,
}

impl Renewal {
    /// The next step; not within a second of the last one.
    pub fn step(&mut self, flows: &impl Flows) -> Result<(), MapError> {
        if self.cleared {
            for table in FLOW_TABLES {
                flows.walk(table, &mut |keys, _| flows.note_in_filter(keys))?;
            }
            flows.ask_other_filter();
        } else {
            flows.clear_filter();
        }
        self.cleared = !self.cleared;
        Ok(())
    }
}
