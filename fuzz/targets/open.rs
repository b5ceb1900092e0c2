//! Files whose bytes are arbitrary, or whose fields are, are opened and used: see `attack::Door`.

#![no_main]

#[path = "../../crates/penstock-core/tests/common/mod.rs"]
mod common;
mod scene;

use common::Place;
use common::attack::{Door, Script};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static DOOR: OnceLock<(Place, Door)> = OnceLock::new();

fuzz_target!(init: {
    let place = Place::new("fuzz-open");
    let door = Door::new(&place);
    scene::attach_bystander(&place, || ());
    let _ = DOOR.set((place, door));
}, |bytes: &[u8]| {
    let (_, door) = DOOR.get().expect("made at the start");
    match bytes.split_first() {
        Some((0, raw)) => door.visit(&mut Script(&[]), Some(raw)),
        Some((_, script)) => door.visit(&mut Script(script), None),
        None => false,
    };
});
