//! A zip out of a Maildir.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter};
use std::path::Path;

use kernel::MailboxId;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::{Failure, Format, mbox};
use crate::maildir;

/// The comment of a zip, which says whose export it is.
fn comment(mailbox_id: MailboxId) -> String {
    format!("pillarbox-export {mailbox_id}")
}

/// Sees to it that nothing is in the way, or an export of the same mailbox, which gives way to the new one.
pub(super) fn look(to: &Path, mailbox_id: MailboxId) -> Result<(), Failure> {
    let occupied = || Failure::Occupied(to.to_owned());
    match fs::metadata(to) {
        Ok(of) if of.is_file() => {}
        Ok(_) => return Err(occupied()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::of(to)(error)),
    }
    let file = File::open(to).map_err(Failure::of(to))?;
    let zip = ZipArchive::new(BufReader::new(file)).map_err(|_| occupied())?;
    if zip.comment() == comment(mailbox_id).as_bytes() { Ok(()) } else { Err(occupied()) }
}

/// Writes a Maildir as a zip, of it or of mboxes.
pub(super) fn write(at: &Path, to: &Path, format: Format, mailbox_id: MailboxId) -> Result<(), Failure> {
    // Somebody may have put something there since.
    look(to, mailbox_id)?;
    let mut name = to.as_os_str().to_owned();
    name.push(".tmp");
    let part = Path::new(&name);
    let file = BufWriter::new(File::create(part).map_err(Failure::of(part))?);
    let mut zip = ZipWriter::new(file);
    zip.set_comment(comment(mailbox_id)).map_err(io::Error::from).map_err(Failure::of(part))?;
    for (path, folder) in mbox::folders(at)? {
        match format {
            Format::Mbox => {
                let name = format!("{}.mbox", path.join("/"));
                start(&mut zip, &name).map_err(Failure::of(part))?;
                mbox::write(&folder, &mut zip)?;
            }
            Format::Maildir => maildir_folder(&mut zip, at, &folder).map_err(Failure::of(&folder))?,
        }
    }
    let finish = || -> io::Result<()> {
        zip.finish()?.into_inner()?.sync_all()?;
        fs::rename(part, to)
    };
    finish().map_err(Failure::of(to))
}

fn start(zip: &mut ZipWriter<BufWriter<File>>, name: &str) -> io::Result<()> {
    let options = SimpleFileOptions::default();
    let options = options.compression_method(CompressionMethod::Deflated).large_file(true);
    Ok(zip.start_file(name, options)?)
}

fn maildir_folder(zip: &mut ZipWriter<BufWriter<File>>, at: &Path, folder: &Path) -> io::Result<()> {
    let inside = folder.strip_prefix(at).unwrap_or(folder).to_string_lossy().into_owned();
    let named = |name: &str| if inside.is_empty() { name.to_owned() } else { format!("{inside}/{name}") };
    for part in ["cur", "new", "tmp"] {
        zip.add_directory(named(part), SimpleFileOptions::default())?;
    }
    let mut files = vec![folder.join(maildir::KEYWORDS_FILE), folder.join(maildir::FOLDER_FILE)];
    files.retain(|file| file.exists());
    files.extend(mbox::messages(folder).map_err(io::Error::other)?);
    for file in files {
        let name = file.strip_prefix(folder).unwrap_or(&file).to_string_lossy().into_owned();
        start(zip, &named(&name))?;
        io::copy(&mut File::open(&file)?, zip)?;
    }
    Ok(())
}
