"""Layers around handlers, the same on a server and on a client; each built-in one usable alone."""

from typing import TYPE_CHECKING

from tybalt.lazy_names import lazy_names

if TYPE_CHECKING:
    from tybalt.middleware.caching import CacheStatistics as CacheStatistics
    from tybalt.middleware.caching import ResponseCaching as ResponseCaching
    from tybalt.middleware.circuit_breaker import CircuitBreaker as CircuitBreaker
    from tybalt.middleware.circuit_breaker import CircuitOpen as CircuitOpen
    from tybalt.middleware.circuit_breaker import CircuitStatistics as CircuitStatistics
    from tybalt.middleware.error_handling import ErrorHandling as ErrorHandling
    from tybalt.middleware.layers import Handler as Handler
    from tybalt.middleware.layers import Layer as Layer
    from tybalt.middleware.layers import stacked as stacked
    from tybalt.middleware.logging import Logging as Logging
    from tybalt.middleware.middleware import Middleware as Middleware
    from tybalt.middleware.rate_limit import RateLimiting as RateLimiting
    from tybalt.middleware.rate_limit import RateLimitStatistics as RateLimitStatistics
    from tybalt.middleware.rate_limit import SlidingWindow as SlidingWindow
    from tybalt.middleware.redaction import SECRET_WORDS as SECRET_WORDS
    from tybalt.middleware.redaction import Redaction as Redaction
    from tybalt.middleware.request import Request as Request
    from tybalt.middleware.response_limit import ResponseLimit as ResponseLimit
    from tybalt.middleware.retry import Retry as Retry
    from tybalt.middleware.single_flight import SingleFlight as SingleFlight
    from tybalt.middleware.single_flight import SingleFlightStatistics as SingleFlightStatistics
    from tybalt.middleware.timeout import Timeout as Timeout
    from tybalt.middleware.timing import Durations as Durations
    from tybalt.middleware.timing import Timing as Timing

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "tybalt.middleware.caching": "CacheStatistics ResponseCaching",
        "tybalt.middleware.circuit_breaker": "CircuitBreaker CircuitOpen CircuitStatistics",
        "tybalt.middleware.error_handling": "ErrorHandling",
        "tybalt.middleware.layers": "Handler Layer stacked",
        "tybalt.middleware.logging": "Logging",
        "tybalt.middleware.middleware": "Middleware",
        "tybalt.middleware.rate_limit": "RateLimitStatistics RateLimiting SlidingWindow",
        "tybalt.middleware.redaction": "SECRET_WORDS Redaction",
        "tybalt.middleware.request": "Request",
        "tybalt.middleware.response_limit": "ResponseLimit",
        "tybalt.middleware.retry": "Retry",
        "tybalt.middleware.single_flight": "SingleFlight SingleFlightStatistics",
        "tybalt.middleware.timeout": "Timeout",
        "tybalt.middleware.timing": "Durations Timing",
    },
)
