//! Facts about the machine and the directory of names, for those who judge whether penstock works well there.

use crate::error::Result;
use crate::sys::{self, Directory, Features};
use std::path::{Path, PathBuf};

/// The facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The directory that was asked for.
    pub directory: PathBuf,
    /// Name of its file system, "unknown" and its number if it is none of those that penstock works on.
    pub file_system: String,
    /// Room left for this user.
    pub free_bytes: u64,
    /// All room.
    pub total_bytes: u64,
    /// Processors that this process may run on.
    pub cpu_count: usize,
    /// The kernel's release.
    pub kernel: String,
    /// What the kernel and the file system can do.
    pub features: Features,
}

/// Looks at the machine, and at `directory` or, while that does not exist, at the directory it would be made in.
///
/// # Errors
/// `Os` if the file system cannot be asked.
pub fn examine(directory: &Path) -> Result<Facts> {
    let there = directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let (file_system, free_bytes, total_bytes) = Directory(there.to_owned()).room()?;
    Ok(Facts {
        directory: directory.to_owned(),
        file_system,
        free_bytes,
        total_bytes,
        cpu_count: sys::spin_cpus(),
        kernel: sys::host().kernel.clone(),
        features: sys::features(there),
    })
}
