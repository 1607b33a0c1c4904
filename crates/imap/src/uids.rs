//! The UIDs of folders that are open, kept once for all sessions that see a folder alike: many clients of one person, or of a mailbox that many
//! share, all wait with the same folder open.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kernel::FolderId;

/// The lists that a listener's sessions have. One is kept for as long as somebody has it. In parts, so that who opens one big folder keeps
/// few others waiting.
#[derive(Debug)]
pub(crate) struct Lists([Mutex<Part>; PARTS]);

type Part = HashMap<FolderId, Vec<Arc<[u32]>>>;

const PARTS: usize = 64;

impl Default for Lists {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

/// The UIDs of a folder's messages as one session sees them, ascending.
pub(crate) struct Uids {
    folder: FolderId,
    list: Arc<[u32]>,
    lists: Arc<Lists>,
}

impl fmt::Debug for Uids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uids").field("folder", &self.folder).field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Uids {
    pub(crate) fn new(lists: Arc<Lists>, folder: FolderId, uids: &[u32]) -> Self {
        let list = lists.take(folder, uids);
        Self { folder, list, lists }
    }

    /// Sees these from now on.
    pub(crate) fn set(&mut self, uids: &[u32]) {
        let list = self.lists.take(self.folder, uids);
        self.lists.give_back(self.folder, std::mem::replace(&mut self.list, list));
    }
}

impl Deref for Uids {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.list
    }
}

impl Drop for Uids {
    fn drop(&mut self) {
        self.lists.give_back(self.folder, std::mem::take(&mut self.list));
    }
}

impl Lists {
    fn take(&self, folder: FolderId, uids: &[u32]) -> Arc<[u32]> {
        if uids.is_empty() {
            // There is nothing to share.
            return Arc::default();
        }
        let mut all = self.lock(folder);
        let lists = all.entry(folder).or_default();
        match lists.iter().find(|list| ***list == *uids) {
            Some(list) => list.clone(),
            None => {
                let list: Arc<[u32]> = uids.into();
                lists.push(list.clone());
                list
            }
        }
    }

    /// What nobody has any more is forgotten. All that have a list took it and give it back under the lock: nobody else counts.
    fn give_back(&self, folder: FolderId, list: Arc<[u32]>) {
        let mut all = self.lock(folder);
        let Some(lists) = all.get_mut(&folder) else { return };
        if let Some(at) = lists.iter().position(|kept| Arc::ptr_eq(kept, &list)) {
            drop(list);
            if lists.get(at).is_some_and(|kept| Arc::strong_count(kept) == 1) {
                lists.swap_remove(at);
            }
        }
        if lists.is_empty() {
            all.remove(&folder);
        }
    }

    fn lock(&self, folder: FolderId) -> MutexGuard<'_, Part> {
        // The last of an id's octets are random.
        let part = usize::from(folder.uuid().as_bytes()[15]) % PARTS;
        self.0[part].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(lists: &Lists) -> usize {
        lists.0.iter().flat_map(|part| part.lock().unwrap().values().map(Vec::len).collect::<Vec<_>>()).sum()
    }

    #[test]
    fn sessions_that_see_a_folder_alike_have_one_list() {
        let lists = Arc::new(Lists::default());
        let [folder, other] = [0; 2].map(|_| kernel::Env::system().new_id());
        let mut one = Uids::new(lists.clone(), folder, &[1, 2, 3]);
        let mut two = Uids::new(lists.clone(), folder, &[1, 2, 3]);
        assert!(Arc::ptr_eq(&one.list, &two.list));
        let elsewhere = Uids::new(lists.clone(), other, &[1, 2, 3]);
        assert!(!Arc::ptr_eq(&one.list, &elsewhere.list));
        // One learns of a message before the other does.
        one.set(&[1, 2, 3, 4]);
        assert_eq!((&*one, &*two), (&[1, 2, 3, 4][..], &[1, 2, 3][..]));
        assert_eq!(kept(&lists), 3);
        two.set(&[1, 2, 3, 4]);
        assert!(Arc::ptr_eq(&one.list, &two.list));
        assert_eq!(kept(&lists), 2);
    }

    #[test]
    fn a_list_that_nobody_has_is_forgotten() {
        let lists = Arc::new(Lists::default());
        let folder = kernel::Env::system().new_id();
        let one = Uids::new(lists.clone(), folder, &[7]);
        let mut two = Uids::new(lists.clone(), folder, &[7]);
        drop(one);
        assert_eq!((kept(&lists), &*two), (1, &[7][..]));
        two.set(&[]);
        assert_eq!(kept(&lists), 0);
        two.set(&[8]);
        // What it has already is not lost when it is taken again.
        two.set(&[8]);
        assert_eq!((kept(&lists), &*two), (1, &[8][..]));
        drop(two);
        assert_eq!(kept(&lists), 0);
    }
}
