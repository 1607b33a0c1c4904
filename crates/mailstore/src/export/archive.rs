//! A zip out of a Maildir.

use std::fs::{self, File, Permissions};
use std::io::{self, BufReader, BufWriter};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::NamedTempFile;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::mark::Mark;
use super::{Failure, Format, Occupied, mbox, private};
use crate::{maildir, uidlist};

/// A zip that takes its place when it is whole, and is gone if it does not come to that.
type Unfinished = ZipWriter<BufWriter<NamedTempFile>>;

/// Sees to it that nothing is in the way, or an export of the same, which gives way to the new one.
pub(super) fn look(to: &Path, wanted: Mark) -> Result<(), Failure> {
    let occupied = |found| Failure::Occupied(Occupied::new(to, wanted, found));
    match fs::metadata(to) {
        Ok(of) if of.is_file() => {}
        Ok(_) => return Err(occupied(None)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::of(to)(error)),
    }
    let file = File::open(to).map_err(Failure::of(to))?;
    let zip = ZipArchive::new(BufReader::new(file)).map_err(|_| occupied(None))?;
    let found = std::str::from_utf8(zip.comment()).ok().and_then(Mark::read);
    if found == Some(wanted) { Ok(()) } else { Err(occupied(found)) }
}

/// Writes a Maildir as a zip, of it or of mboxes.
pub(super) fn write(at: &Path, to: &Path, format: Format, mark: Mark) -> Result<(), Failure> {
    // Somebody may have put something there since.
    look(to, mark)?;
    let part = begin(to).map_err(Failure::of(to))?;
    let mut zip = ZipWriter::new(BufWriter::new(part));
    zip.set_comment(mark.text()).map_err(io::Error::from).map_err(Failure::of(to))?;
    for (path, folder) in mbox::folders(at)? {
        match format {
            Format::Mbox => {
                let name = format!("{}.mbox", path.join("/"));
                start(&mut zip, &name).map_err(Failure::of(to))?;
                mbox::write(&folder, &mut zip)?;
            }
            Format::Maildir => maildir_folder(&mut zip, at, &folder).map_err(Failure::of(&folder))?,
        }
    }
    let finish = || -> io::Result<()> {
        let part = zip.finish()?.into_inner()?;
        part.as_file().sync_all()?;
        part.persist(to)?;
        Ok(())
    };
    finish().map_err(Failure::of(to))
}

/// A new file in the folder of another. No name that can be foreseen is safe: a file of somebody's may have it, or a link to one.
fn begin(to: &Path) -> io::Result<NamedTempFile> {
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let permissions = Permissions::from_mode(private::FILE);
    let mut named = tempfile::Builder::new();
    named.prefix("pillarbox-export-").suffix(".tmp").permissions(permissions).tempfile_in(folder)
}

fn start(zip: &mut Unfinished, name: &str) -> io::Result<()> {
    let options = SimpleFileOptions::default().unix_permissions(private::FILE);
    let options = options.compression_method(CompressionMethod::Deflated).large_file(true);
    Ok(zip.start_file(name, options)?)
}

fn maildir_folder(zip: &mut Unfinished, at: &Path, folder: &Path) -> io::Result<()> {
    let inside = folder.strip_prefix(at).unwrap_or(folder).to_string_lossy().into_owned();
    let named = |name: &str| if inside.is_empty() { name.to_owned() } else { format!("{inside}/{name}") };
    for part in ["cur", "new", "tmp"] {
        let options = SimpleFileOptions::default().unix_permissions(private::FOLDER);
        zip.add_directory(named(part), options)?;
    }
    let own = [maildir::KEYWORDS_FILE, maildir::FOLDER_FILE, uidlist::DOVECOT];
    let mut files: Vec<_> = own.iter().map(|name| folder.join(name)).collect();
    files.retain(|file| file.exists());
    files.extend(mbox::messages(folder).map_err(io::Error::other)?);
    for file in files {
        let name = file.strip_prefix(folder).unwrap_or(&file).to_string_lossy().into_owned();
        start(zip, &named(&name))?;
        io::copy(&mut File::open(&file)?, zip)?;
    }
    Ok(())
}
