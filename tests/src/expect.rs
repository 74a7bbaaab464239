//! What a case expects of its connections; every failure names the case.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::agent::Agent;
use crate::cluster::Host;
use crate::net::{Family, Proto};
use crate::traffic::{Answer, Outcome, Probe};
use crate::wire::{Taps, Wire};

/// Bytes of a stream that is compared.
const STREAM: u64 = 10 << 20;

/// Every connection was answered by one of `backends`, and its peer looked to the client like what it had dialled.
pub fn answered<'a>(
    case: &impl Display,
    outcomes: &'a [Outcome],
    to: SocketAddr,
    backends: &[&str],
) -> Result<Vec<&'a Answer>> {
    ensure!(!outcomes.is_empty(), "{case}: nothing was dialled");
    let check = |outcome: &'a Outcome| {
        let answer = outcome.result.as_ref().map_err(|failure| anyhow!("{case}: {failure}"))?;
        ensure!(backends.contains(&answer.by.as_str()), "{case}: answered by {}, not {backends:?}", answer.by);
        ensure!(outcome.remote == Some(to), "{case}: the client sees {:?} as its peer", outcome.remote);
        Ok(answer)
    };
    outcomes.iter().map(check).collect()
}

/// As [`answered`], and the backend saw the client's own address and port.
pub fn answered_to_itself(case: &impl Display, outcomes: &[Outcome], to: SocketAddr, backends: &[&str]) -> Result<()> {
    for (answer, outcome) in answered(case, outcomes, to, backends)?.into_iter().zip(outcomes) {
        ensure!(
            Some(answer.peer) == outcome.local,
            "{case}: the backend sees {}, the client is {:?}",
            answer.peer,
            outcome.local
        );
    }
    Ok(())
}

/// As [`answered`], and the backend saw an address that `is_source` accepts.
pub fn answered_to(
    case: &impl Display,
    outcomes: &[Outcome],
    to: SocketAddr,
    backends: &[&str],
    is_source: impl Fn(&str, IpAddr) -> bool,
) -> Result<()> {
    for answer in answered(case, outcomes, to, backends)? {
        ensure!(is_source(&answer.by, answer.peer.ip()), "{case}: {} sees {}", answer.by, answer.peer);
    }
    Ok(())
}

/// How often a turn is measured whose time is above its limit.
const ATTEMPTS: usize = 3;

/// What a turn measured, once no time in it is above `limit_ms`. A late turn is repeated, twice at most: a pause of the test
/// machine makes one turn late, a late proxy every one. `late` gives the time of one sample, in milliseconds. The samples of late
/// turns go to `dropped`, for whoever reports the others.
pub fn within<T>(
    limit_ms: f64,
    late: impl Fn(&T) -> f64,
    dropped: &mut Vec<T>,
    turn: impl Fn() -> Result<Vec<T>>,
) -> Result<Vec<T>> {
    let mut over = Vec::new();
    for _ in 0..ATTEMPTS {
        let samples = turn()?;
        let worst = samples.iter().map(&late).fold(0.0, f64::max);
        if worst <= limit_ms {
            return Ok(samples);
        }
        println!("REPORT: {worst:.1} ms where {limit_ms:.0} are the limit: measured again");
        dropped.extend(samples);
        over.push(worst);
    }
    bail!("above {limit_ms} ms each time: {over:.1?}")
}

/// How long a refusal may take. Of several in a row one may be late, by a pause of the test machine.
const REFUSAL_MICROS: u64 = 100_000;

/// How long that one may take, and each of TCP's refusals by ICMP. Between namespaces the answer may come while `connect()` still holds the socket; the
/// kernel then forgets an ICMP error, and the SYN sent again after a second meets the next one.
const RESENT_MICROS: u64 = 1_500_000;

/// Every connection was refused, all but one within a tenth of a second.
pub fn refused(case: &impl Display, outcomes: &[Outcome]) -> Result<()> {
    refused_within(case, outcomes, REFUSAL_MICROS)
}

/// Every connection was refused by packets: all but one within a tenth of a second, over TCP at the latest after one SYN sent again.
pub fn refused_by_icmp(case: &impl Display, outcomes: &[Outcome], proto: Proto) -> Result<()> {
    refused_within(case, outcomes, if proto == Proto::Tcp { RESENT_MICROS } else { REFUSAL_MICROS })
}

fn refused_within(case: &impl Display, outcomes: &[Outcome], micros: u64) -> Result<()> {
    ensure!(outcomes.len() > 1, "{case}: dial more than once, as one may be late");
    let mut late = Vec::new();
    for outcome in outcomes {
        let failure = outcome.result.as_ref().err().ok_or_else(|| anyhow!("{case}: answered"))?;
        ensure!(failure.reason == "ECONNREFUSED" && failure.micros < RESENT_MICROS, "{case}: {failure}");
        late.extend((failure.micros >= micros).then_some(failure));
    }
    ensure!(late.len() < 2, "{case}: {} of {} are late, the first: {}", late.len(), outcomes.len(), late[0]);
    Ok(())
}

/// How many connections [`served`] makes.
const SERVED: u16 = 10;

/// The next source port of [`served`], above the kernel's own choice: where two frontends share a backend the kernel may take one port for
/// both, and then the second flow rightly gets another source port.
static NEXT_PORT: AtomicU16 = AtomicU16::new(61_000);

/// Ten connections, each from a port of its own and answered by `by`, which sees the client itself.
pub fn served(client: &Host, to: SocketAddr, proto: Proto, by: &str) -> Result<()> {
    let any = if to.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
    let bind = Some(SocketAddr::new(any, NEXT_PORT.fetch_add(SERVED, Ordering::Relaxed)));
    let outcomes = client.probe(Probe { bind, ..Probe::times(proto, to, SERVED.into()) })?;
    answered_to_itself(&format!("{} -> {to} {proto}", client.name()), &outcomes, to, &[by])
}

/// How long a client waits that shall be dropped.
const PATIENCE_MS: u64 = 300;

/// Connections that nobody answers or refuses, counted at this hook for this reason.
pub fn dropped(agent: &Agent, client: &Host, to: SocketAddr, (hook, reason): (&str, &str)) -> Result<()> {
    let labels = [format!("hook=\"{hook}\""), format!("reason=\"{reason}\"")];
    let count = || Ok::<_, anyhow::Error>(agent.metrics()?.sum("sluice_packets_total", &labels.each_ref().map(String::as_str)));
    for proto in Proto::BOTH {
        let before = count()?;
        let outcomes = client.probe(Probe { timeout_ms: PATIENCE_MS, ..Probe::once(proto, to) })?;
        let failure = outcomes[0].result.as_ref().err().with_context(|| format!("{to} {proto} is answered"))?;
        ensure!(failure.reason == "timeout", "{to} {proto}: {failure}");
        ensure!(count()? > before, "{to} {proto}: nothing is counted as {reason} at {hook}");
    }
    Ok(())
}

/// A stream of 10 MiB comes back as it was sent.
pub fn echoed(from: &Host, to: SocketAddr) -> Result<()> {
    let report = from.stream(to, STREAM)?;
    ensure!(report.failure.is_none() && report.equal == STREAM, "{} → {to}: {report:?}", from.name());
    Ok(())
}

/// Runs an exchange with every device's offload on, and again with it off and a capture at each of `receivers`: all
/// checksums that they receive must be sound. What was captured tells which hook translated.
pub fn with_and_without_offload(devices: &[&Host], receivers: &[&Host], exchange: impl Fn() -> Result<()>) -> Result<Wire> {
    exchange()?;
    devices.iter().try_for_each(|host| host.offload_off())?;
    let taps = Taps::at(receivers)?;
    exchange().map_err(|error| error.context("with offload off"))?;
    let wire = taps.finish()?;
    wire.expect_sound()?;
    devices.iter().try_for_each(|host| host.offload_on())?;
    Ok(wire)
}

/// Every combination of family and protocol.
pub fn families_and_protocols() -> impl Iterator<Item = (Family, Proto)> {
    Family::BOTH.into_iter().flat_map(|family| Proto::BOTH.map(|proto| (family, proto)))
}
