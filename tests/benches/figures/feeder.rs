//! Runs programs on fresh packets by BPF_PROG_TEST_RUN, behind the feeders of `proxy-ebpf/src/bin/reference.rs`.

use std::path::Path;

use anyhow::{Context, Result, bail};
use aya::maps::{Array, HashMap, MapData, PerCpuArray, ProgramArray};
use aya::programs::{Program, ProgramFd, SchedClassifier, TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};

use super::clock::cpu_nanos;
use super::frame::{Frame, LENGTH};

/// The two types of packet programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Xdp,
    Tc,
}

/// How the source port changes from one packet to the next.
#[derive(Clone, Copy)]
pub enum Ports {
    Same,
    /// One more each time, from this on.
    From(u16),
}

/// What came of a run.
pub struct Run {
    /// Nanoseconds of CPU time for one packet, feeder and system call included.
    pub nanos: f64,
    /// The program's verdict on the last packet.
    pub verdict: i32,
    /// The last packet.
    pub out: Frame,
}

/// The feeders and what is measured beside the object.
pub struct Feeder {
    object: Ebpf,
    frame: Array<MapData, [u64; 10]>,
    next: [ProgramArray<MapData>; 2],
    device: u32,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Xdp, Self::Tc];

    /// The program of this type whose name begins so.
    pub fn of(self, name: &str) -> String {
        format!("{name}_{}", self.word())
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::Tc => "tc",
        }
    }
}

impl Feeder {
    /// Loads `target/ebpf/reference.o`; packets come in at `device`.
    pub fn load(object: &Path, device: u32) -> Result<Self> {
        let bytes = std::fs::read(object).with_context(|| format!("{}: run `cargo xtask bench`", object.display()))?;
        let mut object = EbpfLoader::new().load(&bytes)?;
        let mut map = |name: &str| object.take_map(name).with_context(|| format!("no map {name} in the reference object"));
        let frame = Array::try_from(map("FRAME")?)?;
        let next = [ProgramArray::try_from(map("XDP_NEXT")?)?, ProgramArray::try_from(map("TC_NEXT")?)?];
        let mut feeder = Self { object, frame, next, device };
        for kind in Kind::ALL {
            feeder.program(&kind.of("feed"))?;
        }
        Ok(feeder)
    }

    /// One of its own programs, loaded.
    pub fn program(&mut self, name: &str) -> Result<ProgramFd> {
        load(&mut self.object, name)
    }

    /// Makes the frame's tuple one that the reference program knows.
    pub fn know(&mut self, frame: &Frame) -> Result<()> {
        let mut tuples: HashMap<_, [u8; 16], u32> =
            HashMap::try_from(self.object.map_mut("TUPLES").context("no map TUPLES in the reference object")?)?;
        let mut key = [0; 16];
        key[..12].copy_from_slice(&frame[26..38]);
        key[12] = 6;
        Ok(tuples.insert(key, 1, 0)?)
    }

    /// What the next packets look like and which device they are sent from.
    pub fn set_frame(&mut self, frame: &Frame, ports: Ports, device: u32) -> Result<()> {
        let mut words = words(frame, ports);
        words[9] = device.into();
        Ok(self.frame.set(0, words, 0)?)
    }

    /// The XDP program that is called so.
    pub fn xdp(&mut self, name: &str) -> Result<&mut Xdp> {
        Ok(self.object.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?)
    }

    /// Frames that the sink has counted.
    pub fn sunk(&self) -> Result<u64> {
        let map = self.object.map("FRAMES").context("no map FRAMES in the reference object")?;
        let frames: PerCpuArray<_, u64> = map.try_into()?;
        Ok(frames.get(&0, 0)?.iter().sum())
    }

    /// Runs `program` on `repeat` packets like `frame`.
    pub fn run(&mut self, kind: Kind, program: &ProgramFd, frame: &Frame, ports: Ports, repeat: u32) -> Result<Run> {
        self.next[kind as usize].set(0, program, 0)?;
        self.set_frame(frame, ports, 0)?;
        let mut out = [0; 2 * LENGTH];
        let context = context(kind, self.device);
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            repeat,
            ..TestRunOptions::new()
        };
        let name = kind.of("feed");
        let (nanos, result) = match self.object.program(&name).context("no feeder in the reference object")? {
            Program::Xdp(feeder) => cpu_nanos(|| feeder.test_run(options))?,
            Program::SchedClassifier(feeder) => cpu_nanos(|| feeder.test_run(options))?,
            _ => bail!("{name} is no packet program"),
        };
        let result = result.with_context(|| format!("BPF_PROG_TEST_RUN of {name}"))?;
        let end = usize::try_from(result.data_size_out)?;
        let out = out.get(end.saturating_sub(LENGTH)..end).context("a frame of another size came out")?;
        Ok(Run { nanos: nanos / f64::from(repeat), verdict: result.return_value as i32, out: out.try_into()? })
    }
}

/// A program of an object, loaded.
pub fn load(object: &mut Ebpf, name: &str) -> Result<ProgramFd> {
    let program = object.program_mut(name).with_context(|| format!("no program {name}"))?;
    match program {
        Program::Xdp(program) => loaded_xdp(program),
        Program::SchedClassifier(program) => loaded_tc(program),
        _ => bail!("{name} is no packet program"),
    }
    .with_context(|| format!("loading {name}"))
}

fn loaded_xdp(program: &mut Xdp) -> Result<ProgramFd> {
    if program.fd().is_err() {
        program.load()?;
    }
    Ok(program.fd()?.try_clone()?)
}

fn loaded_tc(program: &mut SchedClassifier) -> Result<ProgramFd> {
    if program.fd().is_err() {
        program.load()?;
    }
    Ok(program.fd()?.try_clone()?)
}

/// The value of FRAME.
fn words(frame: &Frame, ports: Ports) -> [u64; 10] {
    let mut words = [0; 10];
    for (word, bytes) in words.iter_mut().zip(frame.chunks_exact(8)) {
        *word = u64::from_ne_bytes(bytes.try_into().expect("a chunk of eight"));
    }
    if let Ports::From(first) = ports {
        words[8] = 1 | u64::from(first) << 32;
    }
    words
}

/// `struct xdp_md` or the head of `struct __sk_buff` (linux/bpf.h) of a frame that `device` received.
fn context(kind: Kind, device: u32) -> Vec<u8> {
    let length = LENGTH as u32;
    let words: Vec<u32> = match kind {
        Kind::Xdp => vec![0, length, 0, device, 0, 0],
        Kind::Tc => [&[0; 9][..], &[device, device]].concat(),
    };
    words.into_iter().flat_map(u32::to_ne_bytes).collect()
}
