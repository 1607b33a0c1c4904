//! What others do to the folder that is open, told at a time when the client may be told.

use kernel::ErrorKind;
use mailstore::change::UidSet;
use mailstore::view::{self, Row};

use crate::render;
use crate::resync;
use crate::selected::News;
use crate::session::{End, Own, Session, Trouble};

/// Of how many messages other flags are fetched at a time.
const AT_ONCE: usize = 250;

impl Session {
    /// Tells what has changed in the folder that is open; of messages that are gone only if that may be told now.
    pub(crate) async fn tell(&mut self, may_expunge: bool) -> Result<(), Trouble> {
        let Some(selected) = &mut self.selected else { return Ok(()) };
        if selected.look_for_news() {
            self.catch_up().await?;
        }
        self.tell_known(may_expunge).await
    }

    /// From which modification sequence on to tell a client that names one what has changed; `None`, all, for one that is yet to come: who has that has it
    /// from elsewhere, and knows nothing of what changed here.
    pub(crate) async fn since(&mut self, modseq: u64) -> Result<Option<u64>, Trouble> {
        // It may be of a change that was not looked at.
        if self.selected()?.reached() < modseq {
            self.catch_up().await?;
        }
        let reached = self.selected()?.reached();
        Ok(Some(modseq).filter(|modseq| *modseq <= reached))
    }

    /// Learns what has changed.
    async fn catch_up(&mut self) -> Result<(), Trouble> {
        let login = self.login()?;
        let Some(selected) = &mut self.selected else { return Ok(()) };
        match selected.catch_up(&login.ctx).await {
            Ok(()) => Ok(()),
            // The log does not go so far back, or the folder or the mailbox is gone: the client looks at everything anew.
            Err(mailstore::Error::ChangesExpired) => Err(End::Own(Own::FolderGone).into()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(End::Own(Own::FolderGone).into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells what was learnt.
    async fn tell_known(&mut self, may_expunge: bool) -> Result<(), Trouble> {
        let login = self.login()?;
        let Some(selected) = &mut self.selected else { return Ok(()) };
        let News { expunged, vanished, count } = selected.take_news(may_expunge);
        if self.enabled.qresync {
            resync::line(self, &vanished, false).await?;
        } else {
            for number in expunged {
                self.connection.untagged(&format!("{number} EXPUNGE"));
                self.connection.spill().await?;
            }
        }
        if let Some(count) = count {
            self.connection.untagged(&format!("{count} EXISTS"));
            if !self.enabled.rev2 {
                self.connection.untagged("0 RECENT");
            }
        }
        loop {
            let Some(selected) = &mut self.selected else { return Ok(()) };
            let flagged = selected.some_flagged(AT_ONCE);
            if flagged.is_empty() {
                return Ok(());
            }
            let uids: UidSet = flagged.iter().copied().map(u64::from).collect();
            let rows =
                view::rows(&login.ctx, selected.mailbox_id, selected.folder, uids.ranges(), None).await?;
            // Only now: had it failed, they would be told the next time.
            selected.told_flagged(&flagged);
            for row in rows {
                self.tell_flags(&row).await?;
            }
        }
    }

    async fn tell_flags(&mut self, row: &Row) -> Result<(), End> {
        self.introduce(&row.flags);
        let Some(number) = self.selected.as_ref().and_then(|selected| selected.number_of(row.uid)) else {
            return Ok(());
        };
        render::flags_line(self.connection.out(), number, row, self.enabled.condstore, true);
        self.connection.spill().await
    }
}
