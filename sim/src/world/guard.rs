// SPDX-License-Identifier: Apache-2.0
//! Runs a machine of the core so that its panic is a broken promise and not the simulator's end.

use std::{
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Once,
};

use crate::oracle::{Check, Property, Violation};

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
    /// Whether a machine runs, whose panic is judged; the simulator's own panics are shown.
    static JUDGED: Cell<bool> = const { Cell::new(false) };
}

/// Calls a machine; its panic is a broken promise.
pub fn guarded(call: impl FnOnce()) -> Check {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if JUDGED.get() {
                PANIC.with_borrow_mut(|text| *text = info.to_string());
            } else {
                usual(info);
            }
        }));
    });
    JUDGED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(call));
    JUDGED.set(false);
    outcome.map_err(|cause| {
        let mut what = PANIC.take();
        if what.is_empty() {
            let text = cause.downcast_ref::<String>().cloned();
            let literal = cause.downcast_ref::<&str>().map(ToString::to_string);
            what = text.or(literal).unwrap_or_else(|| "a panic".to_owned());
        }
        Violation::new(Property::NoPanic, what)
    })
}
