// SPDX-License-Identifier: Apache-2.0
//! Every rule of Menagerie, and nothing that touches the outside world.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
