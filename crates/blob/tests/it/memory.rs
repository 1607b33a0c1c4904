//! The contract on memory.

use crate::contract;

macro_rules! run {
    ($($promise:ident)*) => {$(
        #[tokio::test]
        async fn $promise() {
            contract::$promise(crate::open("memory:").await).await;
        }
    )*};
}

contract::for_each_promise!(run);
