//! `#[async_test]`, as redis-rs's tests use it. Its own crate of this name is not published, and
//! gives a test redis-rs's connection; here a test that takes a connection gets a
//! `keyway::Cluster`.

use proc_macro::TokenStream;
use quote::quote;
use syn::{ItemFn, parse_macro_input};

/// A test on a runtime of tokio. Its one argument, if it has one, is a connection: a `Cluster` of
/// the file in `KEYWAY_FOREIGN_CLUSTER`, or redis-rs's own where that is not set, for the run on
/// plain Redis.
#[proc_macro_attribute]
pub fn async_test(_: TokenStream, item: TokenStream) -> TokenStream {
    let mut function = parse_macro_input!(item as ItemFn);
    let attributes = std::mem::take(&mut function.attrs);
    let name = function.sig.ident.clone();
    let output = function.sig.output.clone();
    let call = match function.sig.inputs.len() {
        0 => quote! { #name().await },
        _ => quote! {
            // Starts the server, or a front in its place, and empties it.
            let context = crate::support::TestContext::new();
            match std::env::var_os("KEYWAY_FOREIGN_CLUSTER") {
                Some(file) => #name(keyway::Cluster::connect(file).await.unwrap()).await,
                None => #name(context.async_connection().await.unwrap()).await,
            }
        },
    };
    quote! {
        #(#attributes)*
        #[test]
        fn #name() #output {
            #function
            crate::support::block_on_all(async { #call }, crate::support::RuntimeType::Tokio)
        }
    }
    .into()
}
