//! Error replies of the proxy: their words are here only, in Redis's own.

use swell_engine::spec::{Group, Spec};
use swell_wire::Out;

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
    #[error("ERR EXEC without MULTI")]
    ExecWithoutMulti,
    #[error("ERR DISCARD without MULTI")]
    DiscardWithoutMulti,
    #[error(
        "ERR Can't execute '{0}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
    )]
    OnlySubscriber(&'static str),
    #[error("ERR one connection may have {0} subscriptions at most")]
    TooManySubscriptions(usize),
    #[error("ERR the name of a channel or pattern to subscribe to may have {0} bytes at most")]
    ChannelTooLong(usize),
    #[error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")]
    UnblockReason,
    #[error("ERR Command '{0}' not allowed inside a transaction")]
    NotInMulti(&'static str),
    #[error("ERR Command '{0}' not allowed inside a transaction: all nodes and proxies have to confirm it")]
    ConfirmedByAll(&'static str),
    #[error("ERR RESP2 is not supported by this command")]
    NotInResp2,
    #[error(
        "ERR Wrong protocol type name. Please use one of the following: \
         string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false"
    )]
    UnknownReplyType,
    #[error("ERR Command '{0}' not allowed inside a transaction or script: all proxies are asked")]
    AsksAll(&'static str),
    #[error("EXECABORT Transaction discarded because of previous errors.")]
    ExecAborted,
    #[error("ERR A client can only redirect to a single other client")]
    TrackingRedirectTwice,
    #[error("ERR The client ID you want redirect to does not exist")]
    TrackingRedirectUnknown,
    #[error("ERR PREFIX option requires BCAST mode to be enabled")]
    TrackingPrefixAlone,
    #[error(
        "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with \
         a different mode."
    )]
    TrackingBroadcastSwitch,
    #[error("ERR OPTIN and OPTOUT are not compatible with BCAST")]
    TrackingBroadcastOpt,
    #[error("ERR You can't specify both OPTIN mode and OPTOUT mode")]
    TrackingBothOpts,
    #[error(
        "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with \
         a different mode."
    )]
    TrackingOptSwitch,
    #[error("ERR Prefix '{0}' overlaps with an existing prefix '{1}'. Prefixes for a single client must not overlap.")]
    TrackingPrefixKnown(String, String),
    #[error(
        "ERR Prefix '{0}' overlaps with another provided prefix '{1}'. Prefixes for a single client must not overlap."
    )]
    TrackingPrefixTwice(String, String),
    #[error(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled"
    )]
    CachingWithoutTracking,
    #[error("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")]
    CachingYesWithoutOptIn,
    #[error("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")]
    CachingNoWithoutOptOut,
    #[error("ERR a prefix of CLIENT TRACKING may have {0} bytes at most")]
    TrackingPrefixTooLong(usize),
    #[error("ERR the watched keys take more than the query buffer may")]
    TooMuchWatched,
    #[error("ERR more than {0} commands in one transaction")]
    TransactionTooLong(usize),
    #[error("EXECABORT Transaction discarded because of: {0}")]
    ExecRefused(String),
    #[error(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> \
         <pass> option can be used to authenticate the client and select the RESP protocol version at the same time"
    )]
    HelloUnauthenticated,
    #[error("NOPROTO unsupported protocol version")]
    UnsupportedProtocol,
    #[error("ERR Protocol version is not an integer or out of range")]
    ProtocolNotInteger,
    #[error("ERR Syntax error in HELLO option '{0}'")]
    HelloOption(String),
    #[error("ERR {0} cannot contain spaces, newlines or special characters.")]
    BadName(String),
    #[error("ERR Unrecognized option '{0}'")]
    UnknownOption(String),
    #[error("ERR value is out of range, value must between {min} and {max}", min = i32::MIN, max = i32::MAX)]
    OutOfInt,
    #[error("ERR No such client")]
    NoSuchClient,
    #[error("ERR CLIENT PAUSE mode must be WRITE or ALL")]
    BadPauseMode,
    #[error("ERR timeout is not an integer or out of range")]
    BadTimeout,
    #[error("ERR timeout is negative")]
    NegativeTimeout,
    #[error("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client")]
    NotForDenyBlocking,
    #[error("ERR MONITOR isn't allowed for DENY BLOCKING client")]
    MonitorInMulti,
    #[error("ERR Replica can't interact with the keyspace")]
    MonitorsOnly,
    #[error("ERR Server is not in import mode")]
    NotImporting,
    #[error("ERR No such user '{0}'")]
    NoSuchUser(String),
    #[error("ERR Unknown client type '{0}'")]
    UnknownClientType(String),
    #[error("ERR client-id should be greater than 0")]
    BadClientId,
    #[error("ERR maxage should be greater than 0")]
    BadMaxAge,
    #[error("ERR maxage is not an integer or out of range")]
    MaxAgeNotInteger,
    #[error("ERR idle should be greater than 0")]
    BadIdle,
    #[error("ERR idle is not an integer or out of range")]
    IdleNotInteger,
    #[error("ERR Unknown flags found in the provided filter: {0}")]
    UnknownClientFlags(String),
    #[error("ERR Unknown capa found in the provided filter: {0}")]
    UnknownCapabilities(String),
    #[error("ERR DB is not an integer or out of range")]
    DbNotInteger,
    #[error("ERR DB number should be between 0 and {0}")]
    NoSuchDb(usize),
    /// In the engine's words.
    #[error(transparent)]
    Fault(#[from] swell_engine::Fault),
    #[error("ERR Invalid command specified")]
    InvalidCommand,
    #[error("ERR The command has no key arguments")]
    NoKeyArguments,
    #[error("ERR Invalid number of arguments specified for command")]
    InvalidArgumentCount,
    #[error("ERR Invalid arguments specified for command")]
    InvalidArguments,
    #[error("ERR Unknown option or number of arguments for CONFIG SET - '{0}'")]
    UnknownConfig(String),
    #[error("ERR CONFIG SET failed (possibly related to argument '{0}') - {1}")]
    ConfigSet(String, ConfigRefusal),
    #[error("ERR count should be greater than or equal to -1")]
    BadLogCount,
    #[error("ERR type should be one of the following: slow, large-request, large-reply")]
    UnknownLogType,
    #[error("ERR No samples available for event '{0}'")]
    NoSamples(String),
    #[error("ERR unknown subcommand or wrong number of arguments for '{given}'. Try {container} HELP.")]
    BadSubcommandArguments { given: String, container: &'static str },
    #[error("ERR nothing is kept on disk here: the data are in memory only")]
    NoDisk,
    #[error("ERR No shutdown in progress.")]
    NoShutdown,
    #[error("ERR there is no replication here: nodes share the slots and hand them over")]
    NoReplication,
    #[error("ERR Invalid master port")]
    BadPrimaryPort,
    #[error("ERR FAILOVER requires connected replicas.")]
    NoReplicas,
    #[error("ERR No failover in progress.")]
    NoFailover,
    #[error("ERR MODULE command not allowed: there are no modules here")]
    NoModules,
    #[error("ERR The server is running without a config file")]
    NoConfigFile,
    #[error("TRYAGAIN The slot was not served in time; nothing was changed")]
    GateTimeout,
    #[error("CLUSTERDOWN Hash slot not served")]
    SlotNotServed,
    #[error("CROSSSLOT Keys in request don't hash to the same slot")]
    CrossSlot,
    #[error("ERR the node was lost before it answered: whether the command ran is unknown")]
    OutcomeUnknown,
    #[error("TRYAGAIN The scaler did not answer in time; nothing was changed")]
    NoScaler,
    #[error("TRYAGAIN Somebody else has changed the configuration at the same time; nothing was changed")]
    StateChangedMeanwhile,
    #[error("ERR Usernames can't contain spaces or null characters")]
    BadUserName,
    /// In the words of whoever has looked at the rules.
    #[error("{0}")]
    Rules(String),
    #[error("ERR the users together exceed {0} bytes")]
    TooManyUsers(usize),
    #[error("ERR The 'default' user cannot be removed")]
    DefaultUserStays,
    #[error("ERR Unknown category '{0}'")]
    UnknownCategory(String),
    #[error("ERR User '{0}' not found")]
    UserNotFound(String),
    #[error("ERR Command '{0}' not found")]
    CommandNotFound(String),
    #[error("ERR unknown subcommand or wrong number of arguments for '{0}'. Try ACL HELP.")]
    AclArguments(String),
    #[error("ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to {0}")]
    PasswordBits(i64),
    #[error(
        "ERR This instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER \
         command and then issue a CONFIG REWRITE (assuming you have a configuration file set) in order to store users \
         in the configuration."
    )]
    NoAclFile,
    #[error("ERR There was an error trying to save the ACLs. Please check the server logs for more information")]
    AclNotSaved,
    #[error("ERR {0}")]
    AclNotLoaded(String),
    #[error("ERR internal error; nothing more is known here, see the log")]
    Internal,
}

impl ProxyError {
    /// Writes it in the words of the protocol that the command belongs to.
    pub fn write(&self, spec: &Spec, out: &mut Out) {
        match spec.group {
            Group::Memcached => out.raw(format!("SERVER_ERROR {self}\r\n").as_bytes()),
            _ => out.error(&self.to_string()),
        }
    }
}

/// Why CONFIG SET did not take a value; part of its error line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigRefusal {
    #[error("can't set immutable config")]
    Immutable,
    #[error("duplicate parameter")]
    Duplicate,
    #[error("argument must be a memory value")]
    NotMemory,
    #[error("argument couldn't be parsed into an integer")]
    NotInteger,
    #[error("argument must be between {0} and {1} inclusive")]
    OutOfRange(i64, i64),
    #[error("argument(s) must be one of the following: allchannels, resetchannels")]
    UnknownChannels,
    #[error(
        "argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, volatile-ttl, \
         allkeys-lru, allkeys-lfu, allkeys-random, noeviction"
    )]
    UnknownPolicy,
    #[error("argument must be 'yes' or 'no'")]
    NotSwitch,
    #[error("Invalid latency-tracking-info-percentiles parameters")]
    NotPercentiles,
    #[error("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]")]
    PercentilesOutOfRange,
    #[error("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")]
    UnknownClass,
    #[error("argument must be UTF-8")]
    NotUtf8,
    #[error("Wrong number of arguments in buffer limit configuration.")]
    OutputLimitArity,
    #[error("Invalid client class specified in buffer limit configuration.")]
    OutputLimitClass,
    #[error("Error in hard, soft or soft_seconds setting in buffer limit configuration.")]
    OutputLimitNumber,
    #[error("The operating system is not able to handle the specified number of clients, try with {0}")]
    TooManyClients(u64),
}
