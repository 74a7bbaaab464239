//! Tables that write down what is done to them.

mod maps;

pub use maps::Recording;
