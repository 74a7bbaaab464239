//! Frames made and judged by code of their own: [`crate::testing`].

mod frames;
mod parse;
mod reject;
mod rewrite;
