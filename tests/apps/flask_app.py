# Flask-Session: many visitors with sessions in the cache. What each visitor sees is compared with what he did, and what
# the cache holds with what the sessions say.
import concurrent.futures

import flask
import flask_session
import msgspec
import redis

from common import application, until

# Sessions whose visitors come at the same time.
THREADS = 8


def build(options, store):
    app = flask.Flask("shop")
    app.config.update(
        SESSION_TYPE="redis", SESSION_REDIS=store, SESSION_KEY_PREFIX="shop:", PERMANENT_SESSION_LIFETIME=600,
        SESSION_REFRESH_EACH_REQUEST=True,
    )
    flask_session.Session(app)

    @app.post("/login/<name>")
    def login(name):
        app.session_interface.regenerate(flask.session)
        flask.session["user"] = name
        return name

    @app.post("/basket/<int:item>")
    def basket(item):
        flask.session.setdefault("items", []).append(item)
        flask.session.modified = True
        return flask.jsonify(flask.session["items"])

    @app.get("/")
    def look():
        return flask.jsonify(user=flask.session.get("user"), items=flask.session.get("items", []))

    @app.post("/logout")
    def logout():
        flask.session.clear()
        return ""

    return app


def visit(app, number):
    """One visitor: what he is told at the end, and his cookie."""
    with app.test_client() as client:
        assert client.get("/").json == {"user": None, "items": []}
        assert client.post(f"/login/user-{number}").text == f"user-{number}"
        for item in range(number % 7 + 1):
            assert client.post(f"/basket/{item}").json == list(range(item + 1))
        said = client.get("/").json
        cookie = client.get_cookie("session")
        if number % 10 == 0:
            assert client.post("/logout").status_code == 200
            assert client.get("/").json == {"user": None, "items": []}
        return said, cookie.value


def main(options):
    count = 200 * options.factor
    store = redis.Redis.from_url(options.url())
    app = build(options, store)
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        visits = list(pool.map(lambda number: visit(app, number), range(count)))
    for number, (said, _) in enumerate(visits):
        assert said == {"user": f"user-{number}", "items": list(range(number % 7 + 1))}
    raw = redis.Redis.from_url(options.url())
    kept = {key.decode() for key in raw.scan_iter("shop:*", count=100)}
    assert kept == {f"shop:{cookie}" for number, (_, cookie) in enumerate(visits) if number % 10 != 0}
    for number, (said, cookie) in enumerate(visits):
        if number % 10 != 0:
            assert 500 <= raw.ttl(f"shop:{cookie}") <= 600
            found = msgspec.msgpack.decode(raw.get(f"shop:{cookie}"))
            assert found["user"] == said["user"] and found["items"] == said["items"]
    with app.test_client() as client:
        client.set_cookie("session", visits[1][1])
        assert client.get("/").json["user"] == "user-1"
        raw.pexpire(f"shop:{visits[1][1]}", 20)
        until("a session to end", lambda: not raw.exists(f"shop:{visits[1][1]}"))
        assert client.get("/").json["user"] is None
    return {"visitors": count, "sessions": len(kept)}


application("flask-session", main)
