-- Grams go into their index many messages at a time: what is said by many of them finds its list once. Owned by crates/mailstore.

-- What is pending is looked through by every search, so there is no more of it than takes half a millisecond: of a megabyte, some 60
-- messages. Without it, a message of 4 KiB in a mailbox of 10,000 took 6 ms to index; with it, 1.2 ms.
alter index message_grams_by_gram set (fastupdate = on, gin_pending_list_limit = 1024);
