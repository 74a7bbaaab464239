//! Sluice.
#![no_std]
