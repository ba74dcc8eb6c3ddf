# redis-py and users: acl.py PORT PROTOCOL
import sys

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

port, protocol = int(sys.argv[1]), int(sys.argv[2])
pool = dict(host="127.0.0.1", port=port, protocol=protocol, decode_responses=True, retry=Retry(NoBackoff(), 0))
r = redis.Redis(**pool)
r.acl_log_reset()

assert r.acl_whoami() == "default" and "string" in r.acl_cat() and "get" in r.acl_cat("read")
assert len(r.acl_genpass()) == 64 and len(r.acl_genpass(128)) == 32
assert r.acl_setuser(
    "ann",
    enabled=True,
    passwords=["+one", "+two"],
    categories=["+@string", "-@dangerous"],
    commands=["+acl|whoami", "+multi", "+exec", "+client|setinfo"],
    keys=["cache:*"],
    channels=["news*"],
    selectors=[("+hget", "%R~h*")],
)
told = r.acl_getuser("ann")
assert told["enabled"] is True and told["flags"] == ["on"] and len(told["passwords"]) == 2, told
assert told["keys"] == ["~cache:*"] and told["channels"] == ["&news*"], told
assert "+acl|whoami" in told["commands"] and "+@string" in told["categories"], told
assert len(told["selectors"]) == 1 and "-@all +hget" in str(told["selectors"][0]), told
assert r.acl_getuser("nobody") is None
assert r.acl_users() == ["ann", "default"] and r.acl_list()[0].startswith("user ann on #")

ann = redis.Redis(**pool, username="ann", password="two")
assert ann.acl_whoami() == "ann" and ann.set("cache:1", "v") is True and ann.get("cache:1") == "v"
for call in (lambda: ann.get("other"), lambda: ann.delete("cache:1"), lambda: ann.acl_list()):
    try:
        call()
        raise AssertionError("it was let through")
    except redis.exceptions.NoPermissionError:
        pass
assert ann.hget("h1", "f") is None
pipe = ann.pipeline(transaction=True)
assert pipe.set("cache:2", 1).incr("cache:2").execute() == [True, 2]

log = r.acl_log()
assert [entry["reason"] for entry in log] == ["command", "command", "key"], log
assert log[2]["object"] == "other" and log[2]["username"] == "ann" and "ann" in str(log[2]["client-info"]), log
assert r.acl_log(1)[0]["object"] == "acl|list" and r.acl_log_reset() is True and r.acl_log() == []

assert r.acl_dryrun("ann", "get", "cache:1") == "OK"
assert "no permissions" in r.acl_dryrun("ann", "get", "x")
assert [line["user"] for line in r.client_list()].count("ann") == 1
assert r.acl_deluser("ann", "nobody") == 1
try:
    ann.ping()
    raise AssertionError("a user who is gone")
except redis.exceptions.ConnectionError:  # wrong passwords are of that kind, too
    pass

r.config_set("requirepass", "secret")
try:
    redis.Redis(**pool).ping()
    raise AssertionError("there is a password")
except redis.exceptions.AuthenticationError:
    pass
assert redis.Redis(**pool, password="secret").ping() is True
r.config_set("requirepass", "")
assert redis.Redis(**pool).ping() is True
print("ok")
