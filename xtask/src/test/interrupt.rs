//! Ctrl-C and SIGTERM: the running test program is ended, and what it made is waited for to go.
//!
//! Every rig of the tests has a janitor process that outlives it and removes its namespaces,
//! cgroups and pins; this module only gives those the time they need, and says what is left.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const PATIENCE: Duration = Duration::from_secs(15);

/// Whether the user wants to stop, and whom to tell.
#[derive(Clone)]
pub struct Interrupt {
    raised: Arc<AtomicBool>,
    child: Arc<Mutex<Option<Pid>>>,
    before: Arc<BTreeSet<String>>,
}

impl Interrupt {
    /// Takes over both signals.
    pub fn watch() -> Result<Self> {
        let this = Self { raised: Arc::default(), child: Arc::default(), before: Arc::new(namespaces()) };
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let watcher = this.clone();
        thread::spawn(move || signals.forever().for_each(|_| watcher.stop()));
        Ok(this)
    }

    /// Whether it is time to stop.
    pub fn raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    /// Names the process that a signal is passed on to.
    pub fn set_child(&self, pid: Option<u32>) {
        let pid = pid.and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
        *self.child.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = pid;
    }

    /// Waits until the namespaces that came up since [`Interrupt::watch`] are gone.
    pub fn wait_for_janitors(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left: Vec<String> = namespaces().difference(&self.before).cloned().collect();
            if left.is_empty() {
                return;
            }
            if Instant::now() > deadline {
                println!("interrupted; still there, remove with `ip netns del`: {}", left.join(" "));
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn stop(&self) {
        self.raised.store(true, Ordering::Relaxed);
        if let Some(pid) = *self.child.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) {
            // It may have ended by itself in between.
            let _ = kill(pid, Signal::SIGTERM);
        }
    }
}

fn namespaces() -> BTreeSet<String> {
    let entries = fs::read_dir("/run/netns").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).filter(|name| name.starts_with("sluice-")).collect()
}
