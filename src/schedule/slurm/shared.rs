//! The folder that every node sees: the program for the jobs, and what its file system can do.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::train::folder::write_atomically;

/// A store on a network file system.
#[derive(Debug, Error)]
#[error(
    "The store {} lies on a network file system ({kind}), where SQLite databases are damaged. Name one on this machine's \
     own disk with --db or `db` in emo-runner.toml, for example /var/tmp/emo/emo.db; it is made again from the runs' \
     folders when it is not there. Runs stay in the shared folder: --shared or `shared` in emo-runner.toml.",
    store.display()
)]
pub struct NetworkStore {
    store: PathBuf,
    kind: &'static str,
}

/// Magic numbers of statfs(2) for file systems that several machines share.
const NETWORK: [(i128, &str); 10] = [
    (0x6969, "NFS"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x00C3_6400, "CephFS"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB2"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0xAAD7_AAEA, "PanFS"),
];

/// Refuses a store on a network file system.
///
/// # Errors
/// [`NetworkStore`].
pub fn on_own_disk(store: &Path) -> Result<(), NetworkStore> {
    let store = std::path::absolute(store).unwrap_or_else(|_| store.to_owned());
    // The store may have to be made yet: the nearest folder that is there tells.
    let kind = store.ancestors().find_map(|path| rustix::fs::statfs(path).ok());
    let magic = kind.map_or(0, |kind| i128::from(kind.f_type) & 0xFFFF_FFFF);
    match NETWORK.iter().find(|(number, _)| *number == magic) {
        Some((_, kind)) => Err(NetworkStore { store, kind }),
        None => Ok(()),
    }
}

/// Why a lock that one node takes may not hold for another, where the mount's options say so.
pub fn lock_problem(shared: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let fields = |line: &str| {
        let fields: Vec<String> = line.split(' ').map(|field| field.replace("\\040", " ")).collect();
        let [_, place, kind, options, ..] = fields.as_slice() else { return None };
        shared.starts_with(place).then(|| (place.clone(), kind.clone(), options.clone()))
    };
    let (place, kind, options) = mounts.lines().filter_map(fields).max_by_key(|(place, ..)| place.len())?;
    let has = |option: &str| options.split(',').any(|found| found == option);
    let problem = match kind.as_str() {
        "lustre" if !has("flock") => "without `flock`",
        "nfs" | "nfs4" if has("nolock") || has("local_lock=all") || has("local_lock=flock") => {
            "with locks of one node only"
        }
        _ => return None,
    };
    Some(format!(
        "{place} is mounted {problem}: a run that Slurm begins anew while its old node still works on it would be written \
         by both. Ask for a mount with locks, or name another folder with --shared."
    ))
}

/// Name of the program's copy for jobs: by its content, so that a new build does not change what waits.
///
/// # Errors
/// When the program cannot be read.
pub fn program_name() -> io::Result<String> {
    let bytes = fs::read(std::env::current_exe()?)?;
    Ok(format!("emo-runner-{}", &blake3::hash(&bytes).to_hex()[..12]))
}

/// Copies this program into `folder`, where it is not there yet.
///
/// # Errors
/// When the folder cannot be written.
pub fn put_program(folder: &Path) -> io::Result<PathBuf> {
    let path = folder.join(program_name()?);
    if !path.exists() {
        fs::create_dir_all(folder)?;
        // Made executable before it has its name.
        let temporary = folder.join(format!(".new.{}", std::process::id()));
        write_atomically(&temporary, &fs::read(std::env::current_exe()?)?)?;
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755))?;
        fs::rename(&temporary, &path)?;
    }
    Ok(path)
}

/// What is free where a folder lies, in words.
pub fn free_space(folder: &Path) -> Option<String> {
    let space = rustix::fs::statvfs(folder).ok()?;
    let bytes = space.f_bavail.saturating_mul(space.f_frsize);
    Some(if bytes < 10 << 20 { format!("{} KiB", bytes >> 10) } else { format!("{} MiB", bytes >> 20) })
}
