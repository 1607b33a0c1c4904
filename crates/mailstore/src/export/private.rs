//! Files and folders of mail in the clear, which are for nobody but the account that writes them, whatever the umask.

use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// The mode of a folder.
pub(super) const FOLDER: u32 = 0o700;
/// The mode of a file.
pub(super) const FILE: u32 = 0o600;
/// What anybody else may do.
const OTHERS: u32 = 0o077;

/// Makes the folder that an export is written into. One that is there is somebody's, who may have others see what is called how in it.
pub(super) fn root(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(FOLDER).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Makes a folder of an export's own. One that a version made that let others read is closed to them.
pub(super) fn folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(FOLDER).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
            close(path, &fs::symlink_metadata(path)?);
            Ok(())
        }
        made => made,
    }
}

/// Makes a file that is empty, also in the place of one that is there.
pub(super) fn file(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).create(true).truncate(true).mode(FILE).open(path)?;
    close(path, &file.metadata()?);
    Ok(file)
}

/// Writes a file whole.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    io::Write::write_all(&mut file(path)?, text.as_bytes())
}

/// Takes from others what they may do with a file or folder, not with what a link leads to. Where the file system knows no such rights, or they are another
/// account's to take, it stays as it is.
pub(super) fn close(path: &Path, of: &Metadata) {
    if of.permissions().mode() & OTHERS != 0 && !of.is_symlink() {
        let mode = if of.is_dir() { FOLDER } else { FILE };
        let _ = fs::set_permissions(path, Permissions::from_mode(mode));
    }
}
