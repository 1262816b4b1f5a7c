"""What the engine tells Prometheus, under vLLM's names: autoscalers and routers made for vLLM work with it unchanged."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .metrics import Counter, Gauge, Histogram, Metric, render

_TTFT = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160)
_PER_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 10)
_REQUEST = (0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960)
REASONS = ("stop", "length", "abort", "error")


class EngineMetrics:
    """The engine's metrics; the gauges read `waiting`, `running` and `cache_usage` (0 to 1)."""

    def __init__(self, waiting: Callable[[], int], running: Callable[[], int], cache_usage: Callable[[], float]) -> None:
        self.first_token = Histogram("vllm:time_to_first_token_seconds", "From a request's arrival to its first token.", _TTFT)
        self.per_token = Histogram("vllm:time_per_output_token_seconds", "From one token of an answer to the next.", _PER_TOKEN)
        self.inter_token = Histogram("vllm:inter_token_latency_seconds", "The same, under vLLM's newer name.", _PER_TOKEN)
        self.request = Histogram("vllm:e2e_request_latency_seconds", "From a request's arrival to its end.", _REQUEST)
        self.queue = Histogram("vllm:request_queue_time_seconds", "From a request's arrival to its first step.", _REQUEST)
        self.prompt_tokens = Counter("vllm:prompt_tokens_total", "Tokens of prompts.")
        self.cached_tokens = Counter("vllm:prefix_cache_hits_total", "Tokens of prompts whose keys and values were in the cache.")
        self.generated_tokens = Counter("vllm:generation_tokens_total", "Tokens generated.")
        self.finished = Counter("vllm:request_success_total", "Requests that ended, by how.", "finished_reason", REASONS)
        self._all: list[Metric] = [
            Gauge("vllm:num_requests_waiting", "Requests that have not begun.", waiting),
            Gauge("vllm:num_requests_running", "Requests that are being worked on.", running),
            Gauge("vllm:kv_cache_usage_perc", "Share of the key-value cache in use; 1 is all.", cache_usage),
            Gauge("vllm:gpu_cache_usage_perc", "The same, under vLLM's older name.", cache_usage),
            self.first_token,
            self.per_token,
            self.inter_token,
            self.request,
            self.queue,
            self.prompt_tokens,
            self.cached_tokens,
            self.generated_tokens,
            self.finished,
        ]

    def token(self, seconds: float) -> None:
        """Notes the time between two tokens of an answer."""
        self.per_token.observe(seconds)
        self.inter_token.observe(seconds)

    def render(self, labels: Mapping[str, str]) -> str:
        """All of them as text."""
        return render(self._all, labels)
