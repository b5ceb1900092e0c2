//! Words of live objects are overwritten between calls on them: see `attack::World`.

#![no_main]

#[path = "../../crates/penstock-core/tests/common/mod.rs"]
mod common;
mod scene;

use common::Place;
use common::attack::{Script, World};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

const STEPS: u32 = 24;

static WORLD: OnceLock<(Place, World)> = OnceLock::new();

fuzz_target!(init: {
    let place = Place::new("fuzz-live");
    let world = World::new(&place);
    scene::attach_bystander(&place, || world.attach_all());
    let _ = WORLD.set((place, world));
}, |bytes: &[u8]| {
    WORLD.get().expect("made at the start").1.attack(&mut Script(bytes), STEPS);
});
