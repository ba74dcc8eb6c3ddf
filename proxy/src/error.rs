//! Error replies of the proxy: their words are here only, in Redis's own.

/// Why the proxy did not run a request. `Display` is the RESP error line without its `-`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    #[error("ERR max number of clients reached")]
    MaxClients,
    #[error(
        "DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the \
         default user. In this mode connections are only accepted from the loopback interface. If you want to connect \
         from external computers to Swell you may set a password: start it with --requirepass, or run CONFIG SET \
         requirepass from the loopback interface."
    )]
    ProtectedMode,
    #[error("NOAUTH Authentication required.")]
    Unauthenticated,
    #[error("WRONGPASS invalid username-password pair or user is disabled.")]
    WrongPassword,
    #[error(
        "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
         configuration is correct?"
    )]
    NoPasswordSet,
    #[error("ERR MULTI calls can not be nested")]
    NestedMulti,
    #[error("ERR EXEC without MULTI")]
    ExecWithoutMulti,
    #[error("ERR DISCARD without MULTI")]
    DiscardWithoutMulti,
    #[error("ERR Command not allowed inside a transaction")]
    NotInMulti,
    #[error("EXECABORT Transaction discarded because of previous errors.")]
    ExecAborted,
    #[error("TRYAGAIN The slot was not served in time; nothing was changed")]
    GateTimeout,
    #[error("ERR internal error; nothing more is known here, see the log")]
    Internal,
}
