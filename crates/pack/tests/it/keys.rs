//! Data keys, what they are wrapped with, and the changing of both.

use kernel::Env;
use pack::{
    Compressed, DataKey, Generation, KekId, KeyEncryption as _, KeyError, KeyTextError, LocalKeys, OpenError,
    WrappedKey, Writer, open,
};
use proptest::prelude::*;
use secrecy::{ExposeSecret as _, SecretString};

use crate::support::{about, env, key};

fn line(env: &Env) -> String {
    LocalKeys::generate(env).expose_secret().to_owned()
}

fn local(text: &str) -> Result<LocalKeys, KeyTextError> {
    LocalKeys::parse(&Env::system(), &SecretString::from(text))
}

/// Whether `right` reads what `key` has sealed.
fn reads_what_it_sealed(right: &DataKey, key: &DataKey) -> bool {
    let mut writer = Writer::new(&Env::system());
    let address = writer.add(key, &Compressed::new(b"a body").unwrap(), about(b"a body")).unwrap();
    let sealed = writer.seal();
    let stored = &sealed.bytes()[address.range().start as usize..address.range().end as usize];
    match open(right, &address, stored) {
        Ok(body) => body == b"a body",
        Err(error) => {
            assert_eq!(error, OpenError::Refused);
            false
        }
    }
}

#[tokio::test]
async fn a_wrapped_key_is_the_same_key_again() {
    let (env, keys) = (Env::system(), local(&line(&Env::system())).unwrap());
    let key = key(&env, 1, 3);
    let wrapped = keys.wrap(&key).await.unwrap();
    assert_eq!(wrapped.kek(), keys.current());
    let read = WrappedKey::decode(&wrapped.encode()).unwrap();
    assert_eq!(read, wrapped);
    assert_eq!((read.tenant(), read.generation()), (key.tenant(), key.generation()));
    let unwrapped = keys.unwrap(&read).await.unwrap();
    assert!(reads_what_it_sealed(&unwrapped, &key));
    // A second wrapping shares no byte that would tell it is the same key.
    assert_ne!(keys.wrap(&key).await.unwrap().wrapping(), wrapped.wrapping());
}

#[tokio::test]
async fn the_key_encryption_key_changes_without_any_body() {
    let env = Env::system();
    let (old_line, new_line) = (line(&env), line(&env));
    let old = local(&old_line).unwrap();
    let key = key(&env, 1, 1);
    let wrapped = old.wrap(&key).await.unwrap();

    let both = local(&format!("# the new one first\n{new_line}\n{old_line}")).unwrap();
    let anew = both.wrap(&both.unwrap(&wrapped).await.unwrap()).await.unwrap();
    assert_ne!(anew.kek(), wrapped.kek());

    let new = local(&new_line).unwrap();
    assert!(reads_what_it_sealed(&new.unwrap(&anew).await.unwrap(), &key));
    match new.unwrap(&wrapped).await {
        Err(KeyError::Unknown(kek)) => assert_eq!(&kek, old.current()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_older_data_key_reads_what_it_sealed_and_nothing_newer() {
    let env = Env::system();
    let first = key(&env, 1, 1);
    let second = DataKey::generate(&env, first.tenant(), first.generation().next().unwrap());
    assert_eq!(second.generation(), Generation::new(2).unwrap());
    assert!(reads_what_it_sealed(&first, &first));
    assert!(reads_what_it_sealed(&second, &second));
    assert!(!reads_what_it_sealed(&second, &first));
    assert!(!reads_what_it_sealed(&first, &second));
}

#[tokio::test]
async fn another_key_of_the_same_name_is_refused() {
    let env = Env::system();
    let (one, other) = (line(&env), line(&env));
    let name = one.split_once(' ').unwrap().0;
    let impostor = format!("{name} {}", other.split_once(' ').unwrap().1);
    let wrapped = local(&one).unwrap().wrap(&key(&env, 1, 1)).await.unwrap();
    let refused = local(&impostor).unwrap().unwrap(&wrapped).await;
    assert!(matches!(refused, Err(KeyError::Refused(kek)) if kek.as_str() == name));
}

proptest! {
    #[test]
    fn a_changed_or_shortened_wrapped_key_never_opens(at: prop::sample::Index, bit in 0..8) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let env = env(5);
        let keys = LocalKeys::parse(&env, &LocalKeys::generate(&env)).unwrap();
        let bytes = runtime.block_on(keys.wrap(&key(&env, 1, 1))).unwrap().encode();
        let at = at.index(bytes.len());
        let mut changed = bytes.clone();
        changed[at] ^= 1_u8 << bit;
        for wrong in [changed, bytes[..at].to_vec()] {
            if let Ok(wrapped) = WrappedKey::decode(&wrong) {
                prop_assert!(runtime.block_on(keys.unwrap(&wrapped)).is_err());
            }
        }
    }

    #[test]
    fn noise_is_no_wrapped_key(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = WrappedKey::decode(&noise);
        let marked = [b"PBWKEY\x00\x01", &noise[..]].concat();
        if let Ok(wrapped) = WrappedKey::decode(&marked) {
            prop_assert_eq!(wrapped.encode(), marked);
        }
    }
}

#[test]
fn a_text_of_keys_is_read_whole_or_not_at_all() {
    let good = line(&Env::system());
    let name = good.split_once(' ').unwrap().0;
    for (text, error) in [
        (String::new(), KeyTextError::Empty),
        ("# nothing\n\n".to_owned(), KeyTextError::Empty),
        (format!("{good}a name without a key"), KeyTextError::Line(2)),
        (format!("{good}other AAAA"), KeyTextError::Line(2)),
        ("bad,name AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned(), KeyTextError::Line(1)),
        (format!("{good}\n{name} AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), KeyTextError::Twice(3)),
    ] {
        assert_eq!(local(&text).unwrap_err(), error, "{text}");
    }
    let two = local(&format!("  \n{good}\tother   AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= \n")).unwrap();
    assert_eq!(two.current(), &name.parse::<KekId>().unwrap());
}

#[tokio::test]
async fn nothing_shows_a_key() {
    let (env, text) = (env(7), LocalKeys::generate(&env(7)));
    let keys = LocalKeys::parse(&env, &text).unwrap();
    let secret = text.expose_secret().split_once(' ').unwrap().1.trim().to_owned();
    let shown = format!("{keys:?} {:?} {text:?}", key(&env, 1, 1));
    assert!(!shown.contains(&secret), "{shown}");
    assert!(
        shown.contains("DataKey { tenant: ten_00000000000000000000000000000001, generation: "),
        "{shown}"
    );
    let error = local(&format!("broken {secret}x")).unwrap_err();
    assert!(!format!("{error:?} {error}").contains(&secret));
}
