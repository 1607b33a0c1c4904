//! Signs a webhook by Standard Webhooks 1.0 and sends it, to no address that is not public.
