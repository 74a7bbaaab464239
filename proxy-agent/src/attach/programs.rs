//! Programs of the object, loaded: handed out as descriptors, so that everything else of the object can be freed.

use super::links::Programs;
use aya::Ebpf;
use aya::programs::{Program, ProgramError};
use std::os::fd::AsFd;

/// A program that can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The kernel refused.
    #[error("the kernel refuses program {name}: {source}; upgrade the kernel, or report this with the kernel's version")]
    Refused {
        /// The program's name.
        name: String,
        /// Why.
        source: ProgramError,
    },
    /// It can't be handed out.
    #[error("can't duplicate the descriptor of program {name}: {source}; raise the limit of open files")]
    Descriptor {
        /// The program's name.
        name: String,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// Loads every program of the object that `wanted` names.
pub fn load(object: &mut Ebpf, wanted: &dyn Fn(&str) -> bool) -> Result<Programs, LoadError> {
    let mut loaded = Programs::new();
    for (name, program) in object.programs_mut().filter(|(name, _)| wanted(name)) {
        let refused = |source| LoadError::Refused { name: name.into(), source };
        match program {
            Program::CgroupSockAddr(program) => program.load(),
            Program::SchedClassifier(program) => program.load(),
            Program::Xdp(program) => program.load(),
            _ => continue,
        }
        .map_err(refused)?;
        let descriptor = program
            .fd()
            .map_err(refused)?
            .as_fd()
            .try_clone_to_owned()
            .map_err(|source| LoadError::Descriptor { name: name.into(), source })?;
        loaded.insert(name.into(), descriptor);
    }
    Ok(loaded)
}
