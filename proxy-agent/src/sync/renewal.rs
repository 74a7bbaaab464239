//! The renewal of FLOW_FILTER, a step with each sweep: the half that is not asked is cleared; it gets the keys that stand in the
//! tables; and it is asked from then on.
//!
//! The time between two steps lets programs that have set a bit just before the clearing finish their insert, so that the key is
//! found in its table; has what is noted reach every CPU before it is asked; and lets those that still ask the old half have
//! their answer before that is cleared. An agent that starts begins with clearing, whatever the last one was at.

use crate::maps::{FLOW_TABLES, Flows, MapError};

/// What is to be done next.
#[derive(Clone, Copy, Debug, Default)]
pub enum Renewal {
    /// Clear the half that is not asked.
    #[default]
    Clear,
    /// Note the keys of the flow tables in it.
    Note,
    /// Have it asked.
    Ask,
}

impl Renewal {
    /// The next step; not within a second of the last one.
    pub fn step(&mut self, flows: &impl Flows) -> Result<(), MapError> {
        *self = match *self {
            Self::Clear => {
                flows.clear_filter();
                Self::Note
            }
            Self::Note => {
                for table in FLOW_TABLES {
                    flows.walk(table, &mut |keys, _| flows.note_in_filter(keys))?;
                }
                Self::Ask
            }
            Self::Ask => {
                flows.ask_other_filter();
                Self::Clear
            }
        };
        Ok(())
    }
}
