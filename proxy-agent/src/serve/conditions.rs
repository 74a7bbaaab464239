//! What about this node would break traffic although the tables are right. Read from /proc/sys, which shows the caller's
//! network namespace; each condition has one name in `sluice status` and in `sluice_degraded`.

use super::report::Warning;
use std::fs;
use std::path::Path;

/// The folder of network settings.
pub const PROC_NET: &str = "/proc/sys/net";

const STRICT: u32 = 1;

/// The conditions that hold, by the files below `settings`; `uplinks` are the names of uplinks.
pub fn of_host(settings: &Path, uplinks: &[&str]) -> Vec<Warning> {
    let mut found = Vec::new();
    found.extend(forwarding(settings, "ipv4/ip_forward", "IPv4", "net.ipv4.ip_forward"));
    found.extend(forwarding(settings, "ipv6/conf/all/forwarding", "IPv6", "net.ipv6.conf.all.forwarding"));
    found.extend(reverse_path(settings, uplinks));
    found
}

fn forwarding(settings: &Path, file: &str, family: &str, name: &str) -> Option<Warning> {
    (read(settings, file)? == 0).then(|| Warning {
        condition: format!("no_forwarding_{}", family.to_lowercase()),
        message: format!(
            "{family} forwarding is off, so clients from outside don't reach pods of this node: `sysctl -w {name}=1`"
        ),
    })
}

fn reverse_path(settings: &Path, uplinks: &[&str]) -> Option<Warning> {
    if uplinks.len() < 2 {
        return None;
    }
    let mode = |device: &str| read(settings, &format!("ipv4/conf/{device}/rp_filter")).unwrap_or(0);
    let all = mode("all");
    let strict: Vec<_> = uplinks.iter().copied().filter(|device| all.max(mode(device)) == STRICT).collect();
    (!strict.is_empty()).then(|| Warning {
        condition: "strict_rp_filter".into(),
        message: format!(
            "strict rp_filter on {}: clients that come in by one uplink and are answered by another are dropped; \
             set net.ipv4.conf.DEVICE.rp_filter to 2",
            strict.join(", ")
        ),
    })
}

/// A setting; `None` where the kernel has none (no IPv6).
fn read(settings: &Path, file: &str) -> Option<u32> {
    fs::read_to_string(settings.join(file)).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn names(files: &[(&str, &str)], uplinks: &[&str]) -> Vec<String> {
        of_host(settings(files).path(), uplinks).into_iter().map(|warning| warning.condition).collect()
    }

    #[test]
    fn forwarding_that_is_off() {
        let on = [("ipv4/ip_forward", "1\n"), ("ipv6/conf/all/forwarding", "1\n")];
        assert!(names(&on, &["eth0"]).is_empty());
        assert_eq!(names(&[("ipv4/ip_forward", "0\n")], &["eth0"]), ["no_forwarding_ipv4"], "a kernel without IPv6");
        assert_eq!(names(&[on[0], ("ipv6/conf/all/forwarding", "0\n")], &[]), ["no_forwarding_ipv6"]);
    }

    #[test]
    fn strict_filters_matter_with_two_uplinks() {
        let strict = [("ipv4/conf/all/rp_filter", "0"), ("ipv4/conf/eth1/rp_filter", "1")];
        assert!(names(&strict, &["eth1"]).is_empty());
        assert_eq!(names(&strict, &["eth0", "eth1"]), ["strict_rp_filter"]);
        let loose = [("ipv4/conf/all/rp_filter", "2"), ("ipv4/conf/eth1/rp_filter", "1")];
        assert!(names(&loose, &["eth0", "eth1"]).is_empty(), "the kernel takes the larger");
    }
}
