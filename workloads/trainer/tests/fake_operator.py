"""An operator that knows nothing but the worker protocol, and takes it strictly: whatever a real one would refuse is an error."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

TRAINING = "team/tiny"
TOKEN = "header.claims.signature"
REQUIRED = {"generation": int, "rank": int, "state": str, "step": int, "totalSteps": int, "epoch": (int, float)}
OPTIONAL = {
    "loss": (int, float, type(None)),
    "tokensPerSecond": (int, float, type(None)),
    "stepSeconds": (int, float),
    "resumedStep": int,
    "validation": dict,
    "checkpoint": dict,
    "exitCode": int,
    "message": str,
}
CHECKPOINT = {
    "step": int,
    "uri": str,
    "bytes": int,
    "savedAt": str,
    "seconds": (int, float),
    "stallSeconds": (int, float),
    "generation": int,
}
STATES = {"starting", "running", "stopped", "failed", "succeeded", "terminating"}
PROGRESS = STATES - {"starting", "failed"}


class FakeOperator:
    """`world` is what it publishes; `reports[pod]` what it was told, in order, with the time of arrival as `_at`."""

    def __init__(self, poll_seconds: float = 5.0) -> None:
        self.poll_seconds = poll_seconds
        self.changed = threading.Condition()
        self.world: dict | None = None
        self.reports: dict[str, list[dict]] = defaultdict(list)
        self.violations: list[str] = []
        self.refuse: dict[str, tuple[int, str]] = {}
        self.is_deaf = False
        self.published_at = 0.0
        self._revision = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        operator = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                operator._get(self)

            def do_POST(self):
                operator._post(self)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request, client_address):
                pass  # killed supervisors break connections

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def publish(self, generation, pods, *, directive="run", deadline=None, resume=None, interval=None):
        """Publishes a world of the pods, rank by rank."""
        with self.changed:
            self._revision += 1
            self.world = {
                "training": TRAINING,
                "generation": generation,
                "revision": f"{generation}.{directive}.{self._revision}",
                "members": [{"rank": rank, "pod": pod, "address": "127.0.0.1"} for rank, pod in enumerate(pods)],
                "directive": directive,
                "deadline": deadline,
                "resume": resume,
                "checkpointInterval": interval or {"steps": 1_000_000},
            }
            self.published_at = time.time()
            self.changed.notify_all()

    def direct(self, directive):
        """Changes the present world's directive."""
        world = self.world
        pods = [member["pod"] for member in world["members"]]
        self.publish(world["generation"], pods, directive=directive, resume=world["resume"], interval=world["checkpointInterval"])

    def last(self, pod):
        """The pod's newest report, or an empty one."""
        with self.changed:
            return self.reports[pod][-1] if self.reports[pod] else {}

    def wait(self, condition, timeout=60.0):
        """Waits until the condition on this operator holds; returns its value."""
        deadline = time.monotonic() + timeout
        with self.changed:
            while not (value := condition(self)):
                rest = deadline - time.monotonic()
                if rest <= 0:
                    last = {pod: reports[-1] if reports else None for pod, reports in self.reports.items()}
                    raise AssertionError(f"Nothing happened within {timeout} s; last reports: {last}")
                self.changed.wait(rest)
            return value

    def wait_state(self, pod, state, timeout=60.0, generation=None):
        """Waits for a report of that state; the report."""

        def seen(operator):
            for report in reversed(operator.reports[pod]):
                if report["state"] == state and generation in (None, report["generation"]):
                    return report
            return None

        return self.wait(seen, timeout)

    def wait_step(self, pod, step, timeout=60.0, generation=None):
        """Waits until the pod reports at least that step while running."""

        def seen(operator):
            for report in reversed(operator.reports[pod]):
                if report["step"] >= step and report["state"] == "running" and generation in (None, report["generation"]):
                    return report
            return None

        return self.wait(seen, timeout)

    def newest_checkpoint(self):
        """The checkpoint with the highest (generation, step) anyone reported, as the world's `resume`; None if there is none."""
        with self.changed:
            found = [report["checkpoint"] for reports in self.reports.values() for report in reports if "checkpoint" in report]
        if not found:
            return None
        best = max(found, key=lambda checkpoint: (checkpoint["generation"], checkpoint["step"]))
        return {"step": best["step"], "uri": best["uri"]}

    def _get(self, handler):
        path = urlsplit(handler.path)
        pod = self._authenticate(handler)
        if pod is None:
            return
        if path.path != f"/v1/trainings/{TRAINING}/world":
            self._answer(handler, 404, {"code": "NotFound", "message": path.path})
            return
        after = parse_qs(path.query).get("after", [None])[0]
        deadline = time.monotonic() + self.poll_seconds
        with self.changed:
            while self.world is None or self.world["revision"] == after:
                rest = deadline - time.monotonic()
                if rest <= 0:
                    break
                self.changed.wait(rest)
            world = self.world
        if self.is_deaf:
            handler.close_connection = True
            handler.connection.close()
        elif world is None or world["revision"] == after:
            handler.send_response(204)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
        else:
            self._answer(handler, 200, world)

    def _post(self, handler):
        pod = self._authenticate(handler)
        if pod is None:
            return
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        if self.is_deaf:
            handler.close_connection = True
            handler.connection.close()
            return
        report = json.loads(body)
        refusal = self._judge(pod, report)
        if refusal is not None:
            self._answer(handler, refusal[0], {"code": refusal[1], "message": "refused"})
            return
        with self.changed:
            self.reports[pod].append({**report, "_at": time.time()})
            self.changed.notify_all()
        self._answer(handler, 200, {})

    def _judge(self, pod, report):
        problem = malformed(report)
        if problem is not None:
            self.violations.append(f"{pod}: {problem}: {report}")
            return 400, "InvalidReport"
        if pod in self.refuse:
            return self.refuse[pod]
        with self.changed:
            world = self.world
            earlier = [r for r in self.reports[pod] if r["generation"] == report["generation"]]
        generation = report["generation"]
        if world is not None and 0 < generation < world["generation"]:
            return 409, "OldGeneration"
        if world is not None and generation > world["generation"]:
            return self._violation(pod, report, "UnknownGeneration")
        if generation == 0 and report["state"] in ("running", "succeeded"):
            return self._violation(pod, report, "NotInWorld")
        if generation > 0:
            member = next((m for m in world["members"] if m["pod"] == pod), None)
            if member is None:
                return 422, "NotInWorld"
            if member["rank"] != report["rank"]:
                return self._violation(pod, report, "WrongRank")
        if report["totalSteps"] and report["step"] > report["totalSteps"]:
            return self._violation(pod, report, "StepBeyondEnd")
        reached = max((r["step"] for r in earlier if r["state"] in PROGRESS), default=0)
        if report["state"] in PROGRESS and report["step"] < reached:
            return self._violation(pod, report, "StepWentBackwards")
        return None

    def _violation(self, pod, report, code):
        self.violations.append(f"{pod}: {code}: {report}")
        return 422, code

    def _authenticate(self, handler):
        """The fake's tokens name their pod."""
        scheme, _, token = handler.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token.startswith(f"{TOKEN}."):
            handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
            self._answer(handler, 401, {"code": "TokenRefused", "message": "no"})
            return None
        return token.removeprefix(f"{TOKEN}.")

    @staticmethod
    def _answer(handler, status, body):
        text = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)


def malformed(report):
    """Why the report breaks the protocol's schema, or None."""
    if set(report) - set(REQUIRED) - set(OPTIONAL):
        return f"unknown fields {sorted(set(report) - set(REQUIRED) - set(OPTIONAL))}"
    for name, kind in {**REQUIRED, "loss": OPTIONAL["loss"], "tokensPerSecond": OPTIONAL["tokensPerSecond"]}.items():
        if name not in report or not isinstance(report[name], kind):
            return f"{name} is missing or of a wrong type"
    for name, kind in OPTIONAL.items():
        if name in report and not isinstance(report[name], kind):
            return f"{name} is of a wrong type"
    if report["state"] not in STATES or len(report.get("message", "")) > 2048:
        return "state or message"
    checkpoint = report.get("checkpoint")
    if checkpoint is not None and (
        set(checkpoint) != set(CHECKPOINT) or any(not isinstance(checkpoint[name], kind) for name, kind in CHECKPOINT.items())
    ):
        return "checkpoint"
    return None
