//! Shared bytes, under a name and of a file.
#![cfg(unix)] // forks its peers

mod common;

use common::{BY_SIGKILL, Child, Place, die, is_root, one_at_a_time};
use penstock_core::mapping::SIZE_MAX;
use penstock_core::segment::{Lifetime, Trust};
use penstock_core::{Error, Location, Mapping};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

fn make(location: &Location, size: u64) -> Mapping {
    Mapping::create(location, size, Lifetime::UntilUnlinked).expect("created")
}

fn open(location: &Location) -> Mapping {
    Mapping::open(location, None, None, Trust::OwnOnly).expect("opened")
}

fn of_file(path: &Path, size: Option<u64>, writable: bool) -> Result<Mapping, Error> {
    Mapping::of_file(&Location::file(path).expect("a path"), size, writable)
}

fn write(mapping: &Mapping, at: usize, bytes: &[u8]) {
    assert!(at + bytes.len() <= mapping.len() && mapping.is_writable());
    // SAFETY: inside the mapping, checked above.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), mapping.base().add(at), bytes.len()) };
}

fn read(mapping: &Mapping, at: usize, len: usize) -> Vec<u8> {
    assert!(at + len <= mapping.len());
    let mut bytes = vec![0; len];
    // SAFETY: inside the mapping, checked above.
    unsafe { std::ptr::copy_nonoverlapping(mapping.base().add(at), bytes.as_mut_ptr(), len) };
    bytes
}

#[test]
fn new_memory_is_zeros_and_all_see_the_same_bytes() {
    let place = Place::new("mapping-named");
    let location = place.at("m");
    let first = make(&location, 100_001);
    assert_eq!((first.len(), first.base() as usize % 4096), (100_001, 0));
    assert!(read(&first, 0, 100_001).iter().all(|byte| *byte == 0));
    write(&first, 0, b"head");
    write(&first, 99_997, b"tail");
    let second = open(&location);
    assert_eq!((read(&second, 0, 4), read(&second, 99_997, 4)), (b"head".to_vec(), b"tail".to_vec()));
    first.flush(0, 100_001).expect("flushed");
    first.flush(5_000, 7).expect("flushed");
    assert!(matches!(first.flush(1, 100_001), Err(Error::BadValue { .. })));
    assert!(matches!(first.flush(usize::MAX, 2), Err(Error::BadValue { .. })));
}

#[test]
fn what_a_killed_process_wrote_stays() {
    let _one = one_at_a_time();
    let place = Place::new("mapping-killed");
    let location = place.at("m");
    let mapping = make(&location, 10);
    let mut writer = Child::run(|| {
        write(&open(&location), 3, b"abc");
        die();
    });
    assert_eq!(writer.end(), BY_SIGKILL);
    assert_eq!(read(&mapping, 0, 10), b"\0\0\0abc\0\0\0\0");
}

#[test]
fn bytes_stay_mapped_while_anybody_holds_them() {
    let place = Place::new("mapping-held");
    let location = place.at("m");
    let mapping = Mapping::create(&location, 5, Lifetime::WhileOpen).expect("created");
    write(&mapping, 0, b"hello");
    let bytes = std::sync::Arc::clone(mapping.bytes());
    mapping.close();
    assert_eq!(place.entries(), [""; 0], "gone with its last user");
    drop(mapping);
    // SAFETY: five bytes are mapped while `bytes` lives.
    let first = unsafe { bytes.base().read() };
    assert_eq!((first, bytes.len()), (b'h', 5));
}

#[test]
fn opening_insists_on_the_size() {
    let place = Place::new("mapping-open");
    let location = place.at("m");
    let unsized_one = Mapping::open_or_create(&location, None, None, Trust::OwnOnly);
    assert!(matches!(unsized_one, Err(Error::BadValue { what: "size", .. })), "{unsized_one:?}");
    let (_mapping, made) = Mapping::open_or_create(&location, Some(7), None, Trust::OwnOnly).expect("made");
    assert!(made);
    let (again, made) = Mapping::open_or_create(&location, None, None, Trust::OwnOnly).expect("opened");
    assert_eq!((made, again.len()), (false, 7));
    match Mapping::open(&location, Some(8), None, Trust::OwnOnly) {
        Err(Error::Mismatch { what: "size", have, want, .. }) => assert_eq!((have.as_str(), want.as_str()), ("7", "8")),
        other => panic!("{other:?}"),
    }
    again.unlink().expect("there");
    assert!(matches!(again.unlink(), Err(Error::NotFound { .. })));
    assert_eq!(place.entries(), [""; 0]);
}

#[test]
fn sizes_that_cannot_be_leave_nothing() {
    let place = Place::new("mapping-sizes");
    for size in [0, SIZE_MAX + 1, u64::MAX] {
        let made = Mapping::create(&place.at("m"), size, Lifetime::UntilUnlinked);
        assert!(matches!(made, Err(Error::BadValue { .. })), "{size}: {made:?}");
    }
    let made = Mapping::create(&place.at("m"), SIZE_MAX, Lifetime::UntilUnlinked);
    assert!(matches!(made, Err(Error::NoSpace { .. })), "{made:?}");
    assert_eq!(place.entries(), [""; 0]);
}

#[test]
fn a_file_is_mapped_as_it_is_and_grown_if_need_be() {
    let place = Place::new("mapping-file");
    let path = place.path().join("data");
    assert!(matches!(of_file(&path, None, true), Err(Error::NotFound { .. })));
    assert!(matches!(of_file(&path, Some(10), false), Err(Error::NotFound { .. })));
    let made = of_file(&path, Some(10), true).expect("made");
    write(&made, 0, b"0123456789");
    assert_eq!(std::fs::read(&path).expect("there"), b"0123456789");
    let grown = of_file(&path, Some(10_000), true).expect("grown");
    assert_eq!((read(&grown, 0, 12), grown.len()), (b"0123456789\0\0".to_vec(), 10_000));
    let part = of_file(&path, Some(5), true).expect("a part");
    assert_eq!((part.len(), std::fs::metadata(&path).expect("there").len()), (5, 10_000), "never shortened");
    let whole = of_file(&path, None, false).expect("all of it");
    assert_eq!((whole.len(), whole.is_writable(), part.is_writable()), (10_000, false, true));
    part.flush(0, 5).expect("flushed");
    let beyond = of_file(&path, Some(10_001), false);
    assert!(matches!(beyond, Err(Error::BadValue { what: "size", .. })), "{beyond:?}");
    part.unlink().expect("there");
    assert!(matches!(whole.unlink(), Err(Error::NotFound { .. })));
    assert_eq!(read(&whole, 0, 3), b"012");
}

#[test]
fn what_is_no_regular_file_is_refused() {
    let place = Place::new("mapping-foreign");
    let fifo = place.path().join("fifo");
    let c = CString::new(fifo.as_os_str().as_bytes()).expect("no NUL");
    // SAFETY: a C string.
    assert_eq!(unsafe { libc::mkfifo(c.as_ptr(), 0o600) }, 0);
    let socket = place.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    for path in [place.path().to_owned(), fifo, socket, PathBuf::from("/dev/null")] {
        for writable in [false, true] {
            let mapped = of_file(&path, Some(4), writable);
            assert!(matches!(mapped, Err(Error::Foreign { .. })), "{path:?}: {mapped:?}");
        }
    }
    let empty = place.path().join("empty");
    std::fs::write(&empty, b"").expect("written");
    for (size, writable) in [(None, true), (None, false), (Some(0), true)] {
        let mapped = of_file(&empty, size, writable);
        assert!(matches!(mapped, Err(Error::BadValue { .. })), "{mapped:?}");
    }
    std::fs::write(&empty, b"data").expect("written");
    let link = place.path().join("link");
    std::os::unix::fs::symlink(&empty, &link).expect("linked");
    assert_eq!(read(&of_file(&link, None, false).expect("a link is followed"), 0, 4), b"data");
}

/// A file system of 1 MiB.
struct Small(PathBuf);

impl Small {
    fn mount(place: &Place) -> Option<Small> {
        let path = place.path().join("small");
        std::fs::create_dir(&path).expect("a directory");
        let target = CString::new(path.as_os_str().as_bytes()).expect("no NUL");
        // SAFETY: C strings.
        let mounted = unsafe {
            libc::mount(c"none".as_ptr(), target.as_ptr(), c"tmpfs".as_ptr(), 0, c"size=1m,mode=700".as_ptr().cast())
        };
        (mounted == 0).then_some(Small(path))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let target = CString::new(self.0.as_os_str().as_bytes()).expect("no NUL");
        // SAFETY: a C string.
        unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
    }
}

#[test]
fn a_full_file_system_is_an_error_and_changes_nothing() {
    let place = Place::new("mapping-full");
    let Some(small) = Small::mount(&place) else {
        assert!(!is_root() || std::env::var_os("CI").is_none(), "mounting failed");
        return;
    };
    let location = Location::named(&small.0, "m").expect("a name");
    let made = Mapping::create(&location, 2 << 20, Lifetime::UntilUnlinked);
    assert!(matches!(made, Err(Error::NoSpace { .. })), "{made:?}");
    let new = of_file(&small.0.join("new"), Some(2 << 20), true);
    assert!(matches!(new, Err(Error::NoSpace { .. })), "{new:?}");
    assert_eq!(std::fs::read_dir(&small.0).expect("there").count(), 0);
    let old = small.0.join("old");
    std::fs::write(&old, b"as it was").expect("written");
    let grown = of_file(&old, Some(2 << 20), true);
    assert!(matches!(grown, Err(Error::NoSpace { .. })), "{grown:?}");
    assert_eq!(std::fs::read(&old).expect("there"), b"as it was");
    let half = make(&location, 1 << 19);
    write(&half, (1 << 19) - 4, b"tail"); // no SIGBUS: it was given
}
