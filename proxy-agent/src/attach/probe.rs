//! What the kernel and the process's rights must offer, asked before anything is loaded.

use std::fmt;

/// The oldest kernel that runs all of it: tcx links came with 6.6, a route's preferred source for programs with 6.7.
const FLOOR: Release = Release(6, 7);
/// Kernel's types, which programs and maps refer to.
const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";
/// Bits of capabilities, as in `linux/capability.h`.
const CAPABILITIES: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (38, "CAP_PERFMON"), (39, "CAP_BPF")];
/// Stands for CAP_BPF and CAP_PERFMON.
const CAP_SYS_ADMIN: u32 = 21;

/// What is missing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The kernel is too old.
    #[error("the kernel is {found}, and {FLOOR} or later is needed: upgrade it, or keep kube-proxy on this node")]
    KernelTooOld {
        /// What runs.
        found: Release,
    },
    /// The process lacks rights.
    #[error("missing {}: run as root, or give the container these capabilities", .0.join(", "))]
    Capabilities(Vec<&'static str>),
    /// The kernel carries no type information.
    #[error("{KERNEL_BTF} is missing: boot a kernel built with CONFIG_DEBUG_INFO_BTF=y (every distribution's is)")]
    NoBtf,
}

/// A kernel's version, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Release(u32, u32);

/// Asks the running kernel.
pub fn run() -> Result<(), ProbeError> {
    let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    judge(&release.unwrap_or_default(), &status, std::path::Path::new(KERNEL_BTF).exists())
}

/// Whether the kernel's types name a constant: how features are found that were ported back to older kernels.
pub fn kernel_knows(constant: &str) -> bool {
    let name: Vec<u8> = [&[0], constant.as_bytes(), &[0]].concat();
    std::fs::read(KERNEL_BTF).is_ok_and(|types| types.windows(name.len()).any(|window| window == name))
}

fn judge(release: &str, status: &str, btf: bool) -> Result<(), ProbeError> {
    if let Some(found) = parse_release(release).filter(|found| *found < FLOOR) {
        return Err(ProbeError::KernelTooOld { found });
    }
    let missing = missing_capabilities(status);
    if !missing.is_empty() {
        return Err(ProbeError::Capabilities(missing));
    }
    if btf { Ok(()) } else { Err(ProbeError::NoBtf) }
}

fn parse_release(text: &str) -> Option<Release> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some(Release(numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn missing_capabilities(status: &str) -> Vec<&'static str> {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let Some(set) = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()) else { return Vec::new() };
    let has = |bit: u32| set >> bit & 1 == 1;
    CAPABILITIES
        .iter()
        .filter(|(bit, name)| !has(*bit) && (*name == "CAP_NET_ADMIN" || !has(CAP_SYS_ADMIN)))
        .map(|(_, name)| *name)
        .collect()
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "Name:\tsluice\nCapEff:\t000001ffffffffff\n";

    #[test]
    fn kernels() {
        assert_eq!(judge("6.18.44-fc-v669", ALL, true), Ok(()));
        assert_eq!(judge("6.7.0", ALL, true), Ok(()));
        assert_eq!(judge("6.1.0-28-amd64", ALL, true), Err(ProbeError::KernelTooOld { found: Release(6, 1) }));
        assert_eq!(judge("5.15", ALL, true), Err(ProbeError::KernelTooOld { found: Release(5, 15) }));
    }

    #[test]
    fn capabilities() {
        let just_enough = "CapEff:\t000000c000001000\n";
        assert_eq!(judge("6.12.1", just_enough, true), Ok(()));
        assert_eq!(judge("6.12.1", "CapEff:\t0000000000201000\n", true), Ok(()));
        let error = judge("6.12.1", "CapEff:\t0000000000001000\n", true).unwrap_err();
        assert_eq!(error, ProbeError::Capabilities(vec!["CAP_PERFMON", "CAP_BPF"]));
        assert!(error.to_string().starts_with("missing CAP_PERFMON, CAP_BPF:"), "{error}");
    }

    #[test]
    fn constants_of_the_kernel() {
        assert!(kernel_knows("BPF_F_TUNINFO_IPV6") || !std::path::Path::new(KERNEL_BTF).exists());
        assert!(!kernel_knows("BPF_F_NO_SUCH_FLAG"));
    }

    #[test]
    fn type_information() {
        assert_eq!(judge("6.12.1", ALL, false), Err(ProbeError::NoBtf));
    }
}
