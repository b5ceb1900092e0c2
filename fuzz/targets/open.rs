//! Files whose bytes are arbitrary, or whose fields are, are opened and used: see `attack::Door`.

#![no_main]

#[path = "../../crates/penstock-core/tests/common/mod.rs"]
mod common;
mod scene;

use common::Place;
use common::attack::Door;
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static DOOR: OnceLock<(Place, Door)> = OnceLock::new();

fuzz_target!(init: {
    let place = Place::new("fuzz-open");
    let door = Door::new(&place);
    scene::attach_bystander(&place, || ());
    let _ = DOOR.set((place, door));
}, |bytes: &[u8]| {
    DOOR.get().expect("made at the start").1.visit_as_told(bytes);
});
