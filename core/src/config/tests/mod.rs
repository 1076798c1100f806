// SPDX-License-Identifier: Apache-2.0
//! Configuration texts and what becomes of them.
mod ensemble;
mod properties;
mod server;
mod values;
