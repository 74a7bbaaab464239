//! Runs every check, whatever fails, and says which did.

use anyhow::{Result, bail};

use crate::tidy::{dependencies, lints, sources};

type Check = (&'static str, fn() -> Result<()>);

/// Every check; an error names the failed ones.
pub fn run() -> Result<()> {
    let checks: [Check; 4] = [
        ("house limits", sources::check),
        ("form", lints::form),
        ("lints", lints::lints),
        ("dependencies", dependencies::check),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        println!("tidy: {name}");
        if let Err(error) = check() {
            println!("{error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("not tidy: {}", failed.join(", "));
    }
    Ok(())
}
