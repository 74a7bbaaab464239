//! Where the programs of the control plane are.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// A program of the control plane: from `$KUBEBUILDER_ASSETS`, else as `cargo xtask test` built it.
pub fn program(name: &str) -> Result<PathBuf> {
    let given = ["KUBEBUILDER_ASSETS", "SLUICE_CONTROLPLANE"].into_iter().filter_map(env::var_os).map(PathBuf::from);
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target").join("controlplane");
    for folder in given.chain([built]) {
        let path = folder.join(name);
        if path.exists() {
            return Ok(path);
        }
    }
    bail!("no {name}: cargo xtask setup builds it")
}
