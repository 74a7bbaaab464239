//! What a machine must be before anything is installed or built on it: ours to use as root, with a kernel that serves.

use anyhow::{Context, Result, bail};
use nix::sys::utsname::uname;

/// The oldest Linux that the programs run on: tcx, and the source address of a route.
const OLDEST: (u32, u32) = (6, 7);

/// Refuses to go on with `cargo xtask COMMAND` where it cannot work, and says what to do.
pub fn check(command: &str) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("network namespaces and eBPF need root; run: sudo env \"PATH=$PATH\" \"HOME=$HOME\" cargo xtask {command}");
    }
    let name = uname().context("asking for the kernel's version")?;
    let release = name.release().to_string_lossy();
    match version(&release) {
        Some(found) if found < OLDEST => {
            bail!("Linux {release} is too old: boot 6.7 or newer (Debian 12 has one in bookworm-backports: linux-image-amd64)")
        }
        _ => Ok(()),
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_releases() {
        assert_eq!(version("6.1.0-28-amd64"), Some((6, 1)));
        assert_eq!(version("6.12.9+bpo-amd64"), Some((6, 12)));
        assert_eq!(version("6.7-rc1"), Some((6, 7)));
        assert_eq!(version("strange"), None);
        assert!(version("6.1.0").unwrap() < OLDEST && version("6.18.44").unwrap() > OLDEST);
    }
}
