//! A blocking client over a unix socket.
