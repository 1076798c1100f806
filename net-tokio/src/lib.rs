// SPDX-License-Identifier: Apache-2.0
//! The thin adapter between the core and a real machine.
#![forbid(unsafe_code)]

pub mod driver;
