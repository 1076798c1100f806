// SPDX-License-Identifier: Apache-2.0
//! Elections among whole servers over a network in memory: stories with golden output, arbitrary
//! orders of delivery, and each of the zoo's bugs shown by what it breaks.

mod bugs;
mod net;
mod random;
mod scenario;
